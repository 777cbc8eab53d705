//! `gantry-server doctor`: looks at all that the server needs, says of each thing whether it is in order, and
//! what to do where it is not. It changes nothing and may be asked while the server runs.

mod certificate;
mod database;
mod files;
mod traces;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::config::{Arguments, Config, OnboardingPolicy, OutputFormat};
use crate::{clock, problem};

/// What came of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    /// What is so.
    finding: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    /// The server works, and somebody should know.
    Warn,
    /// The server does not start, or its devices do not reach it.
    Fail,
}

impl Finding {
    fn ok(check: &'static str, finding: impl Into<String>) -> Self {
        Self { check, verdict: Verdict::Ok, finding: finding.into(), advice: None }
    }

    fn warn(check: &'static str, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        let (finding, advice) = (finding.into(), Some(advice.into()));
        Self { check, verdict: Verdict::Warn, finding, advice }
    }

    fn fail(check: &'static str, finding: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { verdict: Verdict::Fail, ..Self::warn(check, finding, advice) }
    }
}

/// Checks everything and prints it. Fails only when it cannot print.
pub(crate) fn run(arguments: &Arguments, output: OutputFormat) -> Result<ExitCode> {
    let findings = match Config::load(arguments) {
        Ok(config) => check(&config, clock::now())?,
        Err(error) => {
            let advice = "correct it; README.md names each key";
            vec![Finding::fail("configuration", problem::chain(&error), advice)]
        }
    };
    print(&findings, output).context("printing what was found")?;
    let failed = findings.iter().any(|it| it.verdict == Verdict::Fail);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn check(config: &Config, now: i64) -> Result<Vec<Finding>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("starting the runtime")?;
    let mut findings = configuration(config);
    findings.push(files::data_dir(config));
    findings.push(files::secrets(config));
    findings.push(certificate::check(config, now));
    findings.extend(runtime.block_on(database::check(config, now)));
    findings.push(files::room(config));
    findings.extend(runtime.block_on(traces::check(&config.traces)));
    Ok(findings)
}

fn configuration(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    let host = config.host();
    if host == "localhost" || host.starts_with("127.") || host == "::1" {
        let finding = format!("public_url is {}", config.public_url);
        let advice = "devices on other machines need the name by which they reach this one";
        findings.push(Finding::warn("configuration", finding, advice));
    }
    if config.onboarding.policy == OnboardingPolicy::Open {
        let advice = "take `approve` or `allow-listed` outside of labs";
        let finding = "[onboarding] policy is `open`: every client is let in";
        findings.push(Finding::warn("configuration", finding, advice));
    }
    if findings.is_empty() {
        findings.push(Finding::ok("configuration", format!("serves {}", config.public_url)));
    }
    findings
}

fn print(findings: &[Finding], output: OutputFormat) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match output {
        OutputFormat::Text => {
            for Finding { check, verdict, finding, advice } in findings {
                let verdict = match verdict {
                    Verdict::Ok => "ok  ",
                    Verdict::Warn => "warn",
                    Verdict::Fail => "fail",
                };
                let advice = advice.as_ref().map(|it| format!("; {it}")).unwrap_or_default();
                // One line for each: what is wrong with a file of configuration is told in several.
                let lines = finding.lines().map(str::trim).filter(|it| !it.is_empty());
                let finding = lines.collect::<Vec<_>>().join(" ");
                writeln!(out, "{verdict}  {check}: {finding}{advice}")?;
            }
        }
        OutputFormat::Json => {
            serde_json::to_writer_pretty(&mut out, findings)?;
            writeln!(out)?;
        }
    }
    out.flush()
}
