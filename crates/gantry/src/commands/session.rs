//! `gantry login`, `logout` and `whoami`.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, Result};
use operator_api::Whoami;

use super::Context;
use crate::api::Api;
use crate::arguments::{Format, Login};
use crate::config::{self, Session, Token};
use crate::failure::Failure;
use crate::output;
use crate::table;

/// The longest token file that is read from standard input, in bytes.
const LONGEST_TOKEN: u64 = 8192;

/// Keeps a session only after the fleet manager has accepted its token.
pub(super) fn login(login: &Login, file: &Path, format: Format) -> Result<()> {
    let url = config::origin(&login.url)?;
    let token = Token::read(&token_text(&login.token_file)?)?;
    let ca = match &login.ca {
        Some(path) => config::read_ca(path)?,
        // A damaged file must not keep anybody from signing in again.
        None => match config::load(file).ok().flatten().filter(|kept| kept.url == url) {
            Some(kept) => kept.ca,
            None => return Err(Failure::Usage(config::no_ca(&url)).into()),
        },
    };
    let session = Session { url, token, ca };
    let whoami: Whoami = Api::new(&session)?.get("/whoami")?;
    config::save(file, &session)?;
    output::result(format, &whoami, |it| {
        table::clean(&format!("Signed in to {} as {} ({}).", session.url, it.name, it.role)) + "\n"
    })
}

fn token_text(path: &Path) -> Result<String> {
    if path != Path::new("-") {
        return Ok(config::read_text(path)?);
    }
    let mut text = String::new();
    let input = io::stdin().lock().take(LONGEST_TOKEN).read_to_string(&mut text);
    input.context("reading the token from standard input")?;
    Ok(text)
}

pub(super) fn logout(file: &Path, format: Format) -> Result<()> {
    // No secret, and nobody's any more: that it stays, or was gone before, is no failure.
    let _ = fs::remove_file(config::ca_file(file));
    match fs::remove_file(file) {
        Ok(()) => output::sentence(format, "Signed out. The token itself stays valid."),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            output::sentence(format, "Nobody was signed in.")
        }
        Err(error) => Err(error).with_context(|| format!("removing {}", file.display())),
    }
}

pub(super) fn whoami(context: &Context) -> Result<()> {
    let whoami: Whoami = context.api.get("/whoami")?;
    output::result(context.format, &whoami, |it| {
        table::fields(&[("Name", Some(it.name.clone())), ("Role", Some(it.role.clone()))])
    })
}
