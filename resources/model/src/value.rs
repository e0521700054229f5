//! Values as cookbooks write them and resources receive them.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::BlobRef;

/// The key that marks a serialized [`Value::Blob`]. No key of a map that people write may begin with `$`.
const BLOB_KEY: &str = "$blob";

/// A value. Maps are ordered by key, so that equal values serialize to equal bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// No value: an expression's `none`.
    #[default]
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A 64-bit signed integer.
    Integer(i64),
    /// A double.
    Float(f64),
    /// Text.
    String(String),
    /// Values in order.
    List(Vec<Value>),
    /// Values by key.
    Map(BTreeMap<String, Value>),
    /// Bytes kept elsewhere under their digest. Written only by the compiler.
    Blob(BlobRef),
}

impl Value {
    /// The value's type, as the language names it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Null => "none",
            Value::Boolean(_) => "boolean",
            Value::Integer(_) => "integer",
            Value::Float(_) => "float",
            Value::String(_) => "string",
            Value::List(_) => "list",
            Value::Map(_) => "map",
            Value::Blob(_) => "blob",
        }
    }

    /// The text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The map, if it is one.
    pub fn as_map(&self) -> Option<&BTreeMap<String, Value>> {
        match self {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    /// The list, if it is one.
    pub fn as_list(&self) -> Option<&[Value]> {
        match self {
            Value::List(list) => Some(list),
            _ => None,
        }
    }

    /// What `path` (keys joined by dots) leads to within maps.
    pub fn lookup(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(self, |value, key| value.as_map()?.get(key))
    }

    /// Lays `later` over this value: maps merge key by key, anything else is replaced.
    pub fn merge(&mut self, later: Value) {
        match (self, later) {
            (Value::Map(map), Value::Map(later)) => {
                for (key, value) in later {
                    match map.get_mut(&key) {
                        Some(earlier) => earlier.merge(value),
                        None => {
                            map.insert(key, value);
                        }
                    }
                }
            }
            (earlier, later) => *earlier = later,
        }
    }
}

impl fmt::Display for Value {
    /// Text as it is; everything else as JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::String(text) => f.write_str(text),
            other => f.write_str(&serde_json::to_string(other).map_err(|_| fmt::Error)?),
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Null => serializer.serialize_unit(),
            Value::Boolean(value) => serializer.serialize_bool(*value),
            Value::Integer(value) => serializer.serialize_i64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::String(value) => serializer.serialize_str(value),
            Value::List(values) => values.serialize(serializer),
            Value::Map(values) => values.serialize(serializer),
            Value::Blob(blob) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(BLOB_KEY, blob)?;
                map.end()
            }
        }
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        i64::try_from(value).map(Value::Integer).map_err(|_| E::custom(format!("{value} does not fit in 64 bits")))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::with_capacity(seq.size_hint().unwrap_or(0).min(4096));
        while let Some(value) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut map = BTreeMap::new();
        while let Some(key) = access.next_key::<String>()? {
            if key == BLOB_KEY && map.is_empty() {
                let blob = access.next_value()?;
                return match access.next_key::<String>()? {
                    None => Ok(Value::Blob(blob)),
                    Some(key) => Err(serde::de::Error::custom(format!("unexpected key {key:?} beside {BLOB_KEY}"))),
                };
            }
            map.insert(key, access.next_value()?);
        }
        Ok(Value::Map(map))
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Value::Boolean(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Value::Integer(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Value::String(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Value::String(value)
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(values: Vec<T>) -> Self {
        Value::List(values.into_iter().map(Into::into).collect())
    }
}

impl From<BTreeMap<String, Value>> for Value {
    fn from(values: BTreeMap<String, Value>) -> Self {
        Value::Map(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_json_and_merge_by_key() {
        let text = r#"{"a":1,"b":[true,null,1.5,"x"],"c":{"$blob":{"digest":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":3}}}"#;
        let mut value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&value).unwrap(), text);
        assert_eq!(value.lookup("c"), Some(&Value::Blob(BlobRef::of(b"abc"))));
        value.merge(serde_json::from_str(r#"{"b":[],"d":{"e":1}}"#).unwrap());
        value.merge(serde_json::from_str(r#"{"d":{"f":2}}"#).unwrap());
        assert_eq!(value.lookup("b"), Some(&Value::List(vec![])));
        assert_eq!(value.lookup("d").unwrap().to_string(), r#"{"e":1,"f":2}"#);
        assert!(serde_json::from_str::<Value>("18446744073709551615").is_err());
    }
}
