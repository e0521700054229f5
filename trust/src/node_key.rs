//! The key that a node is: Ed25519, made on the node, which never leaves it.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use converge_model::{Digest, Error, ErrorKind, Result};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Begins the text of a key: says what it is, and in which form.
const MARK: &str = "converge-node-key-1";

/// A signature by a node.
pub type NodeSignature = [u8; 64];

/// The private key of a node.
pub struct NodeKey {
    pair: Ed25519KeyPair,
    seed: [u8; 32],
}

impl NodeKey {
    /// A new key.
    ///
    /// # Errors
    /// Where the kernel has no randomness to give.
    pub fn generate() -> Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| Error::new(ErrorKind::Unavailable, "make", "a node key", error))?;
        Self::of_seed(seed)
    }

    /// The key whose text this is.
    ///
    /// # Errors
    /// Where it is none.
    pub fn from_text(text: &str) -> Result<Self> {
        let wrong = || Error::new(ErrorKind::Invalid, "read", "a node key", "it is none, or only a part of one");
        let seed = text.trim().strip_prefix(MARK).ok_or_else(wrong)?;
        let seed = URL_SAFE_NO_PAD.decode(seed.trim()).map_err(|_| wrong())?;
        Self::of_seed(seed.try_into().map_err(|_| wrong())?)
    }

    /// The key as a file holds it: a secret.
    pub fn to_text(&self) -> String {
        format!("{MARK} {}\n", URL_SAFE_NO_PAD.encode(self.seed))
    }

    /// What everybody may know.
    pub fn public(&self) -> NodePublicKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        NodePublicKey(bytes)
    }

    /// Signs `message`, for this purpose and no other.
    pub fn sign(&self, purpose: Purpose, message: &[u8]) -> NodeSignature {
        let signature = self.pair.sign(&purpose.framed(message));
        let mut bytes = [0; 64];
        bytes.copy_from_slice(signature.as_ref());
        bytes
    }

    fn of_seed(seed: [u8; 32]) -> Result<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        let pair = pair.map_err(|error| Error::new(ErrorKind::Failed, "use", "a node key", error))?;
        Ok(Self { pair, seed })
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeKey({})", self.public())
    }
}

/// What a signature is good for. One that was made for another purpose does not verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To have a request carried out.
    Request,
    /// To become a node.
    Enroll,
    /// To take the place of another key.
    Rotate,
}

impl Purpose {
    fn framed(self, message: &[u8]) -> Vec<u8> {
        let purpose = match self {
            Purpose::Request => "converge request 1\n",
            Purpose::Enroll => "converge enrol 1\n",
            Purpose::Rotate => "converge rotate 1\n",
        };
        [purpose.as_bytes(), message].concat()
    }
}

/// The public key of a node. Written as 43 letters of base64url.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodePublicKey([u8; 32]);

impl NodePublicKey {
    /// The key of these bytes.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What people compare: `SHA256:` and 43 letters.
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(Digest::of(&self.0).as_bytes()))
    }

    /// Whether the key's holder signed `message` for this purpose.
    pub fn verifies(&self, purpose: Purpose, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(&purpose.framed(message), signature).is_ok()
    }
}

impl fmt::Display for NodePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for NodePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodePublicKey {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| format!("{text:?} is not the public key of a node (43 letters of base64url)"))
    }
}

impl Serialize for NodePublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodePublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A signature as documents carry it.
pub fn signature_text(signature: &NodeSignature) -> String {
    URL_SAFE_NO_PAD.encode(signature)
}

/// The signature of such a text; nothing where it is none.
pub fn signature_from_text(text: &str) -> Option<NodeSignature> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

/// What a machine signs to show that it has the key that it enrols with.
pub fn enrolment_message(join_token: &str, name: &str, key: &NodePublicKey) -> Vec<u8> {
    format!("{}\n{name}\n{key}", Digest::of(join_token.as_bytes())).into_bytes()
}

/// What a node signs with its next key, to show that it has it.
pub fn rotation_message(store: &str, name: &str, next: &NodePublicKey) -> Vec<u8> {
    format!("{store}\n{name}\n{next}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_and_signs_for_one_purpose() {
        let key = NodeKey::generate().unwrap();
        let again = NodeKey::from_text(&key.to_text()).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(key.public().to_string().parse(), Ok(key.public()));
        let signature = again.sign(Purpose::Enroll, b"message");
        assert!(key.public().verifies(Purpose::Enroll, b"message", &signature));
        assert!(!key.public().verifies(Purpose::Request, b"message", &signature));
        assert!(!key.public().verifies(Purpose::Enroll, b"massage", &signature));
        assert!(!NodeKey::generate().unwrap().public().verifies(Purpose::Enroll, b"message", &signature));
        assert!(!format!("{key:?}").contains(key.to_text().trim_start_matches(MARK).trim()));
    }

    #[test]
    fn a_key_that_was_cut_is_none() {
        let text = NodeKey::generate().unwrap().to_text();
        for end in 0..text.trim_end().len() {
            assert!(NodeKey::from_text(&text[..end]).is_err(), "{end}");
        }
        assert!("x".parse::<NodePublicKey>().is_err());
    }
}
