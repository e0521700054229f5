//! Encryption in the format of age (age-encryption.org/v1) for X25519 recipients: what age(1) encrypts this decrypts, and the
//! other way round.
//!
//! Written on aws-lc-rs, the one provider of cryptography in the house. The crate `age` brings a second one and more than a
//! hundred crates, among them a pre-release; what is needed of the format are the pages of this file.

mod bech32;
mod header;
mod payload;

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use converge_model::{Error, ErrorKind, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

/// The prefix of a recipient's text.
const RECIPIENT: &str = "age";
/// The prefix of an identity's text, in small letters.
const IDENTITY: &str = "age-secret-key-";
/// Begins an encrypted file that is written as text.
const ARMOR: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const ARMOR_END: &str = "-----END AGE ENCRYPTED FILE-----";

/// A key that decrypts: `AGE-SECRET-KEY-1…`. Wiped when it goes.
#[derive(PartialEq, Eq)]
pub struct Identity([u8; 32]);

impl Identity {
    /// A new key.
    ///
    /// # Errors
    /// Where the kernel has no randomness to give.
    pub fn generate() -> Result<Self> {
        Ok(Self(*random::<32>()?))
    }

    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes: a secret.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key whose text this is.
    ///
    /// # Errors
    /// Where it is none.
    pub fn from_text(text: &str) -> Result<Self> {
        let bytes = bech32::decode(IDENTITY, text.trim()).and_then(|bytes| <[u8; 32]>::try_from(&**bytes).ok());
        let wrong = || Error::new(ErrorKind::Invalid, "read", "an age identity", "it is none, or only a part of one");
        bytes.map(Self).ok_or_else(wrong)
    }

    /// The keys of an identity file: a line each, and lines that begin with `#`.
    ///
    /// # Errors
    /// Where it holds anything else, or no key.
    pub fn of_file(text: &str) -> Result<Vec<Self>> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let found = lines.map(Self::from_text).collect::<Result<Vec<_>>>()?;
        if found.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "read", "an age identity", "there is none in the file"));
        }
        Ok(found)
    }

    /// The key as a file holds it: a secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut text = bech32::encode(IDENTITY, &self.0);
        text.make_ascii_uppercase();
        text
    }

    /// Whom to encrypt to, so that this key decrypts it.
    ///
    /// # Errors
    /// Where the key cannot be used.
    pub fn recipient(&self) -> Result<Recipient> {
        let public = self.private()?.compute_public_key().map_err(|_| unusable())?;
        public.as_ref().try_into().map(Recipient).map_err(|_| unusable())
    }

    fn private(&self) -> Result<PrivateKey> {
        PrivateKey::from_private_key(&X25519, &self.0).map_err(|_| unusable())
    }

    /// The key that both sides of an agreement come to.
    fn wrapping_key(&self, other: &[u8; 32], share: &[u8; 32], recipient: &Recipient) -> Result<Zeroizing<[u8; 32]>> {
        let salt = [&share[..], &recipient.0[..]].concat();
        agree(&self.private()?, UnparsedPublicKey::new(&X25519, &other[..]), unusable(), |shared| {
            derive(shared, &salt, b"age-encryption.org/v1/X25519")
        })
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// Somebody to encrypt to: `age1…`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Recipient([u8; 32]);

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bech32::encode(RECIPIENT, &self.0))
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Recipient {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let bytes = bech32::decode(RECIPIENT, text).and_then(|bytes| <[u8; 32]>::try_from(&**bytes).ok());
        bytes.map(Self).ok_or_else(|| format!("{text:?} is not an age recipient (age1…)"))
    }
}

