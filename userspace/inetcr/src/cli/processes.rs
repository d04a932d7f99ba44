// SPDX-License-Identifier: GPL-2.0
//! Processes and their descendants.

use std::collections::HashSet;
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use procfs::process::{Process, all_processes};
use procfs::{ProcError, ProcResult};
use rustix::io::Errno;

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
        let before = found.len();
        for pid in children {
            match open_process(pid) {
                // The number may be that of another process by now.
                Ok(pidfd) if parent(pid)?.is_some_and(|parent| known.contains(&parent)) => {
                    found.push((pid, pidfd));
                }
                Ok(_) => {}
                // One that has ended meanwhile has no sockets.
                Err(error) if error.downcast_ref() == Some(&Errno::SRCH) => {}
                Err(error) => return Err(error),
            }
        }
        if found.len() == before {
            return Ok(found);
        }
    }
}

/// Children of these processes that are not among them.
fn children(parents: &HashSet<i32>) -> anyhow::Result<Vec<i32>> {
    let mut children = Vec::new();
    for process in all_processes().context("the processes in /proc")? {
        if let Some(stat) = living(process.and_then(|process| process.stat()))?
            && parents.contains(&stat.ppid)
            && !parents.contains(&stat.pid)
        {
            children.push(stat.pid);
        }
    }
    let own = i32::try_from(std::process::id()).ok();
    children.retain(|pid| Some(*pid) != own);
    children.sort_unstable();
    Ok(children)
}

fn parent(pid: i32) -> anyhow::Result<Option<i32>> {
    let stat = Process::new(pid).and_then(|process| process.stat());
    Ok(living(stat)?.map(|stat| stat.ppid))
}

/// The numbers of a process, from the PID namespace of this program to that of the process; none if
/// it has ended.
pub(super) fn numbers(pid: i32) -> anyhow::Result<Option<Vec<i32>>> {
    let status = Process::new(pid).and_then(|process| process.status());
    // A kernel without such namespaces says nothing.
    Ok(living(status)?.map(|status| status.nspid.unwrap_or_else(|| vec![pid])))
}

/// Whether a process has come to its end, also if nobody has asked how.
pub(super) fn has_ended(pid: i32) -> anyhow::Result<bool> {
    let stat = Process::new(pid).and_then(|process| process.stat());
    Ok(living(stat)?.is_none_or(|stat| matches!(stat.state, 'Z' | 'X')))
}

/// What is known of a process, none if it has ended.
fn living<T>(found: ProcResult<T>) -> anyhow::Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(ProcError::NotFound(_)) => Ok(None),
        Err(ProcError::Io(error, _)) if Errno::from_io_error(&error) == Some(Errno::SRCH) => {
            Ok(None)
        }
        Err(error) => Err(error).context("the processes in /proc"),
    }
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
        assert_eq!(parent(root).unwrap(), None);
    }

    #[test]
    fn only_a_process_that_has_ended_may_be_missing() {
        let error = |errno| {
            Err::<(), _>(ProcError::Io(
                std::io::Error::from_raw_os_error(errno),
                None,
            ))
        };
        assert!(living(error(3)).unwrap().is_none());
        // No descriptor is left.
        assert!(living(error(24)).is_err());
    }
}
