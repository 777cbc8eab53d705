//! Any bytes are a document of a client or a fleet manager, or an error that says why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margo_contract::deployment_status::DeploymentStatus;
use margo_contract::device_capabilities::DeviceCapabilities;
use margo_contract::document::DocumentError;
use margo_contract::onboarding::OnboardingRequest;
use margo_contract::state_manifest::StateManifest;

fuzz_target!(|bytes: &[u8]| {
    explained(DeviceCapabilities::parse(bytes));
    explained(DeploymentStatus::parse(bytes));
    explained(OnboardingRequest::parse(bytes));
    explained(StateManifest::parse(bytes));
});

fn explained<T>(parsed: Result<T, DocumentError>) {
    match parsed {
        Ok(_) => {}
        Err(DocumentError::Malformed(why)) => assert!(!why.is_empty()),
        Err(DocumentError::Semantic(faults)) => assert!(!faults.0.is_empty()),
    }
}
