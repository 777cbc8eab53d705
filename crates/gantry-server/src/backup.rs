//! `gantry-server backup` and `gantry-server restore`: all that a fleet manager needs to come back, on this
//! machine or another one, in one file.
//!
//! A backup is taken of a running server. A restore needs it stopped: what a server remembers in memory
//! (who is let in, what is newest, which signatures were heard) would belong to the fleet that is put aside.

mod archive;
mod exchange;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use fleet_store::Engine;
use tokio::runtime::Runtime;

use self::archive::{Description, Sealed};
use crate::clock::{self, rfc3339};
use crate::config::{Arguments, Config};
use crate::fleet::backup;
use crate::{data_dir, tls};

pub(crate) use self::exchange::finish;

/// Writes a backup and says what is in it.
pub(crate) fn back_up(arguments: &Arguments, file: &Path, force: bool) -> Result<()> {
    let config = Config::load(arguments)?;
    if file.exists() && !force {
        bail!(
            "{} is there already; choose another name, or overwrite it with --force",
            file.display()
        );
    }
    only_sqlite(&config)?;
    let database = config.database();
    if database.file().is_none_or(|it| !it.exists()) {
        bail!("there is no database at {database}, so there is nothing to back up");
    }
    let (copy, unfinished) = (beside(file, "database.new"), beside(file, "new"));
    let sealed = write_backup(&config, &copy, &unfinished);
    fs::remove_file(&copy).or_else(missing_is_fine)?;
    if sealed.is_err() {
        fs::remove_file(&unfinished).or_else(missing_is_fine)?;
    }
    let sealed = sealed?;
    fs::rename(&unfinished, file)
        .and_then(|()| data_dir::sync_folder_of(file))
        .with_context(|| format!("writing {}", file.display()))?;
    say(&summary(&config, file, &sealed)).context("printing what was done")
}

fn only_sqlite(config: &Config) -> Result<()> {
    match config.database().engine() {
        Engine::Sqlite => Ok(()),
        Engine::Postgres => bail!(
            "the fleet is in PostgreSQL, {}, which has tools of its own: pg_dump, pg_restore, and base backups \
             with their logs; docs/operations.md says how, and what else to keep",
            config.database()
        ),
    }
}

fn write_backup(config: &Config, copy: &Path, unfinished: &Path) -> Result<Sealed> {
    // SQLite fills a file that is there, with the permissions that it has.
    private_file(copy)?;
    let contents = Runtime::new()
        .context("starting the runtime")?
        .block_on(backup::copy(&config.database(), copy))
        .with_context(|| format!("copying the database {}", config.database()))?;
    let mut files = vec![(archive::DATABASE, copy.to_owned())];
    let (certificate, key) = tls::ca::files(&config.data_dir);
    let ca = [(archive::CA_CERTIFICATE, certificate), (archive::CA_KEY, key)];
    files.extend(ca.into_iter().filter(|(_, file)| file.exists()));
    let out = private_file(unfinished)?;
    archive::write(out, &files, contents, &rfc3339(clock::now()))
        .with_context(|| format!("writing {}", unfinished.display()))
}

fn summary(config: &Config, file: &Path, sealed: &Sealed) -> String {
    let Sealed { description, bytes, sha256 } = sealed;
    let Description { clients, revisions, made_at, .. } = description;
    let mut text = format!(
        "backed up to {}\n  made      {made_at}\n  clients   {clients}\n  revisions {revisions}\n  \
         bytes     {bytes}\n  sha256    {sha256}\n\
         The file holds secrets, such as the keys of the fleet manager: who has it can be the fleet \
         manager. Keep it as safe as the server.\n",
        file.display()
    );
    if let Some(certificate) = &config.tls.certificate {
        text.push_str(&format!(
            "Not in it is the certificate of [tls], {}, with its key: keep these yourself.\n",
            certificate.display()
        ));
    }
    text
}

/// Puts a backup in place of what the data directory holds, and says what to do next.
pub(crate) fn restore(arguments: &Arguments, file: &Path) -> Result<()> {
    let config = Config::load(arguments)?;
    only_sqlite(&config)?;
    let backup = File::open(file).with_context(|| format!("opening {}", file.display()))?;
    let _lock = data_dir::open(&config.data_dir)
        .context("a backup is restored while the server is stopped")?;
    // One that was cut off before it had begun to replace anything has done nothing.
    finish(&config.data_dir)?;
    let folder = exchange::new_folder(&config.data_dir)?;
    let description = archive::unpack(backup, &folder)
        .with_context(|| format!("{} cannot be restored; nothing was changed", file.display()))?;
    let now = clock::now();
    let recovered = Runtime::new()
        .context("starting the runtime")?
        .block_on(backup::prepare(&folder.join(archive::DATABASE), &description.made_at, now))
        .with_context(|| format!("{} cannot be restored; nothing was changed", file.display()))?;
    // The next restore needs another time: for its versions, and for the name of what it puts aside.
    while clock::now() <= now {
        thread::sleep(Duration::from_millis(50));
    }
    exchange::commit(&config.data_dir, now)?;
    let aside = finish(&config.data_dir)?;
    say(&what_next(&config, &description, recovered, aside.as_deref()))
        .context("printing what was done")
}

fn what_next(
    config: &Config,
    description: &Description,
    recovered: u64,
    aside: Option<&Path>,
) -> String {
    let Description { made_at, clients, .. } = description;
    let mut text = format!(
        "restored the fleet of {made_at} in {}: {clients} clients\n",
        config.data_dir.display()
    );
    if let Some(aside) = aside {
        text.push_str(&format!("What was there before is in {}.\n", aside.display()));
    }
    text.push_str(&format!(
        "The desired state of {recovered} clients was raised above every version that they may have \
         taken up since; they take it at their next contact.\n\
         Next:\n  1. Start the server.\n  2. Do again what was done since {made_at}, above all what was \
         taken away: clients that were revoked, operators that were removed, keys that were replaced. \
         `gantry client list` shows who is let in.\n  3. Clients that were let in since then ask again, and wait \
         to be let in.\n"
    ));
    text
}

/// An empty file that only the server's user can read; what an interruption left is replaced.
fn private_file(file: &Path) -> Result<File> {
    let make = || {
        fs::remove_file(file).or_else(missing_is_fine)?;
        OpenOptions::new().create_new(true).write(true).mode(0o600).open(file)
    };
    make().with_context(|| format!("making {}", file.display()))
}

/// A name for something unfinished, in the same folder.
fn beside(file: &Path, extension: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(extension);
    file.with_file_name(name)
}

fn missing_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
