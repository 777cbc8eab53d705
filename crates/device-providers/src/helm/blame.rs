//! Why Helm gave up, told from what it and the API server printed.

use crate::blame::{Words, code_of};
use crate::code;

const WORDS: &Words = &[
    ("no space left on device", code::STORAGE),
    ("database space exceeded", code::STORAGE),
    ("request is too large", code::BAD_PACKAGE),
    ("data: too long", code::BAD_PACKAGE),
    ("don't meet the specifications of the schema", code::BAD_PARAMETER),
    ("kubernetes cluster unreachable", code::ENGINE_UNAVAILABLE),
    ("connection refused", code::ENGINE_UNAVAILABLE),
    ("no such host", code::ENGINE_UNAVAILABLE),
    ("tls handshake timeout", code::ENGINE_UNAVAILABLE),
    ("i/o timeout", code::ENGINE_UNAVAILABLE),
    ("unexpected eof", code::ENGINE_UNAVAILABLE),
    ("connection reset by peer", code::ENGINE_UNAVAILABLE),
    ("the server is currently unable", code::ENGINE_UNAVAILABLE),
    ("etcdserver:", code::ENGINE_UNAVAILABLE),
    ("x509:", code::ENGINE_UNAVAILABLE),
    ("unauthorized", code::ENGINE_UNAVAILABLE),
    ("must be logged in", code::ENGINE_UNAVAILABLE),
    ("port is already allocated", code::PORT_TAKEN),
    ("cannot be imported into the current release", code::NAME_TAKEN),
    ("cannot reuse a name", code::NAME_TAKEN),
    ("is forbidden:", code::NOT_ALLOWED),
    ("another operation", code::START_FAILED),
    ("no matches for kind", code::BAD_PACKAGE),
    ("ensure crds are installed first", code::BAD_PACKAGE),
    ("unable to build kubernetes objects", code::BAD_PACKAGE),
    ("error validating", code::BAD_PACKAGE),
    ("is invalid:", code::BAD_PACKAGE),
    ("template:", code::BAD_PACKAGE),
    ("executing \"", code::BAD_PACKAGE),
    ("parse error", code::BAD_PACKAGE),
    ("execution error at", code::BAD_PACKAGE),
    ("missing in charts/ directory", code::BAD_PACKAGE),
    ("chart requires kubeversion", code::BAD_PACKAGE),
    ("not installable", code::BAD_PACKAGE),
    ("validation:", code::BAD_PACKAGE),
    ("timed out", code::TIMED_OUT),
    ("deadline exceeded", code::TIMED_OUT),
    ("not ready", code::TIMED_OUT),
];

/// The code of what went wrong, and what to make of it.
pub(super) fn blame(printed: &str) -> (&'static str, &'static str) {
    let code = code_of(printed, WORDS);
    let meaning = match code {
        code::STORAGE => "the disk of the device or of the cluster is full",
        code::ENGINE_UNAVAILABLE => "the cluster does not answer, or does not let this client in",
        code::PORT_TAKEN => "a port is taken by another workload of the cluster",
        code::NAME_TAKEN => "something of another workload has the name of what is to be made",
        code::NOT_ALLOWED => "the cluster does not allow what the chart asks for",
        code::BAD_PARAMETER => "the chart refuses the parameters",
        code::BAD_PACKAGE => "the chart cannot be used with these parameters on this cluster",
        code::TIMED_OUT => "it was not ready in time",
        _ => "Helm gave up",
    };
    (code, meaning)
}

/// What Helm printed without its remarks, which say nothing else or nothing of interest.
pub(super) fn told(printed: &str) -> String {
    let is_remark = |it: &&str| it.starts_with("level=") || it.starts_with("WARNING: ");
    let told: Vec<&str> = printed.lines().filter(|it| !is_remark(it)).collect();
    told.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_of_helm_are_left_out() {
        let printed = "WARNING: Kubernetes configuration file is group-readable.\n\
                       level=WARN msg=\"upgrade failed\"\nError: UPGRADE FAILED: no\n";
        assert_eq!(told(printed), "Error: UPGRADE FAILED: no");
    }

    #[test]
    fn what_helm_prints_is_told_apart() {
        for (printed, code) in [
            (
                "Error: Kubernetes cluster unreachable: Get \"https://h/version\"",
                code::ENGINE_UNAVAILABLE,
            ),
            ("Error: UPGRADE FAILED: context deadline exceeded", code::TIMED_OUT),
            ("Error: resource Deployment/d/web not ready. status: InProgress", code::TIMED_OUT),
            (
                "Error: UPGRADE FAILED: template: web/templates/a.yaml:3:4: executing",
                code::BAD_PACKAGE,
            ),
            (
                "Error: values don't meet the specifications of the schema(s) in the following chart(s):",
                code::BAD_PARAMETER,
            ),
            (
                "Service \"web\" is invalid: spec.ports[0].nodePort: Invalid value: 1: provided port is already allocated",
                code::PORT_TAKEN,
            ),
            ("deployments.apps is forbidden: User \"x\" cannot create", code::NOT_ALLOWED),
            ("Error: something else", code::START_FAILED),
        ] {
            assert_eq!(blame(printed).0, code, "{printed}");
        }
    }
}
