//! `gantry trust`: the certificate authorities that vouch for clients.

use anyhow::Result;
use operator_api::{Page, TrustedAuthority};

use super::{Context, given_certificate, or_dash};
use crate::api::segment;
use crate::arguments::TrustCommand;
use crate::{output, table};

pub(super) fn run(command: &TrustCommand, context: &Context) -> Result<()> {
    match command {
        TrustCommand::Add { certificate, reason } => {
            let given = given_certificate(certificate, reason.as_ref())?;
            let authority: TrustedAuthority = context.api.post("/trust", &given)?;
            output::result(context.format, &authority, |it| {
                let text = format!("{} ({}) vouches for clients now.", it.name, it.fingerprint);
                table::clean(&text) + "\n"
            })
        }
        TrustCommand::List => {
            let authorities: Page<TrustedAuthority> = context.api.get("/trust")?;
            output::result(context.format, &authorities, list)
        }
        TrustCommand::Remove { fingerprint } => {
            context.api.delete(&format!("/trust/{}", segment(fingerprint)))?;
            output::sentence(context.format, &format!("{fingerprint} vouches for nobody any more."))
        }
    }
}

fn list(authorities: &Page<TrustedAuthority>) -> String {
    let row = |it: &TrustedAuthority| {
        let expires = or_dash(it.expires_at.as_deref());
        [it.fingerprint.clone(), it.name.clone(), expires, it.added_by.clone()]
    };
    let rows: Vec<[String; 4]> = authorities.items.iter().map(row).collect();
    table::render(["FINGERPRINT", "NAME", "EXPIRES", "ADDED BY"], &rows)
}
