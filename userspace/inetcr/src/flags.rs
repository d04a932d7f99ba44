// SPDX-License-Identifier: GPL-2.0
//! How bits that have names look on the wire, in JSON and to people.

use bitflags::Flags;
use serde_json::Value as Json;

use crate::value::Value as _;

/// Name of a flag in the specification.
fn flag_name(constant: &str) -> String {
    constant.to_ascii_lowercase().replace('_', "-")
}

/// Names of the flags that are set.
pub(crate) fn names<F: Flags<Bits = u32> + Copy>(flags: F) -> Vec<String> {
    flags
        .iter_names()
        .map(|(name, _)| flag_name(name))
        .collect()
}

/// The bits of a flags attribute. A bit that has no name is an error: nothing is dropped silently.
pub(crate) fn decode<F: Flags<Bits = u32>>(payload: &[u8]) -> Result<F, String> {
    let bits = u32::decode(payload)?;
    F::from_bits(bits).ok_or_else(|| {
        let unknown = bits & !F::all().bits();
        format!("has the bits {unknown:#x}, which this version does not know")
    })
}

/// A list of names, as the kernel's own YNL client has it.
pub(crate) fn to_json<F: Flags<Bits = u32> + Copy>(flags: F) -> Result<Json, String> {
    if flags.contains_unknown_bits() {
        return Err(format!("bits {:#x} have no names", flags.bits()));
    }
    Ok(Json::from(names(flags)))
}

pub(crate) fn from_json<F: Flags<Bits = u32>>(json: &Json) -> Result<F, String> {
    let names = json
        .as_array()
        .ok_or_else(|| format!("{json} is not a list of names"))?;
    let mut flags = F::empty();
    for name in names {
        let name = name.as_str().ok_or_else(|| format!("{name} is no name"))?;
        flags.insert(by_name(name)?);
    }
    Ok(flags)
}

/// The flag of a name in the specification.
pub(crate) fn by_name<F: Flags<Bits = u32>>(name: &str) -> Result<F, String> {
    let flag = F::FLAGS.iter().find(|flag| flag_name(flag.name()) == name);
    let flag =
        flag.ok_or_else(|| format!("{name:?} is not one of the names {}", all_names::<F>()))?;
    Ok(F::from_bits_retain(flag.value().bits()))
}

fn all_names<F: Flags<Bits = u32>>() -> String {
    let names: Vec<_> = F::FLAGS.iter().map(|flag| flag_name(flag.name())).collect();
    names.join(", ")
}
