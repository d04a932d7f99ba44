// SPDX-License-Identifier: GPL-2.0
//! Processes and their descendants.

use std::collections::HashSet;
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use procfs::process::all_processes;

use super::select::open_process;

/// A process and all its descendants that live, parents first, but for this program itself.
///
/// One that is made meanwhile by a process that is not frozen may be missing.
pub(super) fn tree(root: i32) -> anyhow::Result<Vec<(i32, OwnedFd)>> {
    let mut found = vec![(root, open_process(root)?)];
    // Until there is nothing new: a child may have been made since.
    loop {
        let known: HashSet<_> = found.iter().map(|(pid, _)| *pid).collect();
        let children = children(&known)?;
        if children.is_empty() {
            return Ok(found);
        }
        // One that has ended meanwhile has no sockets.
        let opened = children.into_iter();
        let opened = opened.filter_map(|pid| Some((pid, open_process(pid).ok()?)));
        let before = found.len();
        found.extend(opened);
        if found.len() == before {
            return Ok(found);
        }
    }
}

/// Children of these processes that are not among them.
fn children(parents: &HashSet<i32>) -> anyhow::Result<Vec<i32>> {
    let mut children: Vec<_> = all_processes()
        .context("the processes in /proc")?
        .filter_map(|process| process.ok()?.stat().ok())
        .filter(|stat| parents.contains(&stat.ppid) && !parents.contains(&stat.pid))
        .map(|stat| stat.pid)
        .collect();
    let own = i32::try_from(std::process::id()).ok();
    children.retain(|pid| Some(*pid) != own);
    children.sort_unstable();
    Ok(children)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn descendants_are_found_and_others_are_not() {
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "sh -c 'echo ready; read line; :'; :"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut output = std::io::BufReader::new(child.stdout.take().unwrap());
        std::io::BufRead::read_line(&mut output, &mut line).unwrap();
        let root = i32::try_from(child.id()).unwrap();
        let pids: Vec<_> = tree(root).unwrap().iter().map(|(pid, _)| *pid).collect();
        assert_eq!(pids.len(), 2, "{pids:?}");
        assert_eq!(pids[0], root);
        let me = i32::try_from(std::process::id()).unwrap();
        let mine: Vec<_> = tree(me).unwrap().iter().map(|(pid, _)| *pid).collect();
        assert!(pids.iter().all(|pid| mine.contains(pid)), "{mine:?}");
        drop(child.stdin.take());
        child.wait().unwrap();
        other.kill().unwrap();
        other.wait().unwrap();
        assert!(tree(root).is_err());
    }
}
