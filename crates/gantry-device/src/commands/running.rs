//! `gantry-device poll-now` and `reload`: they need a client that runs.

use anyhow::{Result, bail};

use crate::config::Config;
use crate::control::{self, Answer, Question};

/// Asks the running client for something, and says what came of it.
pub(crate) fn ask(config: &Config, question: &Question) -> Result<()> {
    match control::ask(&config.control_socket(), question)? {
        Answer::Done(text) => crate::print(&text),
        Answer::Refused(why) => bail!("refused: {why}"),
        Answer::Status(_) | Answer::Downtimes(_) => {
            bail!("the running client answers another question")
        }
    }
}
