//! The resolved model of a package: what Compose makes of its files, includes, extensions, anchors and
//! parameters. It is judged, and then it is what Compose is given to run, so that nothing can come
//! in between.

use std::collections::BTreeMap;
use std::path::Path;

use margo_contract::compose_archive::ComposeArchive;
use margo_contract::digest::Digest;
use serde_json::{Map, Value, json};

/// Tells Compose that a file which a service has mounted has changed; it looks at none itself.
const FILES_LABEL: &str = "io.gantry.files";

/// A resolved Compose model.
#[derive(Debug, Clone)]
pub(super) struct Model(Map<String, Value>);

impl Model {
    /// Reads what `docker compose config --format json` printed.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes).map(Self)
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        Value::Object(self.0.clone()).to_string().into_bytes()
    }

    /// The top level.
    pub(super) fn document(&self) -> &Map<String, Value> {
        &self.0
    }

    /// The members of a part of the top level, such as `services`; none when it has no such part.
    pub(super) fn part(&self, name: &str) -> impl Iterator<Item = (&str, &Value)> {
        let part = self.0.get(name).and_then(Value::as_object);
        part.into_iter().flatten().map(|(name, it)| (name.as_str(), it))
    }

    /// How many containers each service is to have.
    pub(super) fn services(&self) -> BTreeMap<String, usize> {
        let counted = self.part("services").map(|(name, service)| {
            let count =
                service["scale"].as_u64().or_else(|| service["deploy"]["replicas"].as_u64());
            (name.to_owned(), usize::try_from(count.unwrap_or(1)).unwrap_or(usize::MAX))
        });
        counted.collect()
    }

    /// Labels each service with the files of the package that it has mounted, so that just the
    /// services whose files have changed are made anew. `folder` is where the package lies.
    pub(super) fn label_files(&mut self, archive: &ComposeArchive, folder: &Path) {
        let mounted: Vec<(String, Vec<String>)> =
            self.part("services").map(|(name, it)| (name.to_owned(), self.sources(it))).collect();
        for (service, sources) in mounted {
            let mut text = String::new();
            for (path, bytes) in archive.files() {
                let place = folder.join(path);
                if sources.iter().any(|it| place.starts_with(it)) {
                    text.push_str(&format!("{path}\0{}\n", Digest::of(bytes)));
                }
            }
            if !text.is_empty() {
                let digest = Digest::of(text.as_bytes()).to_string();
                self.label(&service, &digest);
            }
        }
    }

    fn label(&mut self, service: &str, digest: &str) {
        let service = self.0.get_mut("services").and_then(|it| it.get_mut(service));
        if let Some(service) = service.and_then(Value::as_object_mut) {
            let labels = service.entry("labels").or_insert_with(|| json!({}));
            if let Some(labels) = labels.as_object_mut() {
                labels.insert(FILES_LABEL.to_owned(), digest.into());
            }
        }
    }

    /// The host paths that a service sees: bind mounts, and the files of its configs and secrets.
    fn sources(&self, service: &Value) -> Vec<String> {
        let list = |name: &str| service[name].as_array().cloned().unwrap_or_default();
        let mounts = list("volumes").into_iter().filter(|it| it["type"] == "bind");
        let mut sources: Vec<String> =
            mounts.filter_map(|it| it["source"].as_str().map(str::to_owned)).collect();
        for kind in ["configs", "secrets"] {
            let files = list(kind);
            let files = files.iter().filter_map(|it| it["source"].as_str());
            let files = files.filter_map(|it| self.0.get(kind)?[it]["file"].as_str());
            sources.extend(files.map(str::to_owned));
        }
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(value: &Value) -> Model {
        Model::parse(value.to_string().as_bytes()).expect("a model")
    }

    fn archive(files: &[(&str, &str)]) -> ComposeArchive {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()));
        ComposeArchive::of_files(files.collect()).expect("a good archive")
    }

    #[test]
    fn services_have_as_many_containers_as_they_are_scaled_to() {
        let services = json!({"a": {}, "b": {"scale": 2}, "c": {"deploy": {"replicas": 3}}});
        let services = model(&json!({"services": services})).services();
        assert_eq!(services, BTreeMap::from([("a".into(), 1), ("b".into(), 2), ("c".into(), 3)]));
    }

    #[test]
    fn only_the_services_that_have_a_changed_file_mounted_are_labelled_otherwise() {
        let bind = |source: &str| json!({"type": "bind", "source": source, "target": "/x"});
        let document = json!({
            "services": {
                "file": {"volumes": [bind("/p/conf/a")]},
                "folder": {"volumes": [bind("/p/conf")]},
                "config": {"configs": [{"source": "b"}]},
                "none": {"volumes": [{"type": "volume", "source": "data", "target": "/x"}]},
            },
            "configs": {"b": {"file": "/p/conf/b"}},
        });
        let labels = |a: &str, b: &str| {
            let mut model = model(&document);
            let files = [("compose.yaml", "x"), ("conf/a", a), ("conf/b", b)];
            model.label_files(&archive(&files), Path::new("/p"));
            ["file", "folder", "config", "none"]
                .map(|it| model.document()["services"][it]["labels"][FILES_LABEL].clone())
        };
        let (before, after) = (labels("1", "1"), labels("1", "2"));
        assert_eq!(before[0], after[0]);
        assert_ne!(before[1], after[1]);
        assert_ne!(before[2], after[2]);
        assert_eq!((&before[3], &after[3]), (&Value::Null, &Value::Null));
    }
}
