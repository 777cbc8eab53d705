//! Charts of the tests: the one in `charts/web`, with changes, packed as Helm does it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

/// A chart that can be packed.
#[derive(Clone)]
pub(crate) struct Chart(BTreeMap<String, String>);

impl Chart {
    pub(crate) fn web() -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/helm/charts/web");
        let names = ["Chart.yaml", "values.yaml", "values.schema.json"];
        let templates = ["templates/config.yaml", "templates/web.yaml"];
        let files = names.into_iter().chain(templates).map(|name| {
            let text = fs::read_to_string(folder.join(name)).expect("a file of the chart");
            (name.to_owned(), text)
        });
        Self(files.collect())
    }

    /// The same in another version.
    pub(crate) fn version(self, version: &str) -> Self {
        self.replacing("Chart.yaml", "version: 1.0.0", &format!("version: {version}"))
    }

    /// With another file.
    pub(crate) fn with(mut self, name: &str, text: &str) -> Self {
        self.0.insert(name.to_owned(), text.to_owned());
        self
    }

    pub(crate) fn replacing(mut self, name: &str, from: &str, to: &str) -> Self {
        let file = self.0.get_mut(name).expect("a file of the chart");
        assert!(file.contains(from), "{from} is not in {file}");
        *file = file.replace(from, to);
        self
    }

    pub(crate) fn pack(&self) -> Vec<u8> {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (name, text) in &self.0 {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len().try_into().expect("a small file"));
            header.set_mode(0o644);
            archive
                .append_data(&mut header, format!("web/{name}"), text.as_bytes())
                .expect("writing to memory");
        }
        archive.into_inner().and_then(GzEncoder::finish).expect("writing to memory")
    }
}
