//! When clients were heard of, and what they said of themselves.

use fleet_domain::client::Standing;
use fleet_domain::contact::{Announcement, Contact, Quiet};
use fleet_domain::ids::ClientId;

use crate::columns::{Columns, count_column, revision_column};
use crate::statements::none;
use crate::{Snapshot, StoreError, Transaction};

impl Snapshot {
    /// Clients that are let in and should have called by now.
    pub async fn overdue(&mut self, now: i64, limit: u32) -> Result<Vec<ClientId>, StoreError> {
        let rows = sqlx::query(
            "SELECT client_id FROM contacts JOIN clients ON id = client_id \
             WHERE standing = $1 AND expected_by < $2 AND last_contact <= expected_by LIMIT $3",
        )
        .bind(Standing::Approved.name())
        .bind(now)
        .bind(count_column(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| Columns::of("contacts", row).parsed("client_id")).collect()
    }
}

impl Transaction {
    /// Remembers when some clients were heard of, each once, unless they were heard of later. What a client
    /// said before stays where it says nothing now.
    pub async fn save_contacts(
        &mut self,
        contacts: &[(ClientId, Contact)],
    ) -> Result<(), StoreError> {
        let saved = self.write_rows(
            "INSERT INTO contacts (client_id, last_contact, next_contact, expected_by, quiet, \
             running, undelivered) VALUES",
            7,
            contacts,
            none,
            "ON CONFLICT (client_id) DO UPDATE SET last_contact = excluded.last_contact, \
             next_contact = COALESCE(excluded.next_contact, contacts.next_contact), \
             expected_by = COALESCE(excluded.expected_by, contacts.expected_by), \
             quiet = CASE WHEN excluded.next_contact IS NULL \
             THEN contacts.quiet ELSE excluded.quiet END, \
             running = CASE WHEN excluded.next_contact IS NULL \
             THEN contacts.running ELSE excluded.running END, \
             undelivered = COALESCE(excluded.undelivered, contacts.undelivered) \
             WHERE excluded.last_contact >= contacts.last_contact",
            |query, (client, contact)| {
                let said = contact.announcement.as_ref();
                query
                    .bind(client.to_string())
                    .bind(contact.last)
                    .bind(said.map(|it| it.next))
                    .bind(said.map(|it| it.by))
                    .bind(said.and_then(|it| it.quiet).map(Quiet::name))
                    .bind(said.and_then(|it| it.revision).map(revision_column))
                    .bind(said.map(|it| count_column(it.undelivered)))
            },
        );
        saved.await.map(drop)
    }
}

/// The contact in a row of `clients` that is joined with `contacts`.
pub(crate) fn optional_contact(row: &Columns<'_>) -> Result<Option<Contact>, StoreError> {
    let Some(last) = row.optional_integer("last_contact")? else { return Ok(None) };
    let announcement = match row.optional_integer("next_contact")? {
        Some(next) => Some(Announcement {
            next,
            by: row.integer("expected_by")?,
            quiet: optional_quiet(row)?,
            revision: row.optional_revision("running")?,
            undelivered: row.count("undelivered")?,
        }),
        None => None,
    };
    Ok(Some(Contact { last, announcement }))
}

fn optional_quiet(row: &Columns<'_>) -> Result<Option<Quiet>, StoreError> {
    let Some(name) = row.optional_text("quiet")? else { return Ok(None) };
    let quiet = Quiet::ALL.into_iter().find(|it| it.name() == name);
    quiet.map(Some).ok_or_else(|| row.corrupt("quiet", "no such reason"))
}
