//! Image manifests of components: what they have to be, and which of their blobs is the package
//! (OCI image specification 1.1; helm.sh/docs/topics/registries).

use std::collections::BTreeMap;

use margo_contract::component::ProfileType;
use margo_contract::digest::Digest;
use serde::Deserialize;

/// What is taken, as an `Accept` header.
pub(super) const ACCEPTED: &str = "application/vnd.oci.image.manifest.v1+json, \
                                   application/vnd.docker.distribution.manifest.v2+json";
const COMPOSE: &str = "application/vnd.org.margo.component.compose+json";
const COMPOSE_LAYER: &str = "application/vnd.org.margo.component.compose.tar+gzip";
const CHART: &str = "application/vnd.cncf.helm.config.v1+json";
const CHART_LAYER: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";
/// More layers than this are not looked at.
const MOST_LAYERS: usize = 100;

/// The blob that is the package.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Layer {
    pub(super) digest: Digest,
    /// In bytes.
    pub(super) size: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    artifact_type: String,
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    /// What only an index has.
    manifests: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Finds the package of a component of this kind; why there is none, in words, otherwise.
pub(super) fn layer(bytes: &[u8], kind: ProfileType, tag: &str) -> Result<Layer, String> {
    let manifest: Manifest =
        serde_json::from_slice(bytes).map_err(|error| format!("it is no manifest: {error}"))?;
    let is_index = |it: &str| it.ends_with("image.index.v1+json") || it.contains("manifest.list.");
    if manifest.manifests.is_some() || is_index(&manifest.media_type) {
        return Err("it is an index of several images; a component is one".to_owned());
    }
    if manifest.layers.len() > MOST_LAYERS {
        return Err(format!("it has more than {MOST_LAYERS} layers"));
    }
    let descriptor = match kind {
        ProfileType::Compose => compose(&manifest, tag)?,
        ProfileType::Helm => chart(&manifest)?,
        ProfileType::Custom => return Err("custom components have no known form".to_owned()),
    };
    let digest = descriptor.digest.parse().map_err(|_| {
        format!("its layer has the digest `{}`; sha256 is known here", descriptor.digest)
    })?;
    Ok(Layer { digest, size: descriptor.size })
}

// margo(R-21, R-22, X-26).
fn compose<'a>(manifest: &'a Manifest, tag: &str) -> Result<&'a Descriptor, String> {
    let config = manifest.config.as_ref().map_or("", |it| it.media_type.as_str());
    // Without an artifactType the config's type stands for it (OCI image specification, manifest).
    let kind = [manifest.artifact_type.as_str(), config].into_iter().find(|it| !it.is_empty());
    let kind = kind.unwrap_or_default();
    if kind != COMPOSE {
        return Err(format!("its artifactType is `{kind}` and has to be `{COMPOSE}`"));
    }
    let [layer] = &manifest.layers[..] else {
        return Err(format!("it has {} layers and has to have one", manifest.layers.len()));
    };
    if layer.media_type != COMPOSE_LAYER {
        let found = &layer.media_type;
        return Err(format!("its layer is of type `{found}` and has to be `{COMPOSE_LAYER}`"));
    }
    let annotation = |key: &str| {
        layer.annotations.get(key).or_else(|| manifest.annotations.get(key)).map(String::as_str)
    };
    let component = annotation("org.margo.component.type").unwrap_or_default();
    if component != "compose" {
        let problem = "its annotation org.margo.component.type is";
        return Err(format!("{problem} `{component}` and has to be `compose`"));
    }
    let version = annotation("org.margo.component.version").unwrap_or_default();
    if with_plus(version) != with_plus(tag) {
        let problem = "its annotation org.margo.component.version is";
        return Err(format!("{problem} `{version}` and has to be the revision `{tag}`"));
    }
    match annotation("org.opencontainers.image.version") {
        Some(other) if with_plus(other) != with_plus(tag) => Err(format!(
            "its annotation org.opencontainers.image.version is `{other}`, not `{tag}`"
        )),
        _ => Ok(layer),
    }
}

