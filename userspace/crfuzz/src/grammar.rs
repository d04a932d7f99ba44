// SPDX-License-Identifier: GPL-2.0

//! What messages can be like: the family's own specification, read for the purpose.
//!
//! Nothing of the family is written down a second time here, so that what is added to the
//! specification is fuzzed from then on.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

const SPEC: &str =
    include_str!("../../../linux-patches/tree/Documentation/netlink/specs/af_inet_cr.yaml");

/// The whole of it.
#[derive(Debug)]
pub struct Grammar {
    /// Name of the family.
    pub family: String,
    /// The sets of attributes, that of messages first.
    sets: Vec<Set>,
    /// The operations.
    pub operations: Vec<Operation>,
}

/// Which set of attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetId(usize);

/// That of messages.
pub const MESSAGE: SetId = SetId(0);

/// What says which socket it is, and where. A copy has its own.
const IDENTITY: [&str; 5] = ["inode", "cookie", "sock-fd", "cgroup", "reuseport-index"];

/// A set of attributes.
#[derive(Debug)]
struct Set {
    name: String,
    /// By number.
    attributes: Vec<Option<Attribute>>,
}

/// An attribute.
#[derive(Debug)]
pub struct Attribute {
    pub name: String,
    pub number: u16,
    pub kind: Kind,
    /// Whether it may be there several times.
    pub list: bool,
}

/// What is in an attribute.
#[derive(Debug, PartialEq)]
pub enum Kind {
    /// 16 bits in network byte order.
    Be16,
    /// 32 bits, and the range of good values.
    Number { low: i64, high: i64 },
    /// 32 bits, one of these values.
    Enum(Vec<u32>),
    /// 32 bits, of which these have a meaning.
    Flags(u32),
    /// 32 or 64 bits.
    Long { signed: bool },
    /// A string with a 0 at its end.
    Text { max: usize },
    /// Any bytes.
    Bytes { max: usize },
    /// An address.
    Address,
    /// More attributes.
    Nest(SetId),
    /// A number that is not used.
    Unused,
}

/// An operation.
#[derive(Debug)]
pub struct Operation {
    pub name: String,
    pub number: u8,
    /// The attributes of a request that has one answer, if there is such a request.
    pub single: Option<Vec<u16>>,
    /// The same of one that has many.
    pub many: Option<Vec<u16>>,
}

impl Grammar {
    /// Reads the specification.
    pub fn load() -> Result<Self> {
        let spec: Spec = serde_saphyr::from_str(SPEC).context("the specification")?;
        let ids: BTreeMap<_, _> = spec
            .attribute_sets
            .iter()
            .enumerate()
            .map(|(at, set)| (set.name.as_str(), SetId(at)))
            .collect();
        let sets = spec
            .attribute_sets
            .iter()
            .map(|set| read_set(set, &ids, &spec))
            .collect::<Result<Vec<_>>>()?;
        let mut grammar = Self {
            family: spec.name,
            sets,
            operations: Vec::new(),
        };
        let first = spec.attribute_sets.first().map(|set| set.name.as_str());
        let mut number = 0;
        for operation in spec.operations.list {
            if first != Some(operation.attribute_set.as_str()) {
                bail!(
                    "{}: the set of messages is not the first one",
                    operation.name
                );
            }
            number = operation.value.unwrap_or(number + 1);
            let request = |exchange: Option<SpecExchange>| -> Result<_> {
                let Some(exchange) = exchange else {
                    return Ok(None);
                };
                let names = exchange.request.attributes.iter();
                names
                    .map(|name| grammar.number(MESSAGE, name))
                    .collect::<Result<Vec<_>>>()
                    .map(Some)
            };
            let operation = Operation {
                number,
                single: request(operation.single)?,
                many: request(operation.dump)?,
                name: operation.name,
            };
            grammar.operations.push(operation);
        }
        Ok(grammar)
    }

    /// The number of an attribute.
    pub fn number(&self, set: SetId, name: &str) -> Result<u16> {
        let mut all = self.attributes(set);
        let found = all.find(|attribute| attribute.name == name);
        found
            .map(|attribute| attribute.number)
            .with_context(|| format!("no attribute {name} in the set {}", self.set_name(set)))
    }

