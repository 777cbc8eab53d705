//! `gantry-device status`: from the running client, or else from what it last wrote down.

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use crate::arguments::Output;
use crate::config::Config;
use crate::control::{self, Answer, AskError, Question};
use crate::journal::Journal;
use crate::state_dir::StateDir;
use crate::status::ClientStatus;

pub(crate) fn show(config: &Config, output: Output) -> Result<()> {
    let (status, running) = match control::ask(&config.control_socket(), &Question::Status) {
        Ok(Answer::Status(status)) => (*status, true),
        Ok(Answer::Refused(why)) => bail!("{why}"),
        Ok(Answer::Done(_) | Answer::Downtimes(_)) => {
            bail!("the running client answers another question")
        }
        Err(AskError::NotRunning) => (last_written(config)?, false),
        Err(error) => return Err(error.into()),
    };
    match output {
        Output::Text => {
            let source = match (running, &status.as_of) {
                (true, _) => "running; this is how it is now".to_owned(),
                (false, Some(at)) => format!("not running; this was so at {at}"),
                (false, None) => "not running; this was so once".to_owned(),
            };
            crate::print(&format!("the client:    {source}\n{}", status.to_text()))
        }
        Output::Json => {
            let mut json = serde_json::to_value(&status)?;
            json["running"] = json!(running);
            crate::print(&serde_json::to_string_pretty(&json)?)
        }
    }
}

/// What is on disk. What nobody writes down at each contact is left out, since it would be wrong.
fn last_written(config: &Config) -> Result<ClientStatus> {
    let state = StateDir::look(&config.state_dir);
    let status = ClientStatus::load(&state)?.with_context(|| {
        format!("nothing is known in {} yet; start the client first", config.state_dir.display())
    })?;
    let undelivered = Journal::undelivered(&state)?;
    Ok(ClientStatus { next_contact: None, because: None, quiet: None, undelivered, ..status })
}
