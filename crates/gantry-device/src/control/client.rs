//! Asks the running client.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::{Answer, LONGEST_ANSWER, PATIENCE, Question};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AskError {
    /// Nobody listens.
    #[error("the client does not run")]
    NotRunning,
    #[error("this user may not speak to the running client; see [control] group")]
    NotAllowed,
    #[error("the running client does not answer")]
    Io(#[source] io::Error),
    #[error("the answer of the running client makes no sense; it may be of another version")]
    Nonsense(#[source] serde_json::Error),
}

/// Asks one question.
pub(crate) fn ask(socket: &Path, question: &Question) -> Result<Answer, AskError> {
    let mut stream = UnixStream::connect(socket).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => AskError::NotRunning,
        io::ErrorKind::PermissionDenied => AskError::NotAllowed,
        _ => AskError::Io(error),
    })?;
    let mut line = serde_json::to_vec(question).map_err(AskError::Nonsense)?;
    line.push(b'\n');
    let mut answer = Vec::new();
    let mut steps = || -> io::Result<()> {
        stream.set_read_timeout(Some(question.patience()))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.write_all(&line)?;
        BufReader::new((&stream).take(LONGEST_ANSWER)).read_until(b'\n', &mut answer)?;
        Ok(())
    };
    steps().map_err(AskError::Io)?;
    serde_json::from_slice(&answer).map_err(AskError::Nonsense)
}
