//! Values that may still hold expressions.

use std::collections::BTreeMap;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::BlobRef;
use crate::text::EntryKey;
use crate::value::Value;

/// The key that marks a serialized [`Dynamic::Expression`].
const EXPRESSION_KEY: &str = "$expression";
/// The key that marks a serialized [`Dynamic::Text`].
const TEXT_KEY: &str = "$text";
/// The key that marks a serialized [`Value::Blob`].
const BLOB_KEY: &str = "$blob";

/// A value as a cookbook writes it. Serialized, a literal is plain JSON, and what is to be evaluated is a map with one
/// key that begins with `$`: no map that people write may have such a key.
///
/// A list or a map is a [`Literal`](Dynamic::Literal) unless something in it is to be evaluated.
#[derive(Clone, Debug, PartialEq)]
pub enum Dynamic {
    /// Nothing to evaluate.
    Literal(Value),
    /// One expression; its value keeps its type. The source, without braces.
    Expression(String),
    /// Text with expressions in it; its value is a string. The source, with braces.
    Text(String),
    /// A list in which something is to be evaluated.
    List(Vec<Dynamic>),
    /// A map in which something is to be evaluated; keys are as they are.
    Map(BTreeMap<String, Dynamic>),
}

impl Dynamic {
    /// The value, if nothing in it is to be evaluated.
    pub fn literal(&self) -> Option<&Value> {
        match self {
            Dynamic::Literal(value) => Some(value),
            _ => None,
        }
    }

    /// The text, if it is text with nothing to be evaluated.
    pub fn as_str(&self) -> Option<&str> {
        self.literal()?.as_str()
    }

    /// A list of these: literal where all of them are.
    pub fn list(items: Vec<Dynamic>) -> Self {
        if items.iter().all(|item| item.literal().is_some()) {
            let value = |item| if let Dynamic::Literal(value) = item { Some(value) } else { None };
            Dynamic::Literal(Value::List(items.into_iter().filter_map(value).collect()))
        } else {
            Dynamic::List(items)
        }
    }

    /// A map of these: literal where all of them are.
    pub fn map(entries: BTreeMap<String, Dynamic>) -> Self {
        if entries.values().all(|value| value.literal().is_some()) {
            let value = |(key, value)| if let Dynamic::Literal(value) = value { Some((key, value)) } else { None };
            Dynamic::Literal(Value::Map(entries.into_iter().filter_map(value).collect()))
        } else {
            Dynamic::Map(entries)
        }
    }
}

impl Default for Dynamic {
    fn default() -> Self {
        Dynamic::Literal(Value::Null)
    }
}

impl<T: Into<Value>> From<T> for Dynamic {
    fn from(value: T) -> Self {
        Dynamic::Literal(value.into())
    }
}

impl Serialize for Dynamic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let marked = |serializer: S, key: &str, source: &str| {
            let mut map = serializer.serialize_map(Some(1))?;
            map.serialize_entry(key, source)?;
            map.end()
        };
        match self {
            Dynamic::Literal(value) => value.serialize(serializer),
            Dynamic::Expression(source) => marked(serializer, EXPRESSION_KEY, source),
            Dynamic::Text(source) => marked(serializer, TEXT_KEY, source),
            Dynamic::List(items) => items.serialize(serializer),
            Dynamic::Map(entries) => entries.serialize(serializer),
        }
    }
}

struct DynamicVisitor;

impl<'de> Visitor<'de> for DynamicVisitor {
    type Value = Dynamic;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value or an expression")
    }

    fn visit_unit<E>(self) -> Result<Dynamic, E> {
        Ok(Dynamic::default())
    }

    fn visit_bool<E>(self, value: bool) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Dynamic, E> {
        i64::try_from(value).map(Dynamic::from).map_err(|_| E::custom(format!("{value} does not fit in 64 bits")))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Dynamic, E> {
        Ok(Dynamic::Literal(Value::Float(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Dynamic, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Dynamic, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Dynamic::list(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Dynamic, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some(EntryKey(key)) = access.next_key()? {
            if !key.starts_with('$') {
                entries.insert(key.into_owned(), access.next_value()?);
                continue;
            }
            let marked = match &*key {
                EXPRESSION_KEY => Dynamic::Expression(access.next_value()?),
                TEXT_KEY => Dynamic::Text(access.next_value()?),
                BLOB_KEY => Dynamic::Literal(Value::Blob(access.next_value::<BlobRef>()?)),
                _ => return Err(A::Error::custom(format!("unknown mark {key:?}"))),
            };
            if !entries.is_empty() || access.next_key::<EntryKey<'de>>()?.is_some() {
                return Err(A::Error::custom(format!("unexpected keys beside {key:?}")));
            }
            return Ok(marked);
        }
        Ok(Dynamic::map(entries))
    }
}

impl<'de> Deserialize<'de> for Dynamic {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DynamicVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_plain_and_what_is_evaluated_is_marked() {
        let text = concat!(
            r#"{"a":[1,{"$expression":"facts.cpu.count"}],"#,
            r#""b":{"c":{"$text":"{{ x }}-y"}},"d":[true,null,1.5,{"e":"f"}],"#,
            r#""g":{"$blob":{"digest":"ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad","size":3}}}"#
        );
        let Dynamic::Map(map) = serde_json::from_str(text).unwrap() else { panic!("not a map") };
        assert_eq!(map["a"], Dynamic::List(vec![1.into(), Dynamic::Expression("facts.cpu.count".into())]));
        assert!(map["d"].literal().is_some(), "nothing to evaluate: {:?}", map["d"]);
        assert_eq!(map["g"].literal(), Some(&Value::Blob(BlobRef::of(b"abc"))));
        assert_eq!(serde_json::to_string(&Dynamic::Map(map)).unwrap(), text);
    }

    #[test]
    fn unknown_marks_and_keys_beside_a_mark_are_refused() {
        for wrong in [r#"{"$x":1}"#, r#"{"$text":"a","b":1}"#, r#"{"a":1,"$text":"b"}"#, "18446744073709551615"] {
            assert!(serde_json::from_str::<Dynamic>(wrong).is_err(), "{wrong}");
        }
    }
}
