// SPDX-License-Identifier: GPL-2.0

//! Cases as text, for the corpus and for reproducers: JSON, one case in a line.
//!
//! A case is an array of steps. Attributes have their names and their bytes as hexadecimal digits,
//! `61*500` for many equal ones, or as an array of attributes in a nest. A type that the
//! specification does not know, or that has other flags than it should, is there as `#` and its
//! number, and bytes that are no attribute have an empty name.

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use crate::attrs::{self, FLAGS, NESTED};
use crate::case::{Case, ORDINARY, Request, SOCKETS, Step};
use crate::grammar::{Grammar, MESSAGE, SetId};

/// From how many on equal bytes are counted.
const MANY: usize = 16;

/// A case as a line.
pub fn write(grammar: &Grammar, case: &Case) -> String {
    let steps = case.0.iter().map(|step| {
        let mut map = Map::new();
        if step.via != 0 {
            map.insert("via".into(), step.via.into());
        }
        let requests = step.requests.iter().map(|one| request(grammar, one));
        map.insert("send".into(), requests.collect());
        if !step.tail.is_empty() {
            map.insert("tail".into(), hex(&step.tail).into());
        }
        if let Some(parts) = step.parts {
            map.insert("parts".into(), parts.into());
        }
        Value::Object(map)
    });
    Value::Array(steps.collect()).to_string()
}

fn request(grammar: &Grammar, request: &Request) -> Value {
    let mut map = Map::new();
    let name = grammar
        .operation(request.command)
        .map_or_else(|| format!("#{}", request.command), |one| one.name.clone());
    map.insert("op".into(), name.into());
    if request.flags != ORDINARY {
        map.insert("flags".into(), format!("{:x}", request.flags).into());
    }
    if request.lie != 0 {
        map.insert("lie".into(), request.lie.into());
    }
    let inside = list(grammar, Some(MESSAGE), &request.attrs);
    map.insert("attrs".into(), inside.into());
    Value::Object(map)
}

fn list(grammar: &Grammar, set: Option<SetId>, bytes: &[u8]) -> Vec<Value> {
    let mut out = Vec::new();
    let mut walk = attrs::all(bytes);
    for found in walk.by_ref() {
        let number = found.number();
        let nested = set.and_then(|set| grammar.nested(set, number));
        let usual = if nested.is_some() { NESTED } else { 0 };
        let known = set.and_then(|set| grammar.attribute(set, number));
        let name = match known {
            Some(attribute) if found.kind & FLAGS == usual => attribute.name.clone(),
            _ => format!("#{}", found.kind),
        };
        let payload = &bytes[found.payload()..found.end()];
        let mut inside = Vec::new();
        if let Some(nested) = nested {
            inside = list(grammar, Some(nested), payload);
            // What would be read as something else stays bytes.
            if decoded(grammar, Some(nested), &inside).ok().as_deref() != Some(payload) {
                inside.clear();
            }
        }
        out.push(if inside.is_empty() {
            json!([name, hex(payload)])
        } else {
            json!([name, inside])
        });
    }
    if let Some(rest) = bytes.get(walk.place()..).filter(|rest| !rest.is_empty()) {
        out.push(json!(["", hex(rest)]));
    }
    out
}

/// Reads a case.
pub fn read(grammar: &Grammar, line: &str) -> Result<Case> {
    let value: Value = serde_json::from_str(line)?;
    let steps = value.as_array().context("a case is an array of steps")?;
    let steps = steps.iter().map(|step| {
        let map = step.as_object().context("a step is an object")?;
        let number = |name: &str| -> Result<Option<usize>> {
            let Some(value) = map.get(name) else {
                return Ok(None);
            };
            let value = value
                .as_u64()
                .with_context(|| format!("{name}: no number"))?;
            Ok(Some(usize::try_from(value)?))
        };
        let send = map.get("send").and_then(Value::as_array);
        let requests = send.context("a step has messages to send")?.iter();
        let via = number("via")?.unwrap_or(0);
        if via >= SOCKETS {
            bail!("there are {SOCKETS} sockets only");
        }
        Ok(Step {
            via,
            requests: requests
                .map(|one| read_request(grammar, one))
                .collect::<Result<_>>()?,
            tail: map.get("tail").map_or(Ok(Vec::new()), bytes)?,
            parts: number("parts")?,
        })
    });
    Ok(Case(steps.collect::<Result<_>>()?))
}

