//! `gantry client`: which clients there are, and which may talk.

use anyhow::Result;
use operator_api::{Client, Decision, Page, RepositoryAccess, Standing};

use super::{Context, or_dash};
use crate::api::segment;
use crate::arguments::{ClientCommand, Decide};
use crate::{clone, output, resolve, table};

pub(super) fn run(command: &ClientCommand, context: &Context) -> Result<()> {
    match command {
        ClientCommand::List => {
            let clients: Page<Client> = context.api.get("/clients")?;
            output::result(context.format, &clients, list)
        }
        ClientCommand::Show { client } => {
            let client = resolve::client(&context.api, client)?;
            output::result(context.format, &client, show)
        }
        ClientCommand::Approve(decide) => decide_on(decide, "approve", context),
        ClientCommand::Reject(decide) => decide_on(decide, "reject", context),
        ClientCommand::Revoke(decide) => decide_on(decide, "revoke", context),
        ClientCommand::Repository { client } => {
            let client = resolve::client(&context.api, client)?;
            let path = format!("/clients/{}/repository", segment(&client.id));
            let access: RepositoryAccess = context.api.post_nothing(&path)?;
            let command = clone::command(&access, &context.ca_file)?;
            output::result(context.format, &access, |it| repository(it, &command))
        }
    }
}

fn decide_on(decide: &Decide, verb: &str, context: &Context) -> Result<()> {
    let client = resolve::client(&context.api, &decide.client)?;
    let path = format!("/clients/{}/{verb}", segment(&client.id));
    let decision = Decision { reason: decide.reason.clone() };
    let client: Client = context.api.post(&path, &decision)?;
    output::result(context.format, &client, |it| {
        table::clean(&format!("{} ({}) is {}.", it.name, it.id, standing(it.standing))) + "\n"
    })
}

fn list(clients: &Page<Client>) -> String {
    let rows: Vec<[String; 6]> = clients.items.iter().map(row).collect();
    table::render(["ID", "NAME", "STANDING", "DEVICES", "REVISION", "LAST CONTACT"], &rows)
}

fn row(client: &Client) -> [String; 6] {
    let devices: Vec<&str> = client.devices.iter().map(|device| device.id.as_str()).collect();
    [
        client.id.clone(),
        client.name.clone(),
        standing(client.standing).to_owned(),
        or_dash(Some(devices.join(",").as_str()).filter(|text| !text.is_empty())),
        or_dash(client.revision.map(|it| it.to_string()).as_deref()),
        or_dash(client.contact.last_contact.as_deref()),
    ]
}

fn show(client: &Client) -> String {
    let mut text = table::fields(&[
        ("Id", Some(client.id.clone())),
        ("Name", Some(client.name.clone())),
        ("Standing", Some(standing(client.standing).to_owned())),
        ("Certificate", Some(client.certificate_fingerprint.clone())),
        ("Onboarded", Some(client.onboarded_at.clone())),
        ("Decided by", client.decided_by.clone()),
        ("Decided", client.decided_at.clone()),
        ("Last contact", client.contact.last_contact.clone()),
        ("Refused", client.security_event.as_ref().map(|it| format!("{} {}", it.at, it.what))),
        ("Revision", client.revision.map(|it| it.to_string())),
    ]);
    for device in &client.devices {
        let heading = format!("Device {}, reported {}:", device.id, device.reported_at);
        text.push_str(&format!("\n{}\n", table::clean(&heading)));
        text.push_str(&table::clean_lines(&format!("{:#}\n", device.capabilities)));
    }
    text
}

fn repository(access: &RepositoryAccess, command: &str) -> String {
    let fields = table::fields(&[
        ("Url", Some(access.url.clone())),
        ("Branch", Some(access.branch.clone())),
        ("User name", Some(access.username.clone())),
        ("Token", Some(access.token.clone())),
        ("Expires", Some(access.expires_at.clone())),
        ("Signed by", Some(access.signers.join(", ")).filter(|it| !it.is_empty())),
    ]);
    format!(
        "{fields}\nClone it: paste this into a shell, and the token when it asks.\n  {}\n",
        table::clean(command)
    )
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Waiting => "waiting",
        Standing::Approved => "approved",
        Standing::Rejected => "rejected",
        Standing::Revoked => "revoked",
    }
}
