//! `gantry desired-state`: what a client was told, when and why.

mod diff;
mod rollback;

use anyhow::Result;
use operator_api::{Client, Page, Revision, RevisionSummary};

use super::Context;
use crate::api::segment;
use crate::arguments::DesiredStateCommand;
use crate::{output, resolve, table};

pub(super) fn run(command: &DesiredStateCommand, context: &Context) -> Result<()> {
    match command {
        DesiredStateCommand::Log { client, limit } => {
            let client = resolve::client(&context.api, client)?;
            let path = format!("/clients/{}/revisions?limit={limit}", segment(&client.id));
            let revisions: Page<RevisionSummary> = context.api.get(&path)?;
            output::result(context.format, &revisions, log)
        }
        DesiredStateCommand::Show { client, revision } => {
            let client = resolve::client(&context.api, client)?;
            let revision = revision_of(&client, *revision, context)?;
            output::result(context.format, &revision, show)
        }
        DesiredStateCommand::Diff { client, from, to } => {
            let client = resolve::client(&context.api, client)?;
            diff::run(&client, *from, *to, context)
        }
        DesiredStateCommand::Rollback(arguments) => rollback::run(arguments, context),
    }
}

/// One revision of a client, or its newest.
fn revision_of(client: &Client, number: Option<u64>, context: &Context) -> Result<Revision> {
    let number = number.map_or_else(|| "latest".to_owned(), |it| it.to_string());
    Ok(context.api.get(&format!("/clients/{}/revisions/{number}", segment(&client.id)))?)
}

fn log(revisions: &Page<RevisionSummary>) -> String {
    let row = |it: &RevisionSummary| {
        let commit = it.commit.chars().take(12).collect();
        [it.number.to_string(), commit, it.published_at.clone(), it.subject.clone()]
    };
    let rows: Vec<[String; 4]> = revisions.items.iter().map(row).collect();
    table::render(["REVISION", "COMMIT", "PUBLISHED", "SUBJECT"], &rows)
}

fn show(revision: &Revision) -> String {
    let summary = &revision.summary;
    let mut text = table::fields(&[
        ("Revision", Some(summary.number.to_string())),
        ("Commit", Some(summary.commit.clone())),
        ("Published", Some(summary.published_at.clone())),
        ("Manifest", Some(summary.manifest_digest.clone())),
    ]);
    text.push('\n');
    text.push_str(&table::clean_lines(&revision.message));
    for document in &revision.documents {
        let heading = format!("\n--- {} {}\n", document.deployment_id, document.digest);
        text.push_str(&table::clean_lines(&heading));
        text.push_str(&table::clean_lines(&document.yaml));
    }
    text
}
