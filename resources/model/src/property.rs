//! The types that properties have, each decoding itself from a [`Value`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::{BlobRef, Digest};
use crate::duration::Span;
use crate::path::AbsPath;
use crate::schema::TypeSchema;
use crate::value::Value;

/// A type that a property may have.
pub trait PropertyType: Sized {
    /// How the type is described to people and editors.
    fn schema() -> TypeSchema;

    /// Decodes a value.
    ///
    /// # Errors
    /// Says what the value is and what it should be. The caller adds which property it was.
    fn from_value(value: &Value) -> Result<Self, String>;

    /// What a missing property decodes to; nothing where it is required.
    fn missing() -> Option<Self> {
        None
    }
}

fn expected<T>(what: &str, value: &Value) -> Result<T, String> {
    match value {
        Value::String(text) => Err(format!("expected {what}, found the string {text:?}")),
        Value::Blob(_) => Err(format!("expected {what}, found file content")),
        other => Err(format!("expected {what}, found the {} {other}", other.type_name())),
    }
}

fn parsed<T: std::str::FromStr<Err = String>>(what: &str, value: &Value) -> Result<T, String> {
    match value.as_str() {
        Some(text) => text.parse(),
        None => expected(what, value),
    }
}

impl PropertyType for bool {
    fn schema() -> TypeSchema {
        TypeSchema::Boolean
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Boolean(value) => Ok(*value),
            other => expected("`true` or `false`", other),
        }
    }
}

macro_rules! integer_property {
    ($($ty:ty),*) => { $(
        impl PropertyType for $ty {
            fn schema() -> TypeSchema {
                TypeSchema::Integer {
                    minimum: i64::try_from(<$ty>::MIN).unwrap_or(i64::MIN),
                    maximum: i64::try_from(<$ty>::MAX).unwrap_or(i64::MAX),
                }
            }

            fn from_value(value: &Value) -> Result<Self, String> {
                match value {
                    Value::Integer(number) => <$ty>::try_from(*number)
                        .map_err(|_| format!("{number} is not within {} and {}", <$ty>::MIN, <$ty>::MAX)),
                    other => expected("an integer", other),
                }
            }
        }
    )* };
}
integer_property!(i64, u32, u16, u8);

impl PropertyType for String {
    fn schema() -> TypeSchema {
        TypeSchema::Text { what: "string", pattern: None }
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) if text.contains('\0') => Err("the string holds a NUL byte".to_owned()),
            Value::String(text) => Ok(text.clone()),
            other => expected("a string", other),
        }
    }
}

impl PropertyType for AbsPath {
    fn schema() -> TypeSchema {
        TypeSchema::Text { what: "absolute path", pattern: Some("^(/|.*\\{\\{)") }
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        parsed("an absolute path", value)
    }
}

impl PropertyType for Span {
    fn schema() -> TypeSchema {
        TypeSchema::Text { what: "duration", pattern: Some("^([0-9]+ *(w|d|h|m|s|ms) *)+$|\\{\\{") }
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        parsed("a duration such as \"90s\"", value)
    }
}

impl From<Span> for Value {
    fn from(span: Span) -> Self {
        Value::String(span.to_string())
    }
}

impl PropertyType for Value {
    fn schema() -> TypeSchema {
        TypeSchema::Any
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        Ok(value.clone())
    }
}

impl<T: PropertyType> PropertyType for Option<T> {
    fn schema() -> TypeSchema {
        T::schema()
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(None),
            other => T::from_value(other).map(Some),
        }
    }

    fn missing() -> Option<Self> {
        Some(None)
    }
}

impl<T: PropertyType> PropertyType for Vec<T> {
    fn schema() -> TypeSchema {
        TypeSchema::List(Box::new(T::schema()))
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::List(values) => values
                .iter()
                .enumerate()
                .map(|(index, value)| T::from_value(value).map_err(|error| format!("item {}: {error}", index + 1)))
                .collect(),
            other => expected("a list", other),
        }
    }
}

impl<T: PropertyType> PropertyType for BTreeMap<String, T> {
    fn schema() -> TypeSchema {
        TypeSchema::Map(Box::new(T::schema()))
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Map(values) => values
                .iter()
                .map(|(key, value)| {
                    T::from_value(value).map(|value| (key.clone(), value)).map_err(|error| format!("{key}: {error}"))
                })
                .collect(),
            other => expected("a map", other),
        }
    }
}

/// One value, or a list of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T: PropertyType> PropertyType for OneOrMany<T> {
    fn schema() -> TypeSchema {
        TypeSchema::Either(vec![T::schema(), TypeSchema::List(Box::new(T::schema()))])
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::List(_) => Vec::from_value(value).map(Self),
            other => T::from_value(other).map(|one| Self(vec![one])),
        }
    }
}

/// Permission bits, 0 to 07777, written as an octal string: `"0644"`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mode(pub u32);

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Mode> for Value {
    fn from(mode: Mode) -> Self {
        Value::String(mode.to_string())
    }
}

