//! The data directory: who may look into it, and how much room there is.

use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, StatVfs, access, statvfs};

use super::Finding;
use crate::config::Config;
use crate::tls;

const DATA_DIR: &str = "data directory";
const SECRETS: &str = "secrets";
const ROOM: &str = "room";

/// With less room than this the next package may not fit.
const ROOM_TO_WARN: u64 = 1 << 30;
/// With less than this hardly anything fits.
const ROOM_TO_FAIL: u64 = 64 << 20;

pub(super) fn data_dir(config: &Config) -> Finding {
    let folder = config.data_dir.display();
    let metadata = match fs::metadata(&config.data_dir) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Finding::ok(DATA_DIR, format!("{folder} will be made at the first start"));
        }
        Err(error) => {
            let finding = format!("{folder} cannot be looked at: {error}");
            return Finding::fail(DATA_DIR, finding, "run this as the user of the server");
        }
    };
    if !metadata.is_dir() {
        let advice = "name a directory in data_dir, or move the file away";
        return Finding::fail(DATA_DIR, format!("{folder} is not a directory"), advice);
    }
    if access(&config.data_dir, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK).is_err() {
        let finding = format!("{folder} cannot be written by the user who asks this");
        return Finding::fail(DATA_DIR, finding, "run this, and the server, as its owner");
    }
    if mode(&metadata) & 0o077 != 0 {
        let finding = format!("others may look into {folder}");
        return Finding::warn(DATA_DIR, finding, format!("chmod 700 {folder}"));
    }
    Finding::ok(DATA_DIR, format!("{folder} is private to its owner"))
}

/// Files with secrets are for the server's user alone.
pub(super) fn secrets(config: &Config) -> Finding {
    let (_, ca_key) = tls::ca::files(&config.data_dir);
    let own = [ca_key, config.first_token()].map(|it| (it, 0o077));
    // It may be kept for a group of programs.
    let given = config.tls.key.iter().map(|it| (it.clone(), 0o007));
    let mut open: Vec<PathBuf> = Vec::new();
    for (file, forbidden) in own.into_iter().chain(given) {
        let Ok(metadata) = fs::metadata(&file) else { continue };
        if mode(&metadata) & forbidden != 0 {
            open.push(file);
        }
    }
    if open.is_empty() {
        return Finding::ok(SECRETS, "no file with a secret can be read by others");
    }
    let files = open.iter().map(|it| it.display().to_string()).collect::<Vec<_>>().join(" ");
    Finding::warn(SECRETS, format!("others can read {files}"), format!("chmod 600 {files}"))
}

pub(super) fn room(config: &Config) -> Finding {
    let mut folder: &Path = &config.data_dir;
    while !folder.exists()
        && let Some(parent) = folder.parent()
    {
        folder = parent;
    }
    match statvfs(folder) {
        Ok(disk) => judge(&disk),
        Err(error) => {
            let finding = format!("nobody can say how much room {} has: {error}", folder.display());
            Finding::warn(ROOM, finding, "look at the disk")
        }
    }
}

fn judge(disk: &StatVfs) -> Finding {
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    let finding = format!("{} MiB are free for the data directory", free >> 20);
    let advice = "make room, or move the data directory to a larger disk";
    if free < ROOM_TO_FAIL {
        return Finding::fail(ROOM, finding, advice);
    }
    if free < ROOM_TO_WARN {
        return Finding::warn(ROOM, finding, advice);
    }
    // Some file systems do not count them, and say 0 of 0.
    if disk.f_files > 0 && disk.f_favail < 16 {
        return Finding::fail(ROOM, "the disk can take no more files", "remove some");
    }
    Finding::ok(ROOM, finding)
}

fn mode(metadata: &Metadata) -> u32 {
    metadata.permissions().mode() & 0o777
}
