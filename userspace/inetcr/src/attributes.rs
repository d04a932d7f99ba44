// SPDX-License-Identifier: GPL-2.0
//! The macro that makes an attribute set: structure, table, encoding, decoding and JSON from one
//! list of rows.

/// Defines an attribute set.
///
/// Each row of `fields` is `number field "name" role: type`, and becomes an optional field; its
/// type on the wire follows from the Rust type, by [`Value`](crate::value::Value). With `list`
/// behind the role it becomes a vector, and the attribute may come several times, in an order that
/// counts. A function behind `as` says how people read it, where that is not what the type says.
/// Each row of `kept` is `number "name" kind`: a number that the set has and the structure does
/// not carry.
macro_rules! attributes {
    (
        $(#[$meta:meta])*
        pub struct $name:ident, $table:ident;
        fields { $($(#[$field_meta:meta])* $number:literal $field:ident $text:literal $role:ident $($list:ident)?: $type:ty $(as $human:ident)?;)* }
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
                    with = "crate::field::json",
                    default,
                    skip_serializing_if = "crate::field::is_absent"
                )]
                pub $field: crate::attributes::field!($($list)?: $type),
            )*
        }

        #[doc = concat!("Rows of the attribute set of [`", stringify!($name), "`].")]
        pub const $table: &[crate::table::AttributeInfo] = &[
            $(crate::table::AttributeInfo {
                number: $number,
                name: $text,
                kind: <$type as crate::value::Value>::KIND,
                role: crate::table::Role::$role,
                list: <crate::attributes::field!($($list)?: $type) as crate::field::Field>::LIST,
            },)*
            $(crate::table::AttributeInfo {
                number: $kept,
                name: $kept_text,
                kind: $kept_kind,
                role: crate::table::Role::Other,
                list: false,
            },)*
        ];

        impl $name {
            /// The attributes that are present, in the order of their numbers.
            pub fn to_attrs(&self) -> Vec<crate::RawAttr> {
                let mut attrs = Vec::new();
                $(attrs.extend(crate::field::encode(&self.$field, $number));)*
                attrs
            }

            /// Reads attributes. One that is not known, that comes twice and is no list, or that
            /// does not have the form it should have is an error: nothing is dropped.
            pub fn from_attrs(attrs: &[crate::RawAttr]) -> Result<Self, crate::DecodeError> {
                let mut set = Self::default();
                for attr in attrs {
                    let result = match attr.number() {
                        $($number => crate::field::fill(&mut set.$field, &attr.payload),)*
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
                $(if let Some(row) = table.next() {
                    let human = crate::attributes::human!($type $(as $human)?);
                    rows.extend(crate::attributes::described(row, &self.$field, human));
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

/// The type of a field.
macro_rules! field {
    (: $type:ty) => {
        Option<$type>
    };
    (list: $type:ty) => {
        Vec<$type>
    };
}
pub(crate) use field;

/// How people read a value.
macro_rules! human {
    ($type:ty) => {
        <$type as crate::value::Value>::human
    };
    ($type:ty as $human:ident) => {
        |value: &$type| crate::human::$human(*value)
    };
}
pub(crate) use human;

use crate::attr::RawAttr;
use crate::field::Field;
use crate::table::AttributeInfo;
use crate::value::Value as _;

/// An attribute that is present, and its value as people read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The attribute, in the nests that it is in: outermost first, itself last.
    path: Vec<&'static AttributeInfo>,
    /// Which one it is, of an attribute that may come several times.
    place: Option<usize>,
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

    /// Its name with its place, where it may come several times: `membership[1]`.
    pub fn name_and_place(&self) -> String {
        match self.place {
            Some(place) => format!("{}[{place}]", self.name()),
            None => self.name(),
        }
    }
}

/// What is to be read of one field. A list is read value by value, and so is a nest.
pub(crate) fn described<F: Field>(
    row: &'static AttributeInfo,
    field: &F,
    human: impl Fn(&F::Value) -> String,
) -> Vec<Described> {
    let mut rows = Vec::new();
    for (at, value) in field.values().iter().enumerate() {
        let mut inside = value.inside();
        if inside.is_empty() {
            inside.push(Described {
                path: Vec::new(),
                place: F::LIST.then_some(at),
                value: human(value),
                wire: value.encode(row.number),
            });
        }
        for one in &mut inside {
            one.path.insert(0, row);
        }
        rows.extend(inside);
    }
    rows
}