fn chart(manifest: &Manifest) -> Result<&Descriptor, String> {
    let config = manifest.config.as_ref().map_or("", |it| it.media_type.as_str());
    if config != CHART {
        return Err(format!("its config is of type `{config}`; that of a chart is `{CHART}`"));
    }
    // Beside the chart there may be its provenance file.
    let charts: Vec<_> = manifest.layers.iter().filter(|it| it.media_type == CHART_LAYER).collect();
    match charts[..] {
        [chart] => Ok(chart),
        _ => Err(format!("it has {} charts and has to have one", charts.len())),
    }
}

// margo(P-4).
fn with_plus(version: &str) -> String {
    version.replace('_', "+")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const EMPTY: &str = "application/vnd.oci.empty.v1+json";

    fn descriptor(media_type: &str) -> Value {
        json!({"mediaType": media_type, "digest": Digest::of(b"x"), "size": 1})
    }

    fn compose_manifest() -> Value {
        let annotations = json!({"org.margo.component.type": "compose", "org.margo.component.version": "1.0.0+b"});
        let mut layer = descriptor(COMPOSE_LAYER);
        layer["annotations"] = annotations;
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
               "artifactType": COMPOSE, "config": descriptor(EMPTY), "layers": [layer]})
    }

    fn read(manifest: &Value, kind: ProfileType) -> Result<Layer, String> {
        layer(manifest.to_string().as_bytes(), kind, "1.0.0_b")
    }

    // margo(R-21, R-22, X-26, P-4).
    #[test]
    fn a_compose_package_is_what_its_types_and_annotations_say() {
        let good = compose_manifest();
        let expected = Layer { digest: Digest::of(b"x"), size: 1 };
        assert_eq!(read(&good, ProfileType::Compose), Ok(expected));

        let mut on_manifest = good.clone();
        on_manifest["annotations"] = on_manifest["layers"][0]["annotations"].take();
        on_manifest["layers"][0]["annotations"] = json!({});
        assert!(read(&on_manifest, ProfileType::Compose).is_ok(), "as `oras push` writes them");
        let mut by_config = good.clone();
        by_config["artifactType"] = json!("");
        by_config["config"]["mediaType"] = json!(COMPOSE);
        assert!(read(&by_config, ProfileType::Compose).is_ok(), "as OCI 1.0 has it");

        let change = |pointer: &str, value: Value| {
            let mut manifest = compose_manifest();
            *manifest.pointer_mut(pointer).expect("it is there") = value;
            read(&manifest, ProfileType::Compose).expect_err(pointer)
        };
        for (pointer, value, words) in [
            (
                "/artifactType",
                json!("application/vnd.docker.compose.project"),
                "its artifactType is",
            ),
            ("/layers", json!([]), "it has 0 layers"),
            ("/layers/0/mediaType", json!("application/gzip"), "its layer is of type"),
            (
                "/layers/0/annotations/org.margo.component.type",
                json!("helm"),
                "has to be `compose`",
            ),
            (
                "/layers/0/annotations/org.margo.component.version",
                json!("1.0.0"),
                "the revision `1.0.0_b`",
            ),
            ("/layers/0/annotations", json!({}), "component.type is ``"),
            ("/layers/0/digest", json!("md5:00"), "sha256 is known"),
            (
                "/mediaType",
                json!("application/vnd.oci.image.index.v1+json"),
                "index of several images",
            ),
            ("/layers/0/size", json!(-1), "it is no manifest"),
        ] {
            let problem = change(pointer, value);
            assert!(problem.contains(words), "{words}: {problem}");
        }
        assert!(read(&good, ProfileType::Helm).expect_err("no chart").contains("that of a chart"));
    }

    // margo(R-20)
    #[test]
    fn a_chart_is_what_helm_pushes() {
        let provenance = "application/vnd.cncf.helm.chart.provenance.v1.prov";
        let good = json!({"schemaVersion": 2, "config": descriptor(CHART),
                          "layers": [descriptor(CHART_LAYER), descriptor(provenance)]});
        assert_eq!(read(&good, ProfileType::Helm).map(|it| it.size), Ok(1));
        let two = json!({"config": descriptor(CHART),
                         "layers": [descriptor(CHART_LAYER), descriptor(CHART_LAYER)]});
        assert!(read(&two, ProfileType::Helm).is_err());
        let index = json!({"schemaVersion": 2, "manifests": []});
        assert!(read(&index, ProfileType::Helm).expect_err("an index").contains("index"));
    }
}
