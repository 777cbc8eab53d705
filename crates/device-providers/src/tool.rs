//! A tool that the device's owner has configured: a command line to which we add arguments, and how its
//! running goes wrong.

use std::ffi::OsStr;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::process::{self, Call, Finished, ProcessError};
use crate::words::last_words;
use crate::{Failure, code};

/// A tool and what it is run with.
pub(crate) struct Tool<'a> {
    /// The program and the first of its arguments.
    pub(crate) command: &'a [String],
    /// The folder that it works in.
    pub(crate) folder: &'a Path,
    /// Names of our environment variables that it gets.
    pub(crate) inherited: &'a [&'a str],
    /// Further variables of its environment.
    pub(crate) variables: &'a [(&'a str, &'a OsStr)],
    /// How many bytes are kept of each of its outputs.
    pub(crate) kept: usize,
    /// Ends it early once set.
    pub(crate) stop: &'a AtomicBool,
}

impl Tool<'_> {
    /// Runs it to its end, good or bad.
    ///
    /// # Errors
    /// [`code::ENGINE_UNAVAILABLE`] where it cannot be started, [`code::TIMED_OUT`] with its last
    /// words, or [`code::INTERRUPTED`].
    pub(crate) fn run(&self, arguments: &[&OsStr], timeout: Duration) -> Result<Finished, Failure> {
        let Some((program, first)) = self.command.split_first() else {
            let message = "the command of a tool is configured to be empty";
            return Err(Failure::new(code::ENGINE_UNAVAILABLE, message));
        };
        let mut all: Vec<&OsStr> = first.iter().map(OsStr::new).collect();
        all.extend(arguments);
        let call = Call {
            program: OsStr::new(program),
            arguments: &all,
            folder: self.folder,
            inherited: self.inherited,
            variables: self.variables,
            kept: self.kept,
            timeout,
            stop: self.stop,
        };
        process::run(&call).map_err(|error| match error {
            ProcessError::TimedOut { ref stderr, .. } => {
                let message = format!("{error}{}", last_words(&stderr.text()));
                Failure::new(code::TIMED_OUT, message)
            }
            ProcessError::Interrupted { .. } => Failure::new(code::INTERRUPTED, error.to_string()),
            ProcessError::NotStarted { .. } => {
                Failure::new(code::ENGINE_UNAVAILABLE, crate::chain(&error))
            }
        })
    }
}
