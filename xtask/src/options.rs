// SPDX-License-Identifier: GPL-2.0

//! Whether every socket option of the kernel is either carried or documented as one that is not.
//!
//! The options are those of the kernel's uAPI headers. Carried is what the option table has, and
//! nothing else of the code, which also names what it refuses; why the others are not is in a
//! section of the user documentation. An option that a new kernel brings is in neither.

use anyhow::{
    Context,
    Result, //
};
use fs_err as fs;
use std::{
    collections::BTreeSet,
    path::Path, //
};

/// The headers, and what names of options begin with in each.
const HEADERS: [(&str, &[&str]); 4] = [
    ("include/uapi/asm-generic/socket.h", &["SO_"]),
    ("include/uapi/linux/in.h", &["IP_", "MCAST_"]),
    ("include/uapi/linux/udp.h", &["UDP_"]),
    ("include/uapi/linux/netfilter_ipv4.h", &["SO_"]),
];

/// Names in these headers that look like options and are values of options, or stand for one of
/// two options.
const VALUES: &[&str] = &[
    "IP_DEFAULT_MULTICAST_LOOP",
    "IP_DEFAULT_MULTICAST_TTL",
    "IP_PMTUDISC_DO",
    "IP_PMTUDISC_DONT",
    "IP_PMTUDISC_INTERFACE",
    "IP_PMTUDISC_OMIT",
    "IP_PMTUDISC_PROBE",
    "IP_PMTUDISC_WANT",
    "MCAST_EXCLUDE",
    "MCAST_INCLUDE",
    "UDP_ENCAP_ESPINUDP",
    "UDP_ENCAP_ESPINUDP_NON_IKE",
    "UDP_ENCAP_GTP0",
    "UDP_ENCAP_GTP1U",
    "UDP_ENCAP_L2TPINUDP",
    "UDP_ENCAP_OVPNINUDP",
    "UDP_ENCAP_RXRPC",
];

const DOCUMENT: &str = "Documentation/networking/af_inet_cr.rst";
const SECTION: &str = "Options that are not saved";

/// The file with the option table, and what the table begins with.
const TABLE: (&str, &str) = ("net/ipv4/af_inet_cr/options.rs", "static OPTIONS: ");

/// Says which options are forgotten, or documented and not there.
pub fn check(tree: &Path) -> Result<bool> {
    let mut all = BTreeSet::new();
    for (header, prefixes) in HEADERS {
        let text = fs::read_to_string(tree.join(header))?;
        let found = defined(&text, prefixes);
        anyhow::ensure!(!found.is_empty(), "{header} defines no options");
        all.extend(found);
    }
    let section = section(&fs::read_to_string(tree.join(DOCUMENT))?, SECTION)
        .with_context(|| format!("{DOCUMENT} has no section {SECTION:?}"))?;
    let code = fs::read_to_string(tree.join(TABLE.0))?;
    let carried = carried(&code).with_context(|| format!("{} has no {:?}", TABLE.0, TABLE.1))?;
    let problems = problems(&all, &carried, &literals(&section));
    for problem in &problems {
        eprintln!("{problem}");
    }
    Ok(problems.is_empty())
}

/// Where options, code and documentation do not go together.
fn problems(
    all: &BTreeSet<String>,
    carried: &BTreeSet<String>,
    excused: &BTreeSet<String>,
) -> Vec<String> {
    let mut problems = Vec::new();
    for name in all {
        match (carried.contains(name), excused.contains(name)) {
            (false, false) => problems.push(format!(
                "{name} is neither carried (OPTIONS in {}) nor in {DOCUMENT}, \"{SECTION}\"",
                TABLE.0
            )),
            (true, true) => problems.push(format!(
                "{name} is carried, but {DOCUMENT} has it in \"{SECTION}\""
            )),
            _ => {}
        }
    }
    let unknown = excused.iter().filter(|name| !all.contains(*name));
    problems
        .extend(unknown.map(|name| {
            format!("{DOCUMENT}: {name} in \"{SECTION}\" is no option of this kernel")
        }));
    problems
}

