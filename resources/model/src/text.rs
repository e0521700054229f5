//! Texts in documents: read without a copy, and looked through for what none may hold.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// The first control character of `text`.
pub(crate) fn control_character(text: &str) -> Option<char> {
    // Most texts are plain ASCII, and this goes through many bytes at a time.
    let is_odd = text.bytes().fold(false, |odd, byte| odd | !(0x20..0x7f).contains(&byte));
    is_odd.then(|| text.chars().find(|letter| letter.is_control())).flatten()
}

/// Reads what is written as text.
///
/// # Errors
/// Where it is no text, or `T` refuses it.
pub(crate) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err = String>,
{
    struct Parsed<T>(PhantomData<T>);

    impl<T: FromStr<Err = String>> Visitor<'_> for Parsed<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Parsed(PhantomData))
}

/// The key of an entry, borrowed from the document where that has it as it is.
pub(crate) struct EntryKey<'de>(pub(crate) Cow<'de, str>);

impl<'de> Deserialize<'de> for EntryKey<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = EntryKey<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<EntryKey<'de>, E> {
                Ok(EntryKey(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<EntryKey<'de>, E> {
                Ok(EntryKey(Cow::Owned(key.to_owned())))
            }

            fn visit_string<E>(self, key: String) -> Result<EntryKey<'de>, E> {
                Ok(EntryKey(Cow::Owned(key)))
            }
        }

        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_control_character_is_found_among_any_letters() {
        for (text, found) in [
            ("", None),
            ("/etc/motd", None),
            ("é", None),
            ("a\nb\0", Some('\n')),
            ("é\u{85}", Some('\u{85}')),
            ("\u{7f}", Some('\u{7f}')),
        ] {
            assert_eq!(control_character(text), found, "{text:?}");
        }
    }

    #[test]
    fn a_key_is_read_whether_or_not_it_holds_escapes() {
        for text in [r#""plain""#, r#""q\u0075oted""#] {
            let key: EntryKey<'_> = serde_json::from_str(text).unwrap();
            assert_eq!(matches!(key.0, Cow::Borrowed(_)), !text.contains('\\'), "{text}");
        }
        assert!(serde_json::from_str::<EntryKey<'_>>("1").is_err());
    }
}
