//! Clients, and who let them in.

use std::collections::BTreeMap;

use fleet_domain::client::{Client, Standing};
use fleet_domain::contact::Contact;
use fleet_domain::ids::{ClientId, OperatorName, RevisionNumber, Sha256};

use crate::columns::{Columns, count_column, revision_column};
use crate::statements::{none, query_of};
use crate::{Added, Snapshot, StoreError, Transaction, contacts};

/// A client and what is written down about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientEntry {
    pub client: Client,
    /// Of the certificate with which it is to come next.
    pub expected_fingerprint: Option<Sha256>,
    pub onboarded_at: i64,
    /// Nothing while it waits, and when the policy let it in without asking.
    pub decision: Option<Decision>,
    /// Nothing where it was not heard of since it was let in.
    pub contact: Option<Contact>,
    /// What the client last refused for safety's sake, and when.
    pub security_event: Option<SecurityEvent>,
}

/// What a client refused, in its own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityEvent {
    pub at: i64,
    pub what: String,
}

/// Who decided on a client, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub by: OperatorName,
    pub at: i64,
}

impl Snapshot {
    pub async fn client(&mut self, id: ClientId) -> Result<Option<ClientEntry>, StoreError> {
        let row =
            sqlx::query("SELECT * FROM clients LEFT JOIN contacts ON client_id = id WHERE id = $1")
                .bind(id.to_string())
                .fetch_optional(self.connection())
                .await?;
        row.map(|row| client_entry(&Columns::of("clients", &row))).transpose()
    }

    /// The standings of those of these clients that there are.
    pub async fn standings(
        &mut self,
        clients: &[ClientId],
    ) -> Result<BTreeMap<ClientId, Standing>, StoreError> {
        let query = query_of("SELECT id, standing FROM clients WHERE id IN", clients, "");
        let rows = query.fetch_all(self.connection()).await?;
        let rows = rows.iter().map(|row| Columns::of("clients", row));
        rows.map(|row| Ok((row.parsed("id")?, standing(&row)?))).collect()
    }

    /// The client whose certificate is of this public key.
    pub async fn client_by_key(&mut self, key: &Sha256) -> Result<Option<ClientEntry>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM clients LEFT JOIN contacts ON client_id = id WHERE key_hash = $1",
        )
        .bind(key.to_string())
        .fetch_optional(self.connection())
        .await?;
        row.map(|row| client_entry(&Columns::of("clients", &row))).transpose()
    }

    /// The approved client that is to come with the certificate of this fingerprint next, or else the
    /// newest one that an authority calls so.
    pub async fn client_to_renew(
        &mut self,
        fingerprint: &Sha256,
        issued_as: Option<&Sha256>,
    ) -> Result<Option<ClientEntry>, StoreError> {
        let row = sqlx::query(
            "SELECT * FROM clients LEFT JOIN contacts ON client_id = id WHERE standing = $1 \
             AND (expected_fingerprint = $2 OR issued_as = $3) \
             ORDER BY CASE WHEN expected_fingerprint = $2 THEN 0 ELSE 1 END, onboarded_at DESC \
             LIMIT 1",
        )
        .bind(Standing::Approved.name())
        .bind(fingerprint.to_string())
        .bind(issued_as.map(ToString::to_string))
        .fetch_optional(self.connection())
        .await?;
        row.map(|row| client_entry(&Columns::of("clients", &row))).transpose()
    }

    /// Clients in the order in which they onboarded, from the first on or from the one behind this one.
    pub async fn clients(
        &mut self,
        after: Option<ClientId>,
        limit: u32,
    ) -> Result<Vec<ClientEntry>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM clients LEFT JOIN contacts ON client_id = id WHERE $1 IS NULL \
             OR (onboarded_at, id) > (SELECT onboarded_at, id FROM clients WHERE id = $1) \
             ORDER BY onboarded_at, id LIMIT $2",
        )
        .bind(after.map(|it| it.to_string()))
        .bind(count_column(limit))
        .fetch_all(self.connection())
        .await?;
        rows.iter().map(|row| client_entry(&Columns::of("clients", row))).collect()
    }

    /// How many clients have this standing.
    pub async fn count_clients(&mut self, standing: Standing) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT COUNT(*) AS clients FROM clients WHERE standing = $1")
            .bind(standing.name())
            .fetch_one(self.connection())
            .await?;
        Columns::of("clients", &row).count("clients")
    }
}

impl Transaction {
    /// Adds a client, unless there is one with its certificate or its id.
    pub async fn add_client(&mut self, client: &Client, now: i64) -> Result<Added, StoreError> {
        let result = sqlx::query(
            "INSERT INTO clients (id, fingerprint, key_hash, issued_as, certificate, name, standing, \
             onboarded_at, last_order) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0) \
             ON CONFLICT DO NOTHING",
        )
        .bind(client.id.to_string())
        .bind(client.fingerprint.to_string())
        .bind(client.key.to_string())
        .bind(client.issued_as.map(|it| it.to_string()))
        .bind(client.certificate_der.as_slice())
        .bind(client.name.as_str())
        .bind(client.standing.name())
        .bind(now)
        .execute(self.connection())
        .await?;
        Ok(if result.rows_affected() == 1 { Added::New } else { Added::AlreadyThere })
    }