    /// The numbers of what says which socket it is, and where.
    pub fn identity(&self) -> Result<Vec<u16>> {
        let numbers = IDENTITY.iter().map(|name| self.number(MESSAGE, name));
        numbers.collect()
    }

    /// The name of a set.
    pub fn set_name(&self, set: SetId) -> &str {
        self.sets.get(set.0).map_or("", |set| &set.name)
    }

    /// The attributes of a set.
    pub fn attributes(&self, set: SetId) -> impl Iterator<Item = &Attribute> {
        let set = self.sets.get(set.0).into_iter();
        set.flat_map(|set| set.attributes.iter().flatten())
    }

    /// An attribute by its number.
    pub fn attribute(&self, set: SetId, number: u16) -> Option<&Attribute> {
        let set = self.sets.get(set.0)?;
        set.attributes.get(usize::from(number))?.as_ref()
    }

    /// Any attribute of a set, by a number that says which.
    pub fn nth(&self, set: SetId, nth: usize) -> Option<&Attribute> {
        let set = self.sets.get(set.0)?;
        let all = set.attributes.len().saturating_sub(1).max(1);
        set.attributes.get(1 + nth % all)?.as_ref()
    }

    /// The set that is in an attribute, if it is a nest.
    pub fn nested(&self, set: SetId, number: u16) -> Option<SetId> {
        match self.attribute(set, number)?.kind {
            Kind::Nest(inside) => Some(inside),
            _ => None,
        }
    }

    /// An operation by its number.
    pub fn operation(&self, number: u8) -> Option<&Operation> {
        self.operations.iter().find(|one| one.number == number)
    }

    /// The number of an operation.
    pub fn command(&self, name: &str) -> Result<u8> {
        let found = self.operations.iter().find(|one| one.name == name);
        found
            .map(|operation| operation.number)
            .with_context(|| format!("no operation {name}"))
    }
}

fn read_set(set: &SpecSet, ids: &BTreeMap<&str, SetId>, spec: &Spec) -> Result<Set> {
    let mut attributes = vec![None];
    for one in &set.attributes {
        let number = attributes.len();
        attributes.push(Some(Attribute {
            kind: kind(one, ids, spec).with_context(|| format!("{}/{}", set.name, one.name))?,
            name: one.name.clone(),
            number: u16::try_from(number)?,
            list: one.multi_attr,
        }));
    }
    Ok(Set {
        name: set.name.clone(),
        attributes,
    })
}

