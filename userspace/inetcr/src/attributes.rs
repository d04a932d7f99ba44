// SPDX-License-Identifier: GPL-2.0
//! The macro that makes an attribute set: structure, table, encoding, decoding and JSON from one
//! list of rows.

/// Defines an attribute set.
///
/// Each row of `fields` is `number field "name" role: type`, and becomes an optional field; its
/// type on the wire follows from the Rust type, by [`Value`](crate::value::Value). A function
/// behind `as` says how people read it, where that is not what the type says. Each row of `kept`
/// is `number "name" kind`: a number that the set has and the structure does not carry.
macro_rules! attributes {
    (
        $(#[$meta:meta])*
        pub struct $name:ident, $table:ident;
        fields { $($(#[$field_meta:meta])* $number:literal $field:ident $text:literal $role:ident: $type:ty $(as $human:ident)?;)* }
        kept { $($kept:literal $kept_text:literal $kept_kind:expr;)* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $(
                $(#[$field_meta])*
                #[serde(
                    rename = $text,
                    with = "crate::value::optional",
                    default,
                    skip_serializing_if = "Option::is_none"
                )]
                pub $field: Option<$type>,
            )*
        }

        #[doc = concat!("Rows of the attribute set of [`", stringify!($name), "`].")]
        pub const $table: &[crate::table::AttributeInfo] = &[
            $(crate::table::AttributeInfo {
                number: $number,
                name: $text,
                kind: <$type as crate::value::Value>::KIND,
                role: crate::table::Role::$role,
            },)*
            $(crate::table::AttributeInfo {
                number: $kept,
                name: $kept_text,
                kind: $kept_kind,
                role: crate::table::Role::Other,
            },)*
        ];

        impl $name {
            /// The attributes that are present, in the order of their numbers.
            pub fn to_attrs(&self) -> Vec<crate::RawAttr> {
                let mut attrs = Vec::new();
                $(if let Some(value) = &self.$field {
                    attrs.push(crate::value::Value::encode(value, $number));
                })*
                attrs
            }

            /// Reads attributes. One that is not known, that comes twice or that does not have
            /// the form it should have is an error: nothing is dropped.
            pub fn from_attrs(attrs: &[crate::RawAttr]) -> Result<Self, crate::DecodeError> {
                let mut set = Self::default();
                for attr in attrs {
                    let result = match attr.number() {
                        $($number => crate::attributes::fill(&mut set.$field, &attr.payload),)*
                        _ => Err("is not carried by this version".to_owned()),
                    };
                    result.map_err(|reason| {
                        crate::DecodeError::attribute($table, attr.number(), reason)
                    })?;
                }
                Ok(set)
            }

            /// The attributes that are present, with their values as people read them. Those of
            /// a nest with many stand for it.
            pub fn describe(&self) -> Vec<crate::Described> {
                let mut rows = Vec::new();
                let mut table = $table.iter();
                $({
                    let row = table.next();
                    if let (Some(row), Some(value)) = (row, &self.$field) {
                        let human = || crate::attributes::human!(value $($human)?);
                        rows.extend(crate::attributes::described(row, value, human));
                    }
                })*
                rows
            }
        }
    };
}
pub(crate) use attributes;

/// Makes a [`Value`] of an attribute set that is a nest in another one.
///
/// It is read attribute by attribute, or in one line that a function makes.
macro_rules! nest {
    ($name:ident $set:literal $table:ident $(in one line: $line:ident)?) => {
        impl crate::value::Value for $name {
            const KIND: crate::table::Kind = crate::table::Kind::Nest($set, $table);

            fn encode(&self, number: u16) -> crate::RawAttr {
                crate::RawAttr::nested(number, &self.to_attrs())
            }
            fn decode(payload: &[u8]) -> Result<Self, String> {
                crate::RawAttr::decode_all(payload)
                    .and_then(|attrs| Self::from_attrs(&attrs))
                    .map_err(|error| format!("holds something wrong: {error}"))
            }
            fn to_json(&self) -> Result<serde_json::Value, String> {
                serde_json::to_value(self).map_err(|error| error.to_string())
            }
            fn from_json(json: serde_json::Value) -> Result<Self, String> {
                serde_json::from_value(json).map_err(|error| error.to_string())
            }
            crate::attributes::nest!(human $($line)?);
        }
    };
    (human $line:ident) => {
        fn human(&self) -> String {
            $line(self)
        }
    };
    (human) => {
        fn human(&self) -> String {
            "empty".to_owned()
        }
        fn inside(&self) -> Vec<crate::Described> {
            self.describe()
        }
    };
}
pub(crate) use nest;

/// How people read a value.
macro_rules! human {
    ($value:ident) => {
        crate::value::Value::human($value)
    };
    ($value:ident $human:ident) => {
        crate::human::$human(*$value)
    };
}
pub(crate) use human;

use crate::attr::RawAttr;
use crate::table::AttributeInfo;
use crate::value::Value;

/// An attribute that is present, and its value as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The attribute, in the nests that it is in: outermost first, itself last.
    path: Vec<&'static AttributeInfo>,
    /// The value.
    pub value: String,
    /// The value as it is on the wire, to compare it with others.
    pub(crate) wire: RawAttr,
}

impl Described {
    /// The outermost attribute: itself, or the nest that it is in.
    pub fn outermost(&self) -> Option<&'static AttributeInfo> {
        self.path.first().copied()
    }

    /// The attribute itself.
    pub fn attribute(&self) -> Option<&'static AttributeInfo> {
        self.path.last().copied()
    }

    /// Its name, behind those of the nests that it is in: `ip.tos`.
    pub fn name(&self) -> String {
        let names: Vec<_> = self.path.iter().map(|row| row.name).collect();
        names.join(".")
    }
}

/// What is to be read of one attribute.
pub(crate) fn described<T: Value>(
    row: &'static AttributeInfo,
    value: &T,
    human: impl FnOnce() -> String,
) -> Vec<Described> {
    let mut inside = value.inside();
    if inside.is_empty() {
        return vec![Described {
            path: vec![row],
            value: human(),
            wire: value.encode(row.number),
        }];
    }
    for one in &mut inside {
        one.path.insert(0, row);
    }
    inside
}

/// Decodes a payload into its field.
pub(crate) fn fill<T: Value>(field: &mut Option<T>, payload: &[u8]) -> Result<(), String> {
    if field.is_some() {
        return Err("comes twice".to_owned());
    }
    *field = Some(T::decode(payload)?);
    Ok(())
}
