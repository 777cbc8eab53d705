//! Any bytes are a description or a deployment of an application, or an error, soon and in little memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use margo_contract::application_deployment::ApplicationDeployment;
use margo_contract::application_description::ApplicationDescription;

fuzz_target!(|bytes: &[u8]| {
    let _ = ApplicationDescription::parse(bytes);
    let _ = ApplicationDeployment::parse(bytes);
});
