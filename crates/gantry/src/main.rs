//! The operators' command line: reads arguments, speaks the operator API, prints results. Every error
//! ends here, as sentences on standard error and an exit code.

mod api;
mod arguments;
mod changes;
mod clock;
mod clone;
mod commands;
mod config;
mod exit_code;
mod failure;
mod output;
mod package;
mod resolve;
mod table;
mod values;
mod wait;

use clap::Parser as _;

use crate::arguments::Arguments;
use crate::exit_code::ExitCode;

fn main() -> std::process::ExitCode {
    let arguments = Arguments::parse();
    match commands::run(&arguments) {
        Ok(()) => ExitCode::Ok.into(),
        // Whoever reads our output may stop early, as `head` does.
        Err(error) if output::was_closed(&error) => ExitCode::Ok.into(),
        Err(error) => {
            output::error(&error);
            ExitCode::of(&error).into()
        }
    }
}
