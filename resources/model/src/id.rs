//! Identities: of a resource within a policy, of a run.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text;

/// The longest name a resource may have, in bytes: that of a path on Linux.
pub const LONGEST_NAME: usize = 4096;

/// A resource's identity: its kind, and its name within the kind. Written `kind[name]`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResourceId {
    /// As it is written: a run of many resources prints and writes them more often than it takes them apart.
    text: Arc<str>,
    /// How many bytes of it are the kind; at most [`LONGEST_KIND`].
    kind: u8,
}

/// The longest name of a kind, in bytes.
const LONGEST_KIND: usize = 64;

impl ResourceId {
    /// An identity from its parts.
    ///
    /// # Errors
    /// Says what is wrong with a kind that is not `[a-z][a-z0-9_]*`, or with a name that is empty, longer than
    /// [`LONGEST_NAME`] bytes, or holds a control character.
    pub fn new(kind: &str, name: &str) -> Result<Self, String> {
        check(kind, name)?;
        Ok(Self::of(format!("{kind}[{name}]").into(), kind))
    }

    /// An identity of which `kind` was checked to be the kind.
    fn of(text: Arc<str>, kind: &str) -> Self {
        Self { text, kind: kind.len() as u8 }
    }

    /// The kind: `file`.
    pub fn kind(&self) -> &str {
        &self.text[..usize::from(self.kind)]
    }

    /// The name within the kind: `/etc/motd`.
    pub fn name(&self) -> &str {
        &self.text[usize::from(self.kind) + 1..self.text.len() - 1]
    }

    /// Both: `file[/etc/motd]`.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// By kind, then by name.
impl Ord for ResourceId {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.kind(), self.name()).cmp(&(other.kind(), other.name()))
    }
}

impl PartialOrd for ResourceId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Checks the parts of an identity.
fn check(kind: &str, name: &str) -> Result<(), String> {
    check_kind_name(kind)?;
    if name.is_empty() {
        return Err(format!("a {kind} needs a name; this one is empty"));
    }
    if name.len() > LONGEST_NAME {
        return Err(format!("the name of a {kind} may have {LONGEST_NAME} bytes; this one has {}", name.len()));
    }
    if let Some(bad) = text::control_character(name) {
        return Err(format!("the name {name:?} of a {kind} holds the control character {bad:?}"));
    }
    Ok(())
}

/// Checks the name of a kind, built in or custom: `[a-z][a-z0-9_]*`, at most 64 bytes.
///
/// # Errors
/// Says which rule the name breaks.
pub fn check_kind_name(kind: &str) -> Result<(), String> {
    let mut letters = kind.bytes();
    let good = letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
        && kind.len() <= LONGEST_KIND;
    if good {
        Ok(())
    } else {
        Err(format!("{kind:?} is not the name of a kind (lower-case letters, digits and _, a letter first)"))
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ResourceId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('[')
            .and_then(|(kind, rest)| Some((kind, rest.strip_suffix(']')?)))
            .ok_or_else(|| format!("{text:?} is not a resource; write `kind[name]`, for example `service[nginx]`"))
            .and_then(|(kind, name)| check(kind, name).map(|()| Self::of(text.into(), kind)))
    }
}

impl Serialize for ResourceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ResourceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::parsed(deserializer)
    }
}

/// The identity of a run: 128 bits, the time it began first, so that identities sort by time. 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(u128);

impl RunId {
    /// An identity for a run that begins at `millis` since the epoch, with `random` to tell it from others.
    pub fn new(millis: i64, random: u128) -> Self {
        let time = u128::from(u64::try_from(millis).unwrap_or(0)) << 80;
        Self(time | (random & ((1 << 80) - 1)))
    }

    /// When the run began, in milliseconds since the epoch, as [`RunId::new`] was told.
    pub fn millis(self) -> i64 {
        i64::try_from(self.0 >> 80).unwrap_or(i64::MAX)
    }

    /// The 16 bytes, which sort as the identities do.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The identity that these bytes are.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RunId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.len() == 32 && text.bytes().all(|c| c.is_ascii_hexdigit()) {
            u128::from_str_radix(text, 16).map(Self).map_err(|error| error.to_string())
        } else {
            Err(format!("{text:?} is not the identity of a run (32 hexadecimal digits)"))
        }
    }
}

impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::parsed(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resource_ids_are_read_and_refused() {
        let id: ResourceId = "file[/etc/a[1].conf]".parse().unwrap();
        assert_eq!((id.kind(), id.name(), id.to_string().as_str()), ("file", "/etc/a[1].conf", "file[/etc/a[1].conf]"));
        for wrong in ["file", "file[]", "File[x]", "[x]", "file[a\nb]", "file[a\0b]", "file[x", "9[x]"] {
            assert!(wrong.parse::<ResourceId>().is_err(), "{wrong:?}");
        }
        let sorted: Vec<ResourceId> =
            ["a[z]", "a0[c]", "a0[d]"].into_iter().map(|text| text.parse().unwrap()).collect();
        assert!(sorted.is_sorted(), "by kind first, whatever sorts before a bracket");
    }

    #[test]
    fn run_ids_sort_by_time_and_read_back() {
        let (early, late) = (RunId::new(1, u128::MAX), RunId::new(2, 0));
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(late.to_string().parse(), Ok(late));
        assert!("zz".parse::<RunId>().is_err());
    }
}
