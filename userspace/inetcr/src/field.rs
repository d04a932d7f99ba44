// SPDX-License-Identifier: GPL-2.0
//! The fields of an attribute set: a value that is there or not, or a list of values.

use crate::attr::RawAttr;
use crate::value::Value;

/// A field of an attribute set.
pub(crate) trait Field: Default {
    /// Type of the values.
    type Value: Value;

    /// Whether the attribute may come several times (`multi-attr` in the specification).
    const LIST: bool;

    /// The values, in their order.
    fn values(&self) -> &[Self::Value];

    /// Takes one more value.
    fn add(&mut self, value: Self::Value);
}

impl<T: Value> Field for Option<T> {
    type Value = T;

    const LIST: bool = false;

    fn values(&self) -> &[T] {
        self.as_slice()
    }
    fn add(&mut self, value: T) {
        *self = Some(value);
    }
}

impl<T: Value> Field for Vec<T> {
    type Value = T;

    const LIST: bool = true;

    fn values(&self) -> &[T] {
        self
    }
    fn add(&mut self, value: T) {
        self.push(value);
    }
}

/// The attributes of a field.
pub(crate) fn encode<F: Field>(field: &F, number: u16) -> impl Iterator<Item = RawAttr> {
    field.values().iter().map(move |one| one.encode(number))
}

/// Decodes a payload into its field.
pub(crate) fn fill<F: Field>(field: &mut F, payload: &[u8]) -> Result<(), String> {
    if !F::LIST && !is_absent(field) {
        return Err("comes twice".to_owned());
    }
    field.add(F::Value::decode(payload)?);
    Ok(())
}

/// Whether nothing of it was saved.
pub(crate) fn is_absent<F: Field>(field: &F) -> bool {
    field.values().is_empty()
}

/// For `#[serde(with)]`. A list is one in JSON, too, however long it is: that is what the kernel's
/// own YNL client prints and takes.
pub(crate) mod json {
    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer, de, ser};
    use serde_json::Value as Json;

    use super::{Field, Value};

    pub(crate) fn serialize<F: Field, S: Serializer>(
        field: &F,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let values = field.values().iter().map(Value::to_json);
        let mut values: Vec<Json> = values
            .collect::<Result<_, _>>()
            .map_err(ser::Error::custom)?;
        match values.pop() {
            Some(value) if !F::LIST => value.serialize(serializer),
            last => {
                values.extend(last);
                values.serialize(serializer)
            }
        }
    }

    pub(crate) fn deserialize<'de, F: Field, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<F, D::Error> {
        let json = Json::deserialize(deserializer)?;
        let values = match json {
            Json::Array(values) if F::LIST => values,
            other if F::LIST => return Err(de::Error::custom(format!("{other} is not a list"))),
            value => vec![value],
        };
        let mut field = F::default();
        for value in values {
            field.add(F::Value::from_json(value).map_err(de::Error::custom)?);
        }
        Ok(field)
    }
}