/// The options that a header defines: names with a number.
fn defined(header: &str, prefixes: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in header.lines() {
        let mut parts = line.split_whitespace();
        if parts.next() != Some("#define") {
            continue;
        }
        let (Some(name), Some(value)) = (parts.next(), parts.next()) else {
            continue;
        };
        let is_option = prefixes.iter().any(|prefix| name.starts_with(prefix))
            && value.starts_with(|c: char| c.is_ascii_digit())
            && !VALUES.contains(&name);
        if is_option {
            found.insert(name.to_owned());
        }
    }
    found
}

/// The text of a section, up to the next title.
fn section(document: &str, title: &str) -> Option<String> {
    let (_, rest) = document.split_once(&format!("\n{title}\n"))?;
    let mut lines = rest.lines().skip(1).peekable();
    let mut text = String::new();
    while let Some(line) = lines.next() {
        let underlined = lines.peek().is_some_and(|next| next.starts_with("===="));
        if underlined && !line.is_empty() {
            break;
        }
        text += line;
        text.push('\n');
    }
    Some(text)
}

/// What is set as a literal in reStructuredText. A name with a star stands for many that are in
/// other headers.
fn literals(text: &str) -> BTreeSet<String> {
    let odd = text.split("``").skip(1).step_by(2);
    odd.filter(|name| !name.ends_with('*'))
        .map(str::to_owned)
        .collect()
}

/// The numbers that the rows of the option table have.
fn carried(code: &str) -> Option<BTreeSet<String>> {
    let (_, rest) = code.split_once(TABLE.1)?;
    let (table, _) = rest.split_once("\n];")?;
    let rows = table
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let numbers = rows.flat_map(|line| line.split("uapi::").skip(1));
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = |rest: &str| rest.split(|c| !is_word(c)).next().map(str::to_owned);
    Some(numbers.filter_map(name).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "\
#define SO_DEBUG\t1
#define SO_TXTIME\t\t61
#define SCM_TXTIME\t\tSO_TXTIME
#define SO_FUTURE 99
#define SO_OLD SO_DEBUG
";

    /// A table, and what names options outside of it and in it.
    const CODE: &str = "\
const OTHER: u32 = uapi::SO_TXTIME;
pub(crate) static OPTIONS: &[SocketOption] = &[
    socket(uapi::ATTR, \"SO_TXTIME\", uapi::SO_DEBUG,
        // Not uapi::SO_FUTURE.
        Both),
];
const REFUSED: &[u32] = &[uapi::SO_FUTURE];
";

    #[test]
    fn carried_is_what_the_table_has() {
        let found = carried(CODE).expect("the table");
        let found: Vec<_> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["ATTR", "SO_DEBUG"]);
        assert_eq!(carried("uapi::SO_DEBUG"), None);
    }

    #[test]
    fn a_star_stands_for_other_headers() {
        let found = literals("``MRT_*`` and ``SO_DEBUG``");
        assert_eq!(found, BTreeSet::from(["SO_DEBUG".to_owned()]));
    }

    #[test]
    fn an_option_that_is_forgotten_is_found() {
        let all = defined(HEADER, &["SO_"]);
        let names: Vec<_> = all.iter().map(String::as_str).collect();
        assert_eq!(names, ["SO_DEBUG", "SO_FUTURE", "SO_TXTIME"]);

        let document = "Title\n=====\n\nA\n=\n\nOptions that are not saved\n==========\n\n\
                        * ``SO_TXTIME``: why.\n\nNext\n====\n\n``SO_FUTURE``\n";
        let excused = literals(&section(document, SECTION).expect("the section"));
        let carried = carried(CODE).expect("the table");
        let found = problems(&all, &carried, &excused);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("SO_FUTURE is neither"));
    }

    #[test]
    fn an_excuse_for_what_is_carried_or_gone_is_found() {
        let all = defined(HEADER, &["SO_"]);
        let excused = ["SO_DEBUG", "SO_FUTURE", "SO_GONE"].map(str::to_owned);
        let carried = carried(CODE).expect("the table");
        let found = problems(&all, &carried, &excused.into());
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("SO_DEBUG is carried"));
        assert!(found[1].starts_with("SO_TXTIME is neither"));
        assert!(found[2].contains("SO_GONE"));
    }
}
