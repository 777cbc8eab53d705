//! The resolved model of a package: what Compose makes of its files, includes, extensions, anchors and
//! parameters. It is judged, and then it is what Compose is given to run, so that nothing can come
//! in between.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use margo_contract::compose_archive::ComposeArchive;
use margo_contract::digest::Digest;
use serde_json::{Map, Value, json};

/// Tells Compose that a file which a service has mounted has changed; it looks at none itself.
const FILES_LABEL: &str = "io.gantry.files";

/// A host path that a service sees.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mount<'a> {
    pub(super) service: &'a str,
    pub(super) source: &'a Path,
    pub(super) is_writable: bool,
}

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

    /// The model of the same package at another place.
    pub(super) fn moved(&self, from: &Path, to: &Path) -> Self {
        let mut document = self.0.clone();
        document.values_mut().for_each(|it| move_paths(it, from, to));
        Self(document)
    }

    /// The images that services are made from.
    pub(super) fn images(&self) -> BTreeSet<&str> {
        self.part("services").filter_map(|(_, it)| it["image"].as_str()).collect()
    }

    /// Writes down what Compose does where a service says nothing: fetch an image that is not there.
    /// `docker compose pull` would ask the registry for each of the others as well.
    pub(super) fn pull_what_is_missing(&mut self) {
        for service in self.services_mut() {
            service.entry("pull_policy").or_insert_with(|| "missing".into());
        }
    }

    /// The host paths that services see: who, where, and whether it can write there.
    pub(super) fn mounts(&self) -> Vec<Mount<'_>> {
        let mut mounts = Vec::new();
        for (service, it) in self.part("services") {
            let binds = it["volumes"].as_array().into_iter().flatten();
            for bind in binds.filter(|it| it["type"] == "bind") {
                let source = bind["source"].as_str().unwrap_or_default();
                let is_writable = bind["read_only"] != true;
                mounts.push(Mount { service, source: Path::new(source), is_writable });
            }
            for kind in ["configs", "secrets"] {
                let used = it[kind].as_array().into_iter().flatten();
                for name in used.filter_map(|it| it["source"].as_str().or_else(|| it.as_str())) {
                    let file = self.0.get(kind).and_then(|all| all[name]["file"].as_str());
                    let mount =
                        |file| Mount { service, source: Path::new(file), is_writable: false };
                    mounts.extend(file.map(mount));
                }
            }
        }
        mounts
    }

    /// Labels each service with the files of the package that it has mounted, so that just the
    /// services whose files have changed are made anew. `folder` is where the package lies.
    pub(super) fn label_files(&mut self, archive: &ComposeArchive, folder: &Path) {
        let mut mounted: BTreeMap<String, String> = BTreeMap::new();
        let mounts = self.mounts();
        for (path, bytes) in archive.files() {
            let place = folder.join(path);
            let line = format!("{path}\0{}\n", Digest::of(bytes));
            let seen_by: BTreeSet<&str> = mounts
                .iter()
                .filter(|it| place.starts_with(it.source))
                .map(|it| it.service)
                .collect();
            for service in seen_by {
                mounted.entry(service.to_owned()).or_default().push_str(&line);
            }
        }
        for (service, files) in mounted {
            let digest = Digest::of(files.as_bytes()).to_string();
            let service = self.0.get_mut("services").and_then(|it| it.get_mut(&service));
            let labels = service
                .and_then(Value::as_object_mut)
                .and_then(|it| it.entry("labels").or_insert_with(|| json!({})).as_object_mut());
            if let Some(labels) = labels {
                labels.insert(FILES_LABEL.to_owned(), digest.into());
            }
        }
    }

    fn services_mut(&mut self) -> impl Iterator<Item = &mut Map<String, Value>> {
        let services = self.0.get_mut("services").and_then(Value::as_object_mut);
        services.into_iter().flat_map(Map::values_mut).filter_map(Value::as_object_mut)
    }
}

fn move_paths(value: &mut Value, from: &Path, to: &Path) {
    match value {
        Value::String(text) => {
            if let Ok(below) = Path::new(text).strip_prefix(from) {
                // Joining nothing would put a `/` behind the folder.
                let place = if below == Path::new("") { to.to_owned() } else { to.join(below) };
                *text = place.to_string_lossy().into_owned();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|it| move_paths(it, from, to)),
        Value::Object(members) => members.values_mut().for_each(|it| move_paths(it, from, to)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
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
    fn a_package_that_is_moved_takes_all_its_paths_along() {
        let document = json!({"services": {"a": {
            "environment": {"A": "/in/package.d", "B": "see /in/package", "C": "/in/package"},
            "volumes": [{"type": "bind", "source": "/in/package/state", "target": "/in/x"}]}},
            "secrets": {"s": {"file": "/in/package/s"}}});
        let moved = model(&document).moved(Path::new("/in/package"), Path::new("/to/package"));
        let expected = document
            .to_string()
            .replace("/in/package/", "/to/package/")
            .replace("\"/in/package\"", "\"/to/package\"");
        assert_eq!(String::from_utf8(moved.to_bytes()), Ok(expected));
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
