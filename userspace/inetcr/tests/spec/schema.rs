// SPDX-License-Identifier: GPL-2.0
//! Reads the YNL specification and the UAPI header, as far as the comparison needs them.

use std::collections::BTreeMap;

use serde::Deserialize;

const SPEC: &str =
    include_str!("../../../../linux-patches/tree/Documentation/netlink/specs/af_inet_cr.yaml");
const HEADER: &str = include_str!("../../../../linux-patches/tree/include/uapi/linux/af_inet_cr.h");

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Spec {
    pub name: String,
    pub definitions: Vec<Definition>,
    pub attribute_sets: Vec<AttributeSet>,
    pub operations: Operations,
}

#[derive(Debug, Deserialize)]
pub struct Definition {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(default)]
    pub entries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
pub struct Entry {
    pub name: String,
    pub value: Option<u32>,
}

#[derive(Debug, Deserialize)]
pub struct AttributeSet {
    pub name: String,
    pub attributes: Vec<Attribute>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Attribute {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub value: Option<u16>,
    #[serde(rename = "enum")]
    pub enumeration: Option<String>,
    #[serde(default)]
    pub enum_as_flags: bool,
    pub byte_order: Option<String>,
    pub display_hint: Option<String>,
    pub nested_attributes: Option<String>,
    #[serde(default)]
    pub multi_attr: bool,
    #[serde(default)]
    pub checks: BTreeMap<String, Check>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(untagged)]
pub enum Check {
    Number(i64),
    Name(String),
}

#[derive(Debug, Deserialize)]
pub struct Operations {
    pub list: Vec<Operation>,
}

#[derive(Debug, Deserialize)]
pub struct Operation {
    pub name: String,
    pub value: Option<u8>,
    #[serde(rename = "do")]
    pub exchange: Option<Exchange>,
    /// The same of a request that is answered by any number of messages.
    pub dump: Option<Exchange>,
}

#[derive(Debug, Deserialize)]
pub struct Exchange {
    pub request: Message,
    pub reply: Message,
}

#[derive(Debug, Deserialize)]
pub struct Message {
    pub attributes: Vec<String>,
}

pub fn spec() -> Spec {
    serde_saphyr::from_str(SPEC).expect("the specification is YAML of the known form")
}

impl Spec {
    pub fn set(&self, name: &str) -> Vec<(u16, &Attribute)> {
        let set = self.attribute_sets.iter().find(|set| set.name == name);
        let mut number = 0;
        set.expect(name)
            .attributes
            .iter()
            .map(|attribute| {
                number = attribute.value.unwrap_or(number + 1);
                (number, attribute)
            })
            .collect()
    }

    /// Values and names of an enumeration, bits for flags.
    pub fn entries(&self, name: &str) -> Vec<(u32, &str)> {
        let definition = self.definitions.iter().find(|one| one.name == name);
        let definition = definition.expect(name);
        let mut next = 0;
        let entries = definition.entries.iter().map(|entry| {
            let value = entry.value.unwrap_or(next);
            next = value + 1;
            let value = if definition.kind == "flags" {
                1 << value
            } else {
                value
            };
            (value, entry.name.as_str())
        });
        entries.collect()
    }
}

/// The type that the specification gives to an attribute.
pub fn kind_of(attribute: &Attribute) -> String {
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    let is = |check: &str, limit| attribute.checks.get(check) == Some(&Check::Number(limit));
    match (attribute.kind.as_str(), &attribute.enumeration) {
        ("u32", Some(name)) if attribute.enum_as_flags => format!("Flags({name:?})"),
        ("u32", Some(name)) => format!("Enum({name:?})"),
        ("u32", None) if is("max", 1) => "Bool".to_owned(),
        ("u32", None) => "U32".to_owned(),
        ("s32", None) => "S32".to_owned(),
        ("uint", None) => "Uint".to_owned(),
        ("sint", None) => "Sint".to_owned(),
        ("unused", None) => "Unused".to_owned(),
        ("u16", None) if name(&attribute.byte_order) == "big-endian" => "Be16".to_owned(),
        ("string", None) if is("max-len", 15) => "Device".to_owned(),
        ("string", None) => "String".to_owned(),
        ("binary", None) if name(&attribute.display_hint) == "ipv4-or-v6" => {
            assert!(is("max-len", 16), "{}", attribute.name);
            "Address".to_owned()
        }
        ("binary", None) => "Binary".to_owned(),
        ("nest", None) => format!("Nest({:?})", name(&attribute.nested_attributes)),
        other => panic!("{}: the library has no type for {other:?}", attribute.name),
    }
}

/// Names and numbers in the header's enumerations and constants.
pub fn header() -> BTreeMap<String, u32> {
    let mut constants = BTreeMap::new();
    let mut next = 0;
    for line in HEADER.lines() {
        let line = line.trim();
        if line.starts_with("enum") {
            next = 0;
        }
        if let Some(define) = line.strip_prefix("#define ") {
            let mut words = define.split_whitespace();
            if let (Some(name), Some(Ok(value))) = (words.next(), words.next().map(str::parse)) {
                constants.insert(name.to_owned(), value);
            }
        }
        let Some(entry) = line
            .strip_suffix(',')
            .filter(|line| line.starts_with("AF_INET_CR"))
        else {
            continue;
        };
        let (name, value) = match entry.split_once(" = ") {
            Some((name, value)) => (name, value.parse().expect("a number")),
            None => (entry, next),
        };
        next = value + 1;
        constants.insert(name.to_owned(), value);
    }
    constants
}