fn kind(one: &SpecAttribute, ids: &BTreeMap<&str, SetId>, spec: &Spec) -> Result<Kind> {
    if one.value.is_some() {
        bail!("numbers that are not in their order are not known here");
    }
    let check = |name: &str| -> Result<Option<i64>> {
        one.checks
            .get(name)
            .map(|check| spec.number(check))
            .transpose()
    };
    let max_len = |usual: usize| -> Result<usize> {
        Ok(check("max-len")?.map_or(Ok(usual), usize::try_from)?)
    };
    Ok(match (one.kind.as_str(), &one.enumeration) {
        ("u32", Some(name)) => {
            let definition = spec.definition(name)?;
            let (mut next, mut values) = (0, Vec::new());
            for entry in &definition.entries {
                let value = entry.value.unwrap_or(next);
                next = value + 1;
                values.push(value);
            }
            if one.enum_as_flags {
                Kind::Flags(
                    values
                        .iter()
                        .fold(0, |all, bit| all | 1_u32.wrapping_shl(*bit)),
                )
            } else {
                Kind::Enum(values)
            }
        }
        ("u32", None) => Kind::Number {
            low: check("min")?.unwrap_or(0),
            high: check("max")?.unwrap_or(i64::from(u32::MAX)),
        },
        ("s32", None) => Kind::Number {
            low: check("min")?.unwrap_or(i64::from(i32::MIN)),
            high: check("max")?.unwrap_or(i64::from(i32::MAX)),
        },
        ("u16", None) if one.byte_order.as_deref() == Some("big-endian") => Kind::Be16,
        ("uint", None) => Kind::Long { signed: false },
        ("sint", None) => Kind::Long { signed: true },
        ("string", None) => Kind::Text { max: max_len(64)? },
        ("binary", None) if one.display_hint.as_deref() == Some("ipv4-or-v6") => Kind::Address,
        ("binary", None) => Kind::Bytes { max: max_len(64)? },
        ("nest", None) => {
            let name = one.nested_attributes.as_deref().unwrap_or_default();
            Kind::Nest(*ids.get(name).with_context(|| format!("no set {name}"))?)
        }
        ("unused", None) => Kind::Unused,
        (other, _) => bail!("the fuzzer has nothing for the type {other}"),
    })
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Spec {
    name: String,
    definitions: Vec<SpecDefinition>,
    attribute_sets: Vec<SpecSet>,
    operations: SpecOperations,
}

impl Spec {
    fn definition(&self, name: &str) -> Result<&SpecDefinition> {
        let found = self.definitions.iter().find(|one| one.name == name);
        found.with_context(|| format!("no definition {name}"))
    }

    /// A number, or the constant that a name stands for.
    fn number(&self, check: &SpecCheck) -> Result<i64> {
        match check {
            SpecCheck::Number(number) => Ok(*number),
            SpecCheck::Name(name) => {
                let value = self.definition(name)?.value;
                value.with_context(|| format!("{name} is no number"))
            }
        }
    }
}

#[derive(Debug, Deserialize)]
struct SpecDefinition {
    name: String,
    value: Option<i64>,
    #[serde(default)]
    entries: Vec<SpecEntry>,
}

#[derive(Debug, Deserialize)]
struct SpecEntry {
    value: Option<u32>,
}

#[derive(Debug, Deserialize)]
struct SpecSet {
    name: String,
    attributes: Vec<SpecAttribute>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SpecAttribute {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    value: Option<u16>,
    #[serde(rename = "enum")]
    enumeration: Option<String>,
    #[serde(default)]
    enum_as_flags: bool,
    byte_order: Option<String>,
    display_hint: Option<String>,
    nested_attributes: Option<String>,
    #[serde(default)]
    multi_attr: bool,
    #[serde(default)]
    checks: BTreeMap<String, SpecCheck>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SpecCheck {
    Number(i64),
    Name(String),
}

#[derive(Debug, Deserialize)]
struct SpecOperations {
    list: Vec<SpecOperation>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SpecOperation {
    name: String,
    value: Option<u8>,
    attribute_set: String,
    #[serde(rename = "do")]
    single: Option<SpecExchange>,
    dump: Option<SpecExchange>,
}

#[derive(Debug, Deserialize)]
struct SpecExchange {
    request: SpecMessage,
}

#[derive(Debug, Deserialize)]
struct SpecMessage {
    attributes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specification_is_understood() {
        let grammar = Grammar::load().unwrap();
        assert_eq!(grammar.family, "af-inet-cr");
        assert_eq!(grammar.set_name(MESSAGE), "socket");
        let of = |set, name: &str| {
            let number = grammar.number(set, name).unwrap();
            grammar.attribute(set, number).unwrap()
        };
        assert_eq!(of(MESSAGE, "inode").number, 1);
        assert_eq!(of(MESSAGE, "sock-state").kind, Kind::Enum(vec![1, 7]));
        assert_eq!(of(MESSAGE, "payload").kind, Kind::Bytes { max: 16384 });
        assert!(of(MESSAGE, "payload").list);
        assert_eq!(of(MESSAGE, "shutdown").kind, Kind::Flags(3));
        let Kind::Nest(ip) = of(MESSAGE, "ip").kind else {
            panic!("no nest");
        };
        assert_eq!(
            of(ip, "ttl").kind,
            Kind::Number {
                low: i64::from(i32::MIN),
                high: 255
            }
        );
        let dump = grammar.operation(grammar.command("dump").unwrap()).unwrap();
        assert!(dump.single.as_ref().unwrap().contains(&1));
        assert!(dump.many.is_some());
    }
}
