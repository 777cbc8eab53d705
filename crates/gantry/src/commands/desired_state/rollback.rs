//! `gantry desired-state rollback`: shows what the return to an older revision changes, asks, orders it, and
//! waits for the device.

use anyhow::Result;
use operator_api::{Client, OrderRollback};

use super::Context;
use crate::api::segment;
use crate::arguments::{Format, Rollback};
use crate::clock::Deadline;
use crate::commands::deployment;
use crate::failure::Failure;
use crate::{changes, output, resolve, table};

pub(super) fn run(arguments: &Rollback, context: &Context) -> Result<()> {
    let client = resolve::client(&context.api, &arguments.client)?;
    let preview = send(&client, arguments, None, context)?;
    let to = arguments.to;
    if preview.changes.is_empty() {
        return output::result(context.format, &preview, |_| {
            let name = table::clean(&client.name);
            format!(
                "{name} has the content of revision {to} already; there is nothing to change.\n"
            )
        });
    }
    output::paragraphs(context.format, &text(&client, &preview))?;
    confirm(arguments)?;
    let done = send(&client, arguments, Some(preview.newest_order), context)?;
    finish(done, &client, arguments, context)
}

/// Only asks what would change, unless it is known what that was.
fn send(
    client: &Client,
    arguments: &Rollback,
    newest_order: Option<u64>,
    context: &Context,
) -> Result<operator_api::Rollback> {
    let path = format!("/clients/{}/rollback", segment(&client.id));
    let Rollback { to, reason, .. } = arguments;
    let (reason, dry_run) = (reason.clone(), newest_order.is_none());
    let order = OrderRollback { revision: *to, reason, dry_run, newest_order };
    Ok(context.api.post(&path, &order)?)
}

fn confirm(arguments: &Rollback) -> Result<()> {
    let why = match arguments.yes {
        true => return Ok(()),
        false => match output::ask("Roll back?")? {
            Some(true) => return Ok(()),
            Some(false) => "nothing is changed",
            None => "nothing is changed; add --yes to roll back without being asked",
        },
    };
    Err(Failure::Usage(why.to_owned()).into())
}

/// Says what was ordered, and waits for it when that was asked for.
fn finish(
    mut done: operator_api::Rollback,
    client: &Client,
    arguments: &Rollback,
    context: &Context,
) -> Result<()> {
    let ordered = format!("Ordered the content of revision {} for {}.", done.revision, client.name);
    let sentence = |_: &operator_api::Rollback| table::clean(&ordered) + "\n";
    if !arguments.wait.wait {
        return output::result(context.format, &done, sentence);
    }
    if context.format == Format::Table {
        output::sentence(context.format, &ordered)?;
    }
    let deadline = Deadline::after(arguments.wait.timeout);
    for deployment in &mut done.deployments {
        // Components of several deployments may have one name.
        output::sentence(context.format, &format!("Waiting for {}.", deployment.name))?;
        *deployment = deployment::follow(deployment, deadline, context)?;
    }
    match context.format {
        Format::Table => Ok(()),
        Format::Json | Format::Yaml => output::result(context.format, &done, sentence),
    }
}

fn text(client: &Client, preview: &operator_api::Rollback) -> String {
    let (to, newest) = (preview.revision, client.revision.unwrap_or(preview.revision));
    format!(
        "{} returns to the content of revision {to}:\n{}\
         `gantry desired-state diff {} {newest} {to}` compares the documents.\n",
        client.name,
        paragraphs(preview),
        client.id
    )
}

fn paragraphs(rollback: &operator_api::Rollback) -> String {
    rollback.changes.iter().map(changes::paragraph).collect()
}
