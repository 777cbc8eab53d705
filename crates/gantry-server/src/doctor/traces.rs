//! Whether a collector takes the traces, where somebody wants them.

use super::Finding;
use crate::config::TracesConfig;
use crate::traces;

/// Nothing where nobody wants traces: then there is nothing to be in order.
pub(super) async fn check(config: &TracesConfig) -> Option<Finding> {
    if !traces::are_wanted(config) {
        return None;
    }
    Some(match traces::check(config).await {
        Ok(()) => Finding::ok("traces", "the collector takes them"),
        Err(error) => {
            let advice = "the server works and drops them; check [traces] and the OTEL_ variables, and \
                that the collector takes OTLP over HTTP there";
            Finding::warn("traces", format!("the collector does not take them: {error:#}"), advice)
        }
    })
}
