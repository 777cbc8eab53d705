//! `gantry client`: which clients there are, and which may talk.

mod capabilities;

use anyhow::Result;
use operator_api::{
    Client, Contact, ContactStanding, Decision, Page, Quiet, RepositoryAccess, Standing,
};

use super::{Context, given_certificate, or_dash};
use crate::api::segment;
use crate::arguments::{ClientCommand, Decide};
use crate::{clone, output, resolve, table};

pub(super) fn run(command: &ClientCommand, context: &Context) -> Result<()> {
    match command {
        ClientCommand::List { overdue } => {
            let mut clients: Page<Client> = context.api.list("/clients")?;
            if *overdue {
                clients.items.retain(|it| it.contact.standing == ContactStanding::Overdue);
            }
            output::result(context.format, &clients, list)
        }
        ClientCommand::Show { client } => {
            let client = resolve::client(&context.api, client)?;
            output::result(context.format, &client, show)
        }
        ClientCommand::Capabilities { client, device, history } => {
            let mut client = resolve::client(&context.api, client)?;
            if *history {
                return capabilities::history(&client, device.as_deref(), context);
            }
            client.devices.retain(|it| device.as_ref().is_none_or(|device| *device == it.id));
            let devices = Page::whole(client.devices);
            output::result(context.format, &devices, |it| {
                let sections: Vec<String> = it.items.iter().map(capabilities::device).collect();
                sections.join("\n")
            })
        }
        ClientCommand::Register { certificate, reason } => {
            let given = given_certificate(certificate, reason.as_ref())?;
            let client: Client = context.api.post("/clients", &given)?;
            output::result(context.format, &client, |it| {
                let text = format!("{} ({}) is let in as soon as it calls.", it.name, it.id);
                table::clean(&text) + "\n"
            })
        }
        ClientCommand::Renew { client, certificate, reason } => {
            let given = given_certificate(certificate, reason.as_ref())?;
            let client = resolve::client(&context.api, client)?;
            let path = format!("/clients/{}/certificate", segment(&client.id));
            let client: Client = context.api.post(&path, &given)?;
            output::result(context.format, &client, |it| {
                let expected = or_dash(it.expected_fingerprint.as_deref());
                let text = format!("{} ({}) is known by {expected}, too, now.", it.name, it.id);
                table::clean(&text) + "\n"
            })
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
    let rows: Vec<[String; 7]> = clients.items.iter().map(row).collect();
    let heads = ["ID", "NAME", "STANDING", "DEVICES", "REVISION", "LAST CONTACT", "CONTACT"];
    table::render(heads, &rows)
}

fn row(client: &Client) -> [String; 7] {
    let devices: Vec<&str> = client.devices.iter().map(|device| device.id.as_str()).collect();
    [
        client.id.clone(),
        client.name.clone(),
        standing(client.standing).to_owned(),
        or_dash(Some(devices.join(",").as_str()).filter(|text| !text.is_empty())),
        or_dash(client.revision.map(|it| it.to_string()).as_deref()),
        or_dash(client.contact.last_contact.as_deref()),
        contact(&client.contact),
    ]
}

fn show(client: &Client) -> String {
    let mut text = table::fields(&[
        ("Id", Some(client.id.clone())),
        ("Name", Some(client.name.clone())),
        ("Standing", Some(standing(client.standing).to_owned())),
        ("Certificate", Some(client.certificate_fingerprint.clone())),
        ("Expires", client.certificate_expires_at.clone()),
        ("Comes next", client.expected_fingerprint.clone()),
        ("Onboarded", Some(client.onboarded_at.clone())),
        ("Decided by", client.decided_by.clone()),
        ("Decided", client.decided_at.clone()),
        ("Last contact", client.contact.last_contact.clone()),
        ("Contact", Some(contact(&client.contact))),
        ("Refused", client.security_event.as_ref().map(|it| format!("{} {}", it.at, it.what))),
        ("Revision", client.revision.map(|it| it.to_string())),
        ("Running", client.contact.revision_running.map(|it| format!("revision {it}"))),
        ("Undelivered", client.contact.undelivered.map(reports)),
    ]);
    for device in &client.devices {
        text.push('\n');
        text.push_str(&capabilities::device(device));
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

/// Whether a client's silence is as it should be.
fn contact(contact: &Contact) -> String {
    let at = |time: &Option<String>| or_dash(time.as_deref());
    match (contact.standing, contact.quiet) {
        (ContactStanding::Never, _) => "never".to_owned(),
        (ContactStanding::Expected, None) => format!("expected {}", at(&contact.next_contact)),
        (ContactStanding::Expected, Some(quiet)) => {
            let reason = match quiet {
                Quiet::PollingPeriod => "polling period",
                Quiet::Downtime => "downtime",
            };
            format!("quiet as agreed until {} ({reason})", at(&contact.next_contact))
        }
        (ContactStanding::Overdue, _) => format!("overdue since {}", at(&contact.expected_by)),
        (ContactStanding::Unknown, _) => "unknown".to_owned(),
    }
}

fn reports(number: u64) -> String {
    format!("{number} report{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(standing: ContactStanding, quiet: Option<Quiet>) -> String {
        contact(&Contact {
            standing,
            last_contact: Some("2026-11-25T12:00:00Z".to_owned()),
            next_contact: Some("2026-11-25T22:00:00Z".to_owned()),
            expected_by: Some("2026-11-25T22:05:00Z".to_owned()),
            quiet,
            revision_running: None,
            undelivered: None,
        })
    }

    #[test]
    fn silence_as_agreed_reads_differently_from_silence_in_trouble() {
        let expected = ContactStanding::Expected;
        let quiet = "quiet as agreed until 2026-11-25T22:00:00Z";
        assert_eq!(said(expected, Some(Quiet::Downtime)), format!("{quiet} (downtime)"));
        assert_eq!(said(expected, Some(Quiet::PollingPeriod)), format!("{quiet} (polling period)"));
        assert_eq!(said(expected, None), "expected 2026-11-25T22:00:00Z");
        assert_eq!(said(ContactStanding::Overdue, None), "overdue since 2026-11-25T22:05:00Z");
        assert_eq!(said(ContactStanding::Never, None), "never");
        assert_eq!(said(ContactStanding::Unknown, None), "unknown");
    }
}
