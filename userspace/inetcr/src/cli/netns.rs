// SPDX-License-Identifier: GPL-2.0
//! Network namespaces.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where ip-netns(8) keeps the namespaces that it has given a name.
const NAMED: &str = "/var/run/netns";

/// Moves the program into a network namespace.
pub(crate) fn enter(name: &Path) -> anyhow::Result<()> {
    let what = || format!("network namespace {}", name.display());
    let file = File::open(path(name)).with_context(what)?;
    let network = Some(LinkNameSpaceType::Network);
    move_into_link_name_space(file.as_fd(), network).with_context(what)
}

/// The file that stands for a namespace. A name has no slash.
fn path(name: &Path) -> PathBuf {
    if name.as_os_str().as_encoded_bytes().contains(&b'/') {
        return name.to_owned();
    }
    Path::new(NAMED).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_of_ip_netns_and_a_path_is_a_path() {
        for (name, expected) in [
            ("blue", "/var/run/netns/blue"),
            ("/proc/1/ns/net", "/proc/1/ns/net"),
            ("./blue", "./blue"),
        ] {
            assert_eq!(path(Path::new(name)), Path::new(expected));
        }
    }

    #[test]
    fn what_is_no_network_namespace_is_refused_by_name() {
        for name in ["nonesuch", "/proc/self/ns/uts", "/dev/null"] {
            let error = format!("{:#}", enter(Path::new(name)).unwrap_err());
            let begin = format!("network namespace {name}: ");
            assert!(error.starts_with(&begin), "{error}");
        }
    }
}
