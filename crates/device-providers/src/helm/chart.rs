//! What a chart says of itself.

use serde::Deserialize;

use super::blame;
use super::tools::Helm;
use crate::words::last_words;
use crate::{Failure, Workload, code};

/// The only form of charts that Margo knows, margo(CP-3).
const API_VERSION: &str = "v2";

/// The parts of `Chart.yaml` that matter here.
#[derive(Debug, Deserialize)]
struct Chart {
    #[serde(default, rename = "apiVersion")]
    api_version: String,
}

/// Makes sure that the package is a chart that Helm can read.
// margo(CP-3)
pub(super) fn check(helm: &Helm<'_>, workload: &Workload) -> Result<(), Failure> {
    let component = &workload.component;
    let bad = |why: &str| {
        let message = format!("the package of component `{component}` {why}");
        Failure::new(code::BAD_PACKAGE, message)
    };
    let ended = helm.show_chart(&workload.package)?;
    if !ended.status.success() {
        return Err(bad(&format!(
            "is no Helm chart{}",
            last_words(&blame::told(&ended.stderr.text()))
        )));
    }
    let chart: Chart = serde_saphyr::from_str(&ended.stdout.text())
        .map_err(|error| bad(&format!("has a Chart.yaml that cannot be read: {error}")))?;
    if chart.api_version != API_VERSION {
        let why = format!(
            "is a chart of apiVersion `{}`; only charts of `{API_VERSION}` are run",
            chart.api_version
        );
        return Err(bad(&why));
    }
    Ok(())
}
