//! What each command does: ask or order over the operator API, then print.

mod application;
mod client;
mod deployment;
mod desired_state;
mod operator;
mod session;
mod signing_key;
mod trust;

use std::path::{Path, PathBuf};

use anyhow::Result;
use operator_api::GivenCertificate;

use crate::api::Api;
use crate::arguments::{Arguments, Command, Format};
use crate::config::{self, Environment};

/// What every command works with.
struct Context {
    api: Api,
    format: Format,
    /// The PEM file with the only certificate authority to trust, for other programs.
    ca_file: PathBuf,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let format = arguments.output;
    let file = match &arguments.config {
        Some(file) => file.clone(),
        None => config::default_path()?,
    };
    match &arguments.command {
        Command::Login(login) => session::login(login, &file, format),
        Command::Logout => session::logout(&file, format),
        Command::Whoami => session::whoami(&context(&file, format)?),
        Command::Client(command) => client::run(command, &context(&file, format)?),
        Command::Trust(command) => trust::run(command, &context(&file, format)?),
        Command::Operator(command) => operator::run(command, &context(&file, format)?),
        Command::SigningKey(command) => signing_key::run(command, &context(&file, format)?),
        Command::Application(command) => application::run(command, &context(&file, format)?),
        Command::Deploy(deploy) => deployment::deploy(deploy, &context(&file, format)?),
        Command::Deployment(command) => deployment::run(command, &context(&file, format)?),
        Command::DesiredState(command) => desired_state::run(command, &context(&file, format)?),
    }
}

fn context(file: &Path, format: Format) -> Result<Context> {
    let environment = Environment::read();
    let session = config::session(file, &environment)?;
    let ca_file = environment.ca.unwrap_or_else(|| config::ca_file(file));
    Ok(Context { api: Api::new(&session)?, format, ca_file })
}

/// A certificate in a file, as the operator API takes it.
fn given_certificate(file: &Path, reason: Option<&String>) -> Result<GivenCertificate> {
    let certificate = config::read_text(file)?;
    Ok(GivenCertificate { certificate, reason: reason.cloned() })
}

/// A cell for what may be absent.
fn or_dash(text: Option<&str>) -> String {
    text.unwrap_or("-").to_owned()
}
