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
    collections::{
        BTreeMap,
        BTreeSet, //
    },
    path::Path, //
};

/// The headers, and what names of options begin with in each.
const HEADERS: [(&str, &[&str]); 5] = [
    ("include/uapi/asm-generic/socket.h", &["SO_"]),
    ("include/uapi/linux/in.h", &["IP_", "MCAST_"]),
    ("include/uapi/linux/udp.h", &["UDP_"]),
    ("include/uapi/linux/mroute.h", &["MRT_"]),
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
    "MRT_BASE",
    "MRT_FLUSH_MFC",
    "MRT_FLUSH_MFC_STATIC",
    "MRT_FLUSH_VIFS",
    "MRT_FLUSH_VIFS_STATIC",
    "MRT_MAX",
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

/// Options by their names, with their numbers.
type Options = BTreeMap<String, u32>;

/// All options whose names begin with something, from one number to another.
#[derive(Debug, PartialEq, Eq)]
struct Range {
    prefix: String,
    first: u32,
    last: u32,
}

impl Range {
    fn has(&self, name: &str, number: u32) -> bool {
        name.starts_with(&self.prefix) && (self.first..=self.last).contains(&number)
    }
}

/// Says which options are forgotten, or documented and not there.
pub fn check(tree: &Path) -> Result<bool> {
    let mut all = Options::new();
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
    let problems = problems(&all, &carried, &literals(&section), &ranges(&section));
    for problem in &problems {
        eprintln!("{problem}");
    }
    Ok(problems.is_empty())
}

/// Where options, code and documentation do not go together.
fn problems(
    all: &Options,
    carried: &BTreeSet<String>,
    excused: &BTreeSet<String>,
    ranges: &[Range],
) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, &number) in all {
        let in_range = ranges.iter().any(|range| range.has(name, number));
        match (carried.contains(name), excused.contains(name) || in_range) {
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
    for range in ranges {
        let Range {
            prefix,
            first,
            last,
        } = range;
        let known = |end| {
            all.iter()
                .any(|(name, number)| *number == end && range.has(name, end))
        };
        for end in [*first, *last].into_iter().filter(|end| !known(*end)) {
            problems.push(format!(
                "{DOCUMENT}: {prefix}* ({first} to {last}) in \"{SECTION}\", but no {prefix}* of \
                 this kernel is {end}"
            ));
        }
    }
    let unknown = excused.iter().filter(|name| !all.contains_key(*name));
    problems
        .extend(unknown.map(|name| {
            format!("{DOCUMENT}: {name} in \"{SECTION}\" is no option of this kernel")
        }));
    problems
}

/// The options that a header defines: names with a number, or with a sum in parentheses. What is
/// only another name has neither.
fn defined(header: &str, prefixes: &[&str]) -> Options {
    let mut numbers = Options::new();
    for line in header.lines() {
        let Some(define) = line.trim_start().strip_prefix("#define") else {
            continue;
        };
        let define = define.split("/*").next().unwrap_or_default().trim();
        let Some((name, value)) = define.split_once(char::is_whitespace) else {
            continue;
        };
        let sum = value.trim().strip_prefix('(');
        let sum = sum.and_then(|sum| sum.strip_suffix(')'));
        let number = match sum {
            Some(sum) => sum
                .split('+')
                .map(|part| {
                    let part = part.trim();
                    part.parse().ok().or_else(|| numbers.get(part).copied())
                })
                .sum(),
            None => value.trim().parse().ok(),
        };
        if let Some(number) = number {
            numbers.insert(name.to_owned(), number);
        }
    }
    numbers.retain(|name, _| {
        let is_option = prefixes.iter().any(|prefix| name.starts_with(prefix));
        is_option && !VALUES.contains(&name.as_str())
    });
    numbers
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

/// What is set as a literal in reStructuredText. A name with a star stands for many: for those of a
/// range ([`ranges`]), or of headers that are not looked at.
fn literals(text: &str) -> BTreeSet<String> {
    let odd = text.split("``").skip(1).step_by(2);
    odd.filter(|name| !name.ends_with('*'))
        .map(str::to_owned)
        .collect()
}

/// Literals with a star that say from which number to which: ``MRT_*`` (200 to 212).
fn ranges(text: &str) -> Vec<Range> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let many = text.split("*`` (").collect::<Vec<_>>();
    let ranges = many.windows(2).filter_map(|pair| {
        let (_, prefix) = pair[0].rsplit_once("``")?;
        let (numbers, _) = pair[1].split_once(')')?;
        let (first, last) = numbers.split_once(" to ")?;
        Some(Range {
            prefix: prefix.to_owned(),
            first: first.parse().ok()?,
            last: last.parse().ok()?,
        })
    });
    ranges.collect()
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
    fn a_range_stands_for_its_numbers_and_no_more() {
        let header = "#define MRT_BASE\t200\n#define MRT_INIT\t(MRT_BASE)\t/* (1) */\n\
                      #define MRT_DONE (MRT_BASE+1)\n#define MRT_NEW (MRT_BASE + 2)\n\
                      #define MRT_MAX (MRT_BASE+2)\n#define MRT_OLD MRT_INIT\n";
        let all = defined(header, &["MRT_"]);
        let expected = [("MRT_INIT", 200), ("MRT_DONE", 201), ("MRT_NEW", 202)];
        assert_eq!(
            all,
            expected
                .map(|(name, number)| (name.to_owned(), number))
                .into()
        );

        let text = "``IPT_SO_*``\n(from 64), ``MRT_*`` (200\nto 201), ``SO_A`` (80 to 90)";
        let found = |last| {
            let ranges = ranges(&text.replace("201", last));
            assert_eq!(ranges.len(), 1, "{ranges:?}");
            problems(&all, &BTreeSet::new(), &BTreeSet::new(), &ranges)
        };
        assert_eq!(found("202"), Vec::<String>::new());
        let few = found("201");
        assert!(
            few.len() == 1 && few[0].starts_with("MRT_NEW is neither"),
            "{few:?}"
        );
        let many = found("203");
        assert!(many.len() == 1 && many[0].ends_with("is 203"), "{many:?}");
    }

    #[test]
    fn an_option_that_is_forgotten_is_found() {
        let all = defined(HEADER, &["SO_"]);
        let names: Vec<_> = all.keys().map(String::as_str).collect();
        assert_eq!(names, ["SO_DEBUG", "SO_FUTURE", "SO_TXTIME"]);

        let document = "Title\n=====\n\nA\n=\n\nOptions that are not saved\n==========\n\n\
                        * ``SO_TXTIME``: why.\n\nNext\n====\n\n``SO_FUTURE``\n";
        let excused = literals(&section(document, SECTION).expect("the section"));
        let carried = carried(CODE).expect("the table");
        let found = problems(&all, &carried, &excused, &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("SO_FUTURE is neither"));
    }

    #[test]
    fn an_excuse_for_what_is_carried_or_gone_is_found() {
        let all = defined(HEADER, &["SO_"]);
        let excused = ["SO_DEBUG", "SO_FUTURE", "SO_GONE"].map(str::to_owned);
        let carried = carried(CODE).expect("the table");
        let found = problems(&all, &carried, &excused.into(), &[]);
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("SO_DEBUG is carried"));
        assert!(found[1].starts_with("SO_TXTIME is neither"));
        assert!(found[2].contains("SO_GONE"));
    }
}