impl PropertyType for Mode {
    fn schema() -> TypeSchema {
        TypeSchema::Text { what: "mode", pattern: Some("^[0-7]{3,4}$|\\{\\{") }
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let wrong = |found: &dyn fmt::Display| {
            format!("{found} is not a mode; write an octal string of three or four digits, such as \"0644\"")
        };
        match value {
            Value::String(text)
                if matches!(text.len(), 3 | 4) && text.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) =>
            {
                u32::from_str_radix(text, 8).map(Mode).map_err(|_| wrong(text))
            }
            other => Err(wrong(&format!("{:?}", other.to_string()))),
        }
    }
}

/// A user or group: its name, or its number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AccountName {
    /// By name, as in passwd(5) or group(5).
    Name(String),
    /// By number.
    Id(u32),
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AccountName::Name(name) => f.write_str(name),
            AccountName::Id(id) => id.fmt(f),
        }
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Checks the name of a user or group: what `useradd` of Debian and Fedora both take.
///
/// # Errors
/// Says which rule the name breaks.
pub fn check_account_name(name: &str) -> Result<(), String> {
    let mut letters = name.bytes();
    let good = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'.' | b'$'))
        && name.len() <= 32;
    if good {
        Ok(())
    } else {
        Err(format!(
            "{name:?} is not a user or group name (a letter or _ first, then letters, digits, `_`, `-`, `.`; at most 32)"
        ))
    }
}

impl PropertyType for AccountName {
    fn schema() -> TypeSchema {
        TypeSchema::Either(vec![
            TypeSchema::Text { what: "user or group name", pattern: None },
            TypeSchema::Integer { minimum: 0, maximum: i64::from(u32::MAX) - 1 },
        ])
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::Integer(id) => match u32::try_from(*id) {
                Ok(id) if id != u32::MAX => Ok(AccountName::Id(id)),
                _ => Err(format!("{id} is not a user or group number")),
            },
            Value::String(name) => check_account_name(name).map(|()| AccountName::Name(name.clone())),
            other => expected("a user or group name", other),
        }
    }
}

/// What a file holds: bytes at hand, or bytes that the system's blob source has.
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// The bytes.
    Bytes(Arc<[u8]>),
    /// Their digest and size.
    Blob(BlobRef),
}

impl Content {
    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Blob(blob) => blob.size,
        }
    }

    /// Their digest. Computed at each call where the bytes are at hand.
    pub fn digest(&self) -> Digest {
        match self {
            Content::Bytes(bytes) => Digest::of(bytes),
            Content::Blob(blob) => blob.digest,
        }
    }
}

impl fmt::Debug for Content {
    /// Size and digest only: the bytes may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes, sha256 {})", self.size(), self.digest().short())
    }
}

impl PropertyType for Content {
    fn schema() -> TypeSchema {
        TypeSchema::Content
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Content::Bytes(text.as_bytes().into())),
            Value::Blob(blob) => Ok(Content::Blob(*blob)),
            other => expected("text", other),
        }
    }
}

/// What to execute: an argument vector, or a line for `/bin/sh -c`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum CommandLine {
    /// The program and its arguments. Nothing interprets them.
    Argv(Vec<String>),
    /// A line for the shell.
    Shell(String),
}

impl fmt::Display for CommandLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandLine::Argv(words) => f.write_str(&words.join(" ")),
            CommandLine::Shell(line) => f.write_str(line),
        }
    }
}

impl PropertyType for CommandLine {
    fn schema() -> TypeSchema {
        TypeSchema::Either(vec![
            TypeSchema::Text { what: "shell command", pattern: None },
            TypeSchema::List(Box::new(String::schema())),
        ])
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match value {
            Value::List(_) => match Vec::<String>::from_value(value)? {
                words if words.first().is_some_and(|program| !program.is_empty()) => Ok(CommandLine::Argv(words)),
                _ => Err("an argument vector needs a program first".to_owned()),
            },
            Value::String(line) if line.trim().is_empty() => Err("the command is empty".to_owned()),
            other => String::from_value(other).map(CommandLine::Shell),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_values_are_refused_with_what_was_expected() {
        let text = |text: &str| Value::from(text);
        assert_eq!(Mode::from_value(&text("0644")), Ok(Mode(0o644)));
        for (error, part) in [
            (Mode::from_value(&Value::Integer(644)).unwrap_err(), "octal string"),
            (Mode::from_value(&text("0o644")).unwrap_err(), "octal string"),
            (AccountName::from_value(&text("a b")).unwrap_err(), "is not a user"),
            (AccountName::from_value(&Value::Integer(-1)).unwrap_err(), "-1 is not"),
            (AbsPath::from_value(&text("etc")).unwrap_err(), "absolute path"),
            (bool::from_value(&text("yes")).unwrap_err(), "the string \"yes\""),
            (u16::from_value(&Value::Integer(70_000)).unwrap_err(), "65535"),
            (CommandLine::from_value(&Value::List(vec![])).unwrap_err(), "a program first"),
            (String::from_value(&text("a\0")).unwrap_err(), "NUL"),
            (Vec::<bool>::from_value(&Value::List(vec![Value::Null])).unwrap_err(), "item 1"),
        ] {
            assert!(error.contains(part), "{error}");
        }
    }
}
