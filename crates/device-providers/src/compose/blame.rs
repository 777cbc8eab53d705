//! Why Compose could not start a workload, told from what it and the engine printed.

use crate::blame::{Words, code_of};
use crate::code;

const WORDS: &Words = &[
    ("no space left on device", code::STORAGE),
    ("disk quota exceeded", code::STORAGE),
    ("cannot connect to the docker daemon", code::ENGINE_UNAVAILABLE),
    ("permission denied while trying to connect", code::ENGINE_UNAVAILABLE),
    ("error during connect", code::ENGINE_UNAVAILABLE),
    ("dial unix", code::ENGINE_UNAVAILABLE),
    ("port is already allocated", code::PORT_TAKEN),
    ("address already in use", code::PORT_TAKEN),
    ("ports are not available", code::PORT_TAKEN),
    ("is already in use by container", code::NAME_TAKEN),
    ("is already in use by \"", code::NAME_TAKEN),
    ("pull access denied", code::IMAGE_UNAVAILABLE),
    ("requested access to the resource is denied", code::IMAGE_UNAVAILABLE),
    ("no basic auth credentials", code::IMAGE_UNAVAILABLE),
    ("unauthorized", code::IMAGE_UNAVAILABLE),
    ("manifest unknown", code::IMAGE_UNAVAILABLE),
    ("no matching manifest", code::IMAGE_UNAVAILABLE),
    ("no such image", code::IMAGE_UNAVAILABLE),
    ("invalid reference format", code::IMAGE_UNAVAILABLE),
    ("repository name not known", code::IMAGE_UNAVAILABLE),
    ("did not resolve to an alias", code::IMAGE_UNAVAILABLE),
    ("image not known", code::IMAGE_UNAVAILABLE),
    ("dial tcp", code::REGISTRY_UNREACHABLE),
    ("no such host", code::REGISTRY_UNREACHABLE),
    ("i/o timeout", code::REGISTRY_UNREACHABLE),
    ("tls handshake timeout", code::REGISTRY_UNREACHABLE),
    ("connection refused", code::REGISTRY_UNREACHABLE),
    ("server misbehaving", code::REGISTRY_UNREACHABLE),
    ("request canceled while waiting", code::REGISTRY_UNREACHABLE),
    ("toomanyrequests", code::REGISTRY_UNREACHABLE),
    ("x509:", code::REGISTRY_UNREACHABLE),
];

/// The code of a failed start, and what to make of it.
pub(super) fn blame(printed: &str) -> (&'static str, &'static str) {
    let code = code_of(printed, WORDS);
    let meaning = match code {
        code::STORAGE => "the device's disk is full",
        code::ENGINE_UNAVAILABLE => "the engine does not answer",
        code::PORT_TAKEN => "a port is taken by another workload or program on this device",
        code::NAME_TAKEN => "another container on this device has its name",
        code::IMAGE_UNAVAILABLE => "an image does not exist, or may not be pulled",
        code::REGISTRY_UNREACHABLE => "the registry of an image cannot be reached from this device",
        _ => "Compose gave up",
    };
    (code, meaning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_prints_is_told_apart() {
        for (printed, code) in [
            ("write /var/lib/docker/tmp/x: no space left on device", code::STORAGE),
            (
                "Cannot connect to the Docker daemon at tcp://h:1. Is it running?",
                code::ENGINE_UNAVAILABLE,
            ),
            (
                "dial unix /var/run/docker.sock: connect: connection refused",
                code::ENGINE_UNAVAILABLE,
            ),
            ("Bind for 0.0.0.0:80 failed: port is already allocated", code::PORT_TAKEN),
            ("manifest for x:2 not found: manifest unknown", code::IMAGE_UNAVAILABLE),
            ("Get \"https://r/v2/\": dial tcp: lookup r: no such host", code::REGISTRY_UNREACHABLE),
            ("Error response from daemon: something else", code::START_FAILED),
            ("failed to register layer: write /x: no space left on device", code::STORAGE),
            (
                "Conflict. The container name \"/x\" is already in use by container",
                code::NAME_TAKEN,
            ),
            // Podman's.
            (
                "rootlessport listen tcp 127.0.0.1:80: bind: address already in use",
                code::PORT_TAKEN,
            ),
            (
                "creating container storage: the container name \"x\" is already in use by \"1d\"",
                code::NAME_TAKEN,
            ),
            (
                "initializing source docker://r:5000/x:1: pinging container registry r:5000: Get \
                 \"https://r:5000/v2/\": dial tcp 10.0.0.1:5000: connect: no route to host",
                code::REGISTRY_UNREACHABLE,
            ),
            (
                "initializing source docker://quay.io/x/y:1: reading manifest 1 in quay.io/x/y: \
                 manifest unknown",
                code::IMAGE_UNAVAILABLE,
            ),
            (
                "short-name \"x:1\" did not resolve to an alias and no unqualified-search registries \
                 are defined",
                code::IMAGE_UNAVAILABLE,
            ),
        ] {
            assert_eq!(blame(printed).0, code, "{printed}");
        }
    }
}