    /// Remembers the standing of a client, and who decided it.
    pub async fn save_standing(
        &mut self,
        client: &Client,
        decision: &Decision,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE clients SET standing = $1, decided_by = $2, decided_at = $3 WHERE id = $4",
        )
        .bind(client.standing.name())
        .bind(decision.by.as_str())
        .bind(decision.at)
        .bind(client.id.to_string())
        .execute(self.connection())
        .await?;
        self.changes_state_of(client.id);
        Ok(())
    }

    /// Remembers the standing of a client that no operator decided, and its certificate; one that was
    /// announced for it is no longer expected.
    pub async fn save_certificate(&mut self, client: &Client) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE clients SET standing = $1, fingerprint = $2, key_hash = $3, issued_as = $4, \
             certificate = $5, expected_fingerprint = NULL WHERE id = $6",
        )
        .bind(client.standing.name())
        .bind(client.fingerprint.to_string())
        .bind(client.key.to_string())
        .bind(client.issued_as.map(|it| it.to_string()))
        .bind(client.certificate_der.as_slice())
        .bind(client.id.to_string())
        .execute(self.connection())
        .await?;
        self.changes_state_of(client.id);
        Ok(())
    }

    /// Remembers the fingerprint of the certificate with which a client is to come next. No other client
    /// is to come with it from then on.
    pub async fn expect_certificate(
        &mut self,
        client: ClientId,
        fingerprint: &Sha256,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "UPDATE clients SET expected_fingerprint = NULL WHERE expected_fingerprint = $1",
        )
        .bind(fingerprint.to_string())
        .execute(self.connection())
        .await?;
        sqlx::query("UPDATE clients SET expected_fingerprint = $1 WHERE id = $2")
            .bind(fingerprint.to_string())
            .bind(client.to_string())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Forgets a client that waits, or the one that has waited longest.
    pub async fn forget_waiting(&mut self, client: Option<ClientId>) -> Result<(), StoreError> {
        let row = sqlx::query(
            "DELETE FROM clients WHERE id = (SELECT id FROM clients WHERE standing = $1 \
             AND ($2 IS NULL OR id = $2) ORDER BY onboarded_at, id LIMIT 1) RETURNING id",
        )
        .bind(Standing::Waiting.name())
        .bind(client.map(|it| it.to_string()))
        .fetch_optional(self.connection())
        .await?;
        if let Some(row) = row {
            self.changes_state_of(Columns::of("clients", &row).parsed("id")?);
        }
        Ok(())
    }

    /// Remembers that each of these clients is being given this revision, unless it was given a newer one.
    pub async fn note_fetched(
        &mut self,
        given: &BTreeMap<ClientId, RevisionNumber>,
    ) -> Result<(), StoreError> {
        let given: Vec<_> = given.iter().collect();
        let noted = self.write_rows(
            "UPDATE clients SET fetched = given.column2 FROM (VALUES",
            2,
            &given,
            none,
            ") AS given WHERE clients.id = given.column1 \
             AND (clients.fetched IS NULL OR clients.fetched < given.column2)",
            |query, (client, revision)| {
                query.bind(client.to_string()).bind(revision_column(**revision))
            },
        );
        noted.await?;
        for (client, _) in given {
            self.changes_state_of(*client);
        }
        Ok(())
    }

    /// Remembers what a client has refused.
    pub async fn note_security_event(
        &mut self,
        client: ClientId,
        event: &SecurityEvent,
    ) -> Result<(), StoreError> {
        sqlx::query("UPDATE clients SET security_event = $1, security_event_at = $2 WHERE id = $3")
            .bind(event.what.as_str())
            .bind(event.at)
            .bind(client.to_string())
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

fn client_entry(row: &Columns<'_>) -> Result<ClientEntry, StoreError> {
    let decided_at = row.optional_integer("decided_at")?;
    Ok(ClientEntry {
        client: Client {
            id: row.parsed("id")?,
            fingerprint: row.parsed("fingerprint")?,
            key: row.parsed("key_hash")?,
            issued_as: row.optional_parsed("issued_as")?,
            certificate_der: row.bytes("certificate")?,
            name: row.text("name")?,
            standing: standing(row)?,
        },
        expected_fingerprint: row.optional_parsed("expected_fingerprint")?,
        onboarded_at: row.integer("onboarded_at")?,
        decision: row
            .optional_parsed("decided_by")?
            .zip(decided_at)
            .map(|(by, at)| Decision { by, at }),
        contact: contacts::optional_contact(row)?,
        security_event: row
            .optional_text("security_event")?
            .zip(row.optional_integer("security_event_at")?)
            .map(|(what, at)| SecurityEvent { at, what }),
    })
}

pub(crate) fn standing(row: &Columns<'_>) -> Result<Standing, StoreError> {
    let standing = row.text("standing")?;
    let standing = Standing::ALL.into_iter().find(|it| it.name() == standing);
    standing.ok_or_else(|| row.corrupt("standing", "no such standing"))
}
