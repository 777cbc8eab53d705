//! Whether containers still are what was installed. `up` alone does not make all of them so again: it
//! neither joins a running container to its network, nor wakes one that was paused.

use serde_json::Value;

use super::containers::Container;
use super::model::Model;

/// The first service that has a container of another image, without its labels, or without its networks,
/// and what about it.
pub(super) fn changed(containers: &[Container], model: &Model) -> Option<(String, String)> {
    containers.iter().find_map(|container| {
        let (_, service) = model.part("services").find(|(it, _)| *it == container.service())?;
        let what = unlike(container, service, model)?;
        Some((container.service().to_owned(), what))
    })
}

fn unlike(container: &Container, service: &Value, model: &Model) -> Option<String> {
    let image = service["image"].as_str();
    if image.is_some_and(|it| !is_same_image(it, container.image())) {
        return Some(format!("has a container of the image {}", container.image()));
    }
    let labels = service["labels"].as_object().into_iter().flatten();
    let is_other = |(key, value): &(&String, &Value)| {
        value.as_str().is_some_and(|it| container.label(key) != Some(it))
    };
    if let Some((key, _)) = labels.into_iter().find(is_other) {
        return Some(format!("has a container whose label `{key}` is another"));
    }
    let networks = service["networks"].as_object().into_iter().flatten();
    let named = |(key, _): (&String, &Value)| {
        model.part("networks").find(|(it, _)| it == key)?.1["name"].as_str()
    };
    let missing = networks.filter_map(named).find(|it| !container.is_in_network(it))?;
    Some(format!("has a container that is not in its network `{missing}`"))
}

/// Whether both name the same image; some engines write names out in full.
fn is_same_image(one: &str, other: &str) -> bool {
    let ends = |long: &str, short: &str| {
        let rest =
            long.strip_suffix(short).or_else(|| long.strip_suffix(&format!("{short}:latest")));
        rest.is_some_and(|it| it.is_empty() || it.ends_with('/'))
    };
    ends(one, other) || ends(other, one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn container(image: &str, labels: &Value, networks: &Value) -> Container {
        let mut all = json!({"com.docker.compose.service": "web"});
        let more = labels.as_object().expect("an object").clone();
        all.as_object_mut().expect("an object").extend(more);
        serde_json::from_value(json!({
            "Id": "01d1", "State": {"Status": "running", "ExitCode": 0, "StartedAt": "now"},
            "HostConfig": {"RestartPolicy": {"Name": "no"}},
            "Config": {"Image": image, "Labels": all},
            "NetworkSettings": {"Networks": networks},
        }))
        .expect("a container as the engine describes it")
    }

    fn told(container: Container) -> Option<String> {
        let model = json!({
            "services": {"web": {"image": "web:1", "labels": {"site": "north"},
                "networks": {"default": null}}},
            "networks": {"default": {"name": "shop_default"}},
        });
        let model = Model::parse(model.to_string().as_bytes()).expect("a model");
        changed(&[container], &model).map(|(_, what)| what)
    }

    #[test]
    fn another_image_label_or_network_is_a_change_and_what_comes_on_top_is_none() {
        let (labels, networks) = (json!({"site": "north"}), json!({"shop_default": {}}));
        let more = (json!({"site": "north", "x": "y"}), json!({"shop_default": {}, "lan": {}}));
        assert_eq!(told(container("web:1", &labels, &networks)), None);
        assert_eq!(told(container("docker.io/library/web:1", &more.0, &more.1)), None);
        for (container, word) in [
            (container("web:2", &labels, &networks), "image web:2"),
            (container("evilweb:1", &labels, &networks), "image evilweb:1"),
            (container("web:1", &json!({"site": "south"}), &networks), "`site`"),
            (container("web:1", &json!({}), &networks), "`site`"),
            (container("web:1", &labels, &json!({})), "`shop_default`"),
            (container("web:1", &labels, &Value::Null), "`shop_default`"),
        ] {
            let what = told(container).expect("it was changed");
            assert!(what.contains(word), "{what}");
        }
    }

    #[test]
    fn images_are_the_same_in_short_and_in_full() {
        assert!(is_same_image("nginx", "docker.io/library/nginx:latest"));
        assert!(is_same_image("localhost/web:1", "web:1"));
        assert!(!is_same_image("nginx", "nginx:1.27"));
        assert!(!is_same_image("a/web:1", "b/web:1"));
    }
}
