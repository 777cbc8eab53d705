//! The owner speaks to the running client over a Unix socket: one line of JSON asks, one line answers. Who
//! may open the socket may use it; its mode and group say who that is.

mod client;
mod server;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::downtimes::Started;
use crate::fleet_manager::LAST_WORD;
use crate::status::ClientStatus;

pub(crate) use self::client::{AskError, ask};
pub(crate) use self::server::Control;

/// No question is longer, in bytes.
const LONGEST_QUESTION: u64 = 4 << 10;
/// No answer is longer, in bytes: a status with some thousand deployments.
const LONGEST_ANSWER: u64 = 4 << 20;
/// How long a question or an answer may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the owner asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub(crate) enum Question {
    Status,
    /// Until then, in milliseconds since 1970, or for so long, in seconds.
    DowntimeStart {
        #[serde(flatten)]
        length: Length,
        reason: String,
        /// At once, without telling the fleet manager.
        #[serde(default)]
        now: bool,
    },
    DowntimeStop,
    DowntimeList,
    PollNow {
        force: bool,
    },
    Reload,
}

impl Question {
    /// How long the answer may take.
    fn patience(&self) -> Duration {
        match self {
            Self::DowntimeStart { now: false, .. } => PATIENCE * 2 + LAST_WORD,
            _ => PATIENCE * 2,
        }
    }
}

/// How long a downtime lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Length {
    UntilMs(i64),
    ForSeconds(u64),
}

/// What the client answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    Status(Box<ClientStatus>),
    Downtimes(Vec<Started>),
    Done(String),
    Refused(String),
}

impl Length {
    /// The end of a downtime that begins now.
    pub(crate) fn end(self, now_ms: i64) -> i64 {
        match self {
            Self::UntilMs(end) => end,
            Self::ForSeconds(seconds) => {
                let length = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
                now_ms.saturating_add(length)
            }
        }
    }
}
