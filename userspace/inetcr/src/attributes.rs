// SPDX-License-Identifier: GPL-2.0
//! The macro that makes an attribute set: structure, table, encoding, decoding and JSON from one
//! list of rows.

/// Defines an attribute set.
///
/// Each row of `fields` is `number field "name" role: type`, and becomes an optional field; its
/// type on the wire follows from the Rust type, by [`Value`](crate::value::Value). Each row of
/// `kept` is `number "name" kind`: a number that the set has and the structure does not carry.
macro_rules! attributes {
    (
        $(#[$meta:meta])*
        pub struct $name:ident, $table:ident;
        fields { $($(#[$field_meta:meta])* $number:literal $field:ident $text:literal $role:ident: $type:ty;)* }
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

            /// Names of the attributes that are present, with their values as people read them.
            pub fn describe(&self) -> Vec<(&'static crate::table::AttributeInfo, String)> {
                let mut rows = Vec::new();
                let mut table = $table.iter();
                $({
                    let row = table.next();
                    if let (Some(row), Some(value)) = (row, &self.$field) {
                        rows.push((row, crate::value::Value::human(value)));
                    }
                })*
                rows
            }
        }
    };
}
pub(crate) use attributes;

use crate::value::Value;

/// Decodes a payload into its field.
pub(crate) fn fill<T: Value>(field: &mut Option<T>, payload: &[u8]) -> Result<(), String> {
    if field.is_some() {
        return Err("comes twice".to_owned());
    }
    *field = Some(T::decode(payload)?);
    Ok(())
}
