// SPDX-License-Identifier: GPL-2.0

//! What of the kernel's memory is in use, by the caches of the slab allocator.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use crate::judge::{self, Wrong};

/// All caches, with a directory each.
const CACHES: &str = "/sys/kernel/slab";

/// How many objects of each are in use.
const INFO: &str = "/proc/slabinfo";

/// The objects that are in use, by cache.
pub type Objects = BTreeMap<String, u64>;

/// Counts the objects in use, if the kernel tells (`CONFIG_SLUB_DEBUG`, to root).
///
/// What was freed and only waits to be used again counts as in use, with a processor or in the
/// quarantine of KASAN; so each cache is shrunk before.
pub fn objects() -> Option<Objects> {
    for cache in fs::read_dir(CACHES).ok()?.flatten() {
        // Others are second names.
        if cache.file_type().is_ok_and(|kind| kind.is_dir()) {
            fs::write(cache.path().join("shrink"), "1").ok()?;
        }
    }
    Some(read(&fs::read_to_string(INFO).ok()?))
}

/// Reads what [`INFO`] says, but for caches of which nothing can be told.
fn read(text: &str) -> Objects {
    let lines = text.lines().filter_map(|line| {
        let (name, rest) = line.split_once(char::is_whitespace)?;
        // Lines of the head have no number there.
        let count = rest.split_whitespace().next()?.parse().ok()?;
        // These grow with the files that are read, and with all that is watched.
        let passed_over = name.contains("inode") || name == "dentry" || name.contains("kmemleak");
        (!passed_over).then(|| (name.to_owned(), count))
    });
    lines.collect()
}

/// No memory stays behind: compares with before. What ends may take a while to be freed.
pub fn none_left(before: &Objects, patience: Duration) -> Result<(), Wrong> {
    let start = Instant::now();
    loop {
        let now = objects().ok_or("the caches of the kernel cannot be counted any more")?;
        let result = judge::no_memory(before, &now);
        if result.is_ok() || start.elapsed() > patience {
            return result;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_read() {
        let text = "slabinfo - version: 2.1\n\
            # name            <active_objs> <num_objs> <objsize> <objperslab>\n\
            UDP                    5     16   1920    8    4 : tunables    0    0    0\n\
            proc_inode_cache      23     24    936   17    4 : tunables    0    0    0\n\
            kmalloc-32           600    672     64   42    1 : tunables    0    0    0\n";
        let found = read(text);
        let expected = [("UDP", 5), ("kmalloc-32", 600)];
        assert_eq!(
            found,
            expected
                .map(|(name, count)| (name.to_owned(), count))
                .into()
        );
    }
}