impl Serialize for Recipient {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Encrypts for whoever holds the key of one of these recipients.
///
/// # Errors
/// Where there is no recipient, one is no good, or the kernel has no randomness to give.
pub fn encrypt(to: &[Recipient], plain: &[u8]) -> Result<Vec<u8>> {
    if to.is_empty() {
        return Err(Error::new(ErrorKind::Invalid, "encrypt", "a secret", "there is nobody to encrypt it to"));
    }
    let file_key = random::<16>()?;
    let stanzas = to.iter().map(|recipient| header::Stanza::to(recipient, &file_key)).collect::<Result<Vec<_>>>()?;
    let mut sealed = header::write(&stanzas, &file_key)?;
    payload::seal(&file_key, plain, &mut sealed)?;
    Ok(sealed)
}

/// What was encrypted to one of these keys, also where it is written as text (`age --armor`).
///
/// # Errors
/// Where it is not in the format, was altered or cut, or is for somebody else.
pub fn decrypt(identities: &[&Identity], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let bare;
    let sealed = match sealed.starts_with(ARMOR.as_bytes()) {
        true => {
            bare = without_armor(sealed)?;
            &bare
        }
        false => sealed,
    };
    let (header, payload) = header::read(sealed)?;
    for identity in identities {
        if let Some(file_key) = header.file_key(identity)? {
            header.check(&file_key)?;
            return payload::open(&file_key, payload);
        }
    }
    Err(refused("it is encrypted for somebody else"))
}

fn without_armor(text: &[u8]) -> Result<Vec<u8>> {
    let wrong = || refused("its text form is damaged");
    let text = std::str::from_utf8(text).map_err(|_| wrong())?.trim();
    let text = text.strip_prefix(ARMOR).and_then(|text| text.strip_suffix(ARMOR_END)).ok_or_else(wrong)?;
    let joined: String = text.lines().map(str::trim_end).collect();
    STANDARD.decode(joined).map_err(|_| wrong())
}

fn unusable() -> Error {
    Error::new(ErrorKind::Invalid, "use", "an age key", "it is no good")
}

fn refused(cause: &str) -> Error {
    Error::new(ErrorKind::Denied, "decrypt", "a secret", cause)
}

/// So many random bytes.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(&mut *bytes).map_err(|error| Error::new(ErrorKind::Unavailable, "make", "a key", error))?;
    Ok(bytes)
}

/// 32 bytes made of `from` by HKDF with SHA-256, for one purpose.
pub(crate) fn derive(from: &[u8], salt: &[u8], purpose: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
    struct Length;
    impl KeyType for Length {
        fn len(&self) -> usize {
            32
        }
    }
    let mut key = Zeroizing::new([0; 32]);
    let whole = Salt::new(HKDF_SHA256, salt).extract(from);
    whole.expand(&[purpose], Length).and_then(|made| made.fill(&mut *key)).map_err(|_| unusable())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_encrypted_is_decrypted_by_who_it_is_for_and_nobody_else() {
        let (one, two, other) =
            (Identity::generate().unwrap(), Identity::generate().unwrap(), Identity::generate().unwrap());
        let to = [one.recipient().unwrap(), two.recipient().unwrap()];
        for length in [0, 1, 65_535, 65_536, 65_537, 131_072] {
            let plain: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let sealed = encrypt(&to, &plain).unwrap();
            for identity in [&one, &two] {
                assert_eq!(**decrypt(&[&other, identity], &sealed).unwrap(), *plain, "{length}");
            }
            assert!(decrypt(&[&other], &sealed).unwrap_err().to_string().contains("somebody else"));
        }
        assert!(encrypt(&[], b"x").is_err());
    }

    #[test]
    fn nothing_that_was_altered_or_cut_is_decrypted() {
        let identity = Identity::generate().unwrap();
        let sealed = encrypt(&[identity.recipient().unwrap()], b"hunter2").unwrap();
        for end in 0..sealed.len() {
            assert!(decrypt(&[&identity], &sealed[..end]).is_err(), "cut at {end}");
        }
        for place in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[place] ^= 1;
            assert!(decrypt(&[&identity], &altered).is_err(), "altered at {place}");
        }
        assert!(decrypt(&[&identity], &[sealed, b"more".to_vec()].concat()).is_err());
    }

    #[test]
    fn keys_survive_their_texts_and_show_nothing() {
        let identity = Identity::generate().unwrap();
        let text = identity.to_text();
        assert!(text.starts_with("AGE-SECRET-KEY-1"), "{}", &text[..16]);
        assert_eq!(Identity::from_text(&text).unwrap(), identity);
        let recipient = identity.recipient().unwrap();
        assert_eq!(recipient.to_string().parse(), Ok(recipient));
        assert_eq!(Identity::of_file(&format!("# made today\n\n{}\n", *text)).unwrap(), [identity]);
        assert!(Identity::of_file("# nothing\n").is_err());
        for place in 0..text.len() {
            let mut letters = text.to_string().into_bytes();
            letters[place] = if letters[place] == b'Q' { b'P' } else { b'Q' };
            assert!(Identity::from_text(&String::from_utf8(letters).unwrap()).is_err(), "{place}");
        }
        assert!("age1".parse::<Recipient>().is_err() && text.parse::<Recipient>().is_err());
        assert_eq!(format!("{:?}", Identity::from_text(&text).unwrap()), "Identity");
    }
}
