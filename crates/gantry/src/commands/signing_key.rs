//! `gantry signing-key`: the keys that sign the commits of desired states.

use anyhow::Result;
use operator_api::{Page, SigningKey};

use super::Context;
use crate::arguments::SigningKeyCommand;
use crate::{output, table};

pub(super) fn run(command: &SigningKeyCommand, context: &Context) -> Result<()> {
    match command {
        SigningKeyCommand::List => {
            let keys: Page<SigningKey> = context.api.get("/signing-keys")?;
            output::result(context.format, &keys, list)
        }
        SigningKeyCommand::Rotate => {
            let key: SigningKey = context.api.post_nothing("/signing-keys")?;
            output::result(context.format, &key, rotated)
        }
    }
}

fn list(keys: &Page<SigningKey>) -> String {
    let in_use = |it: &SigningKey| if it.in_use { "yes" } else { "no" }.to_owned();
    let rows: Vec<[String; 2]> =
        keys.items.iter().map(|it| [it.public_key.clone(), in_use(it)]).collect();
    let mut text = table::render(["PUBLIC KEY", "IN USE"], &rows);
    text.push_str("\nFor the file that Git's gpg.ssh.allowedSignersFile names:\n");
    for key in &keys.items {
        text.push_str(&format!("{}\n", table::clean(&key.allowed_signers_line)));
    }
    text
}

fn rotated(key: &SigningKey) -> String {
    format!(
        "{} is in use now.\nEach client's next revision introduces it, and those after that are signed \
         by it.\n\nFor the file that Git's gpg.ssh.allowedSignersFile names:\n{}\n",
        table::clean(&key.public_key),
        table::clean(&key.allowed_signers_line)
    )
}
