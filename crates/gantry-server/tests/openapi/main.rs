//! Both APIs do what their OpenAPI documents say: schemathesis (from PyPI) makes requests out of each document,
//! good ones and bad ones, and no answer may be a server's fault or differ from what is documented.
//!
//! Hooks in Python let the requests be about what is there, and sign those of the device API with an
//! implementation of RFC 9421 that is not ours. `scripts/set-up.sh test` installs all of it below
//! `target/schemathesis`.

mod run;
mod scene;

use run::{Api, run};

#[test]
fn the_device_api_answers_as_it_is_documented() {
    run(&Api { name: "device API", document: "/openapi/device-api.json", with_token: false });
}

#[test]
fn the_operator_api_answers_as_it_is_documented() {
    run(&Api { name: "operator API", document: "/operator/v1/openapi.json", with_token: true });
}