fn read_request(grammar: &Grammar, value: &Value) -> Result<Request> {
    let map = value.as_object().context("a message is an object")?;
    let name = map.get("op").and_then(Value::as_str);
    let name = name.context("a message has an operation")?;
    let flags = map.get("flags").and_then(Value::as_str);
    let lie = map.get("lie").and_then(Value::as_i64).unwrap_or(0);
    let attrs = map.get("attrs").and_then(Value::as_array);
    Ok(Request {
        command: match name.strip_prefix('#') {
            Some(number) => number.parse()?,
            None => grammar.command(name)?,
        },
        flags: flags.map_or(Ok(ORDINARY), |flags| u16::from_str_radix(flags, 16))?,
        lie: i16::try_from(lie)?,
        attrs: decoded(
            grammar,
            Some(MESSAGE),
            attrs.context("a message has attributes")?,
        )?,
    })
}

fn decoded(grammar: &Grammar, set: Option<SetId>, list: &[Value]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    for one in list {
        let pair = one.as_array().and_then(|pair| {
            let [name, value] = pair.as_slice() else {
                return None;
            };
            Some((name.as_str()?, value))
        });
        let (name, value) = pair.context("an attribute is a name and a value")?;
        if name.is_empty() {
            out.extend(bytes(value)?);
            continue;
        }
        let kind = if let Some(number) = name.strip_prefix('#') {
            number.parse()?
        } else {
            let set = set.context("a name in what is no nest")?;
            let number = grammar.number(set, name)?;
            let flag = grammar.nested(set, number).map_or(0, |_| NESTED);
            number | flag
        };
        let nested = set.and_then(|set| grammar.nested(set, kind & !FLAGS));
        let payload = match value {
            Value::Array(inside) => decoded(grammar, nested, inside)?,
            value => bytes(value)?,
        };
        attrs::put(&mut out, kind, |out| out.extend(payload));
    }
    Ok(out)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    if let Some((first, rest)) = bytes.split_first()
        && bytes.len() >= MANY
        && rest.iter().all(|byte| byte == first)
    {
        return format!("{first:02x}*{}", bytes.len());
    }
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn bytes(value: &Value) -> Result<Vec<u8>> {
    let text = value.as_str().context("bytes are a string")?;
    if let Some((byte, count)) = text.split_once('*') {
        return Ok(vec![u8::from_str_radix(byte, 16)?; count.parse()?]);
    }
    if !text.is_ascii() || text.len() % 2 != 0 {
        bail!("not hexadecimal: {text}");
    }
    let pairs = (0..text.len()).step_by(2);
    let bytes = pairs.map(|at| u8::from_str_radix(&text[at..at + 2], 16));
    Ok(bytes.collect::<Result<_, _>>()?)
}

/// The attributes of an answer, for a person.
pub fn attributes(grammar: &Grammar, bytes: &[u8]) -> String {
    Value::Array(list(grammar, Some(MESSAGE), bytes)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::Generator;
    use crate::rng::Rng;

    #[test]
    fn cases_are_read_as_they_were_written() {
        let grammar = Grammar::load().unwrap();
        let generator = Generator::new(&grammar).unwrap();
        let mut rng = Rng::new(3);
        for _ in 0..3000 {
            let case = generator.case(&mut rng, &[]);
            let line = write(&grammar, &case);
            let again = read(&grammar, &line).unwrap();
            // Padding is no part of what is written.
            assert_eq!(write(&grammar, &again), line);
        }
    }

    #[test]
    fn what_is_written_is_for_people() {
        let grammar = Grammar::load().unwrap();
        let line = r##"[{"send":[{"attrs":[["sock-family","02000000"],["ip",[["ttl","40000000"]]],["#900","61*20"]],"op":"restore"}]}]"##;
        let case = read(&grammar, line).unwrap();
        assert_eq!(case.0[0].requests[0].attrs.len(), 8 + 4 + 8 + 24);
        assert_eq!(write(&grammar, &case), line);
        assert!(read(&grammar, r#"[{"send":[{"op":"fly","attrs":[]}]}]"#).is_err());
        assert!(read(&grammar, r#"[{"send":[],"via":7}]"#).is_err());
    }
}
