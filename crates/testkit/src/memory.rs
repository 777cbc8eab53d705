//! The memory of a running program, as the kernel tells it. All amounts are in bytes.

use std::collections::BTreeMap;
use std::fs;

/// What a program takes, with its share of what several use (proportional set size).
pub fn pss(process: u32) -> u64 {
    amount(&read(process, "smaps_rollup"), "Pss:").expect("smaps_rollup has Pss")
}

/// The part of [`pss`] that is in no file: heap, stacks and what was changed of files.
pub fn anonymous_pss(process: u32) -> u64 {
    amount(&read(process, "smaps_rollup"), "Pss_Anon:").expect("smaps_rollup has Pss_Anon")
}

/// A mapped file, or another kind of memory.
#[derive(Debug, Clone, Default)]
pub struct Mapping {
    /// Its share of [`pss`].
    pub pss: u64,
    /// What of it was changed and belongs to this program alone.
    pub private_dirty: u64,
}

/// What [`pss`] is made of: by the name of the file, `[heap]`, `[stack]`, or nothing for the rest.
pub fn mappings(process: u32) -> BTreeMap<String, Mapping> {
    let (mut mappings, mut name) = (BTreeMap::<String, Mapping>::new(), String::new());
    for line in read(process, "smaps").lines() {
        let mut words = line.split_ascii_whitespace();
        let first = words.next().unwrap_or_default();
        if !first.ends_with(':') {
            // Addresses, permissions, offset, device, inode; then the name, if there is one.
            let path = words.nth(4).unwrap_or_default();
            path.rsplit('/').next().unwrap_or_default().clone_into(&mut name);
            continue;
        }
        let mapping = mappings.entry(name.clone()).or_default();
        mapping.pss += amount(line, "Pss:").unwrap_or_default();
        mapping.private_dirty += amount(line, "Private_Dirty:").unwrap_or_default();
    }
    mappings
}

fn read(process: u32, file: &str) -> String {
    let path = format!("/proc/{process}/{file}");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

fn amount(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait;

    #[test]
    fn the_parts_of_ones_own_memory_add_up_to_the_whole() {
        let own = std::process::id();
        let touched = vec![1_u8; 8 << 20];
        // Another test may start a program meanwhile, and until that runs it shares all memory with this one.
        wait::until("the parts of the memory add up", || {
            let (parts, whole) = (mappings(own), pss(own));
            let sum: u64 = parts.values().map(|it| it.pss).sum();
            let dirty: u64 = parts.values().map(|it| it.private_dirty).sum();
            let least = touched.len() as u64;
            let adds_up = sum.abs_diff(whole) < whole / 4 && dirty >= least;
            (adds_up && anonymous_pss(own) >= least).then_some(())
        });
    }
}
