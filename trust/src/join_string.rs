//! What a machine needs to become a node, in one word: where the store is, how it is known, whom to trust, and a token.
//!
//! `cvj1.PAYLOAD.CHECK`: a JSON document and the beginning of its digest, both as base64url, so that a string that was cut
//! or mistyped is noticed before anything is asked of anybody.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use converge_model::{Digest, Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};

use crate::secrets::JoinSecret;

/// Begins every join string: what it is, and in which form.
const MARK: &str = "cvj1";
/// Bytes of the digest that end it.
const CHECK_BYTES: usize = 6;
/// The longest join string, in bytes.
pub const LONGEST: usize = 64 << 10;

/// The content of a join string.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinString {
    /// The store's addresses, the likeliest first.
    pub stores: Vec<String>,
    /// The digest of the certificate of the store's authority; without it, whom the machine's system trusts is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Digest>,
    /// The join token: a secret.
    pub token: String,
    /// Whose revisions the node will run: lines of an `allowed_signers` file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signers: Option<String>,
    /// How many of them must have signed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
    /// What makes the machine read its secrets in its first run. It is never shown to the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<JoinSecret>,
}

impl JoinString {
    /// The string.
    ///
    /// # Errors
    /// Where it would be longer than [`LONGEST`].
    pub fn to_text(&self) -> Result<String> {
        let trouble = |cause: String| Error::new(ErrorKind::Invalid, "make", "a join string", cause);
        let payload = serde_json::to_vec(self).map_err(|error| trouble(error.to_string()))?;
        let text = format!("{MARK}.{}.{}", URL_SAFE_NO_PAD.encode(&payload), check(&payload));
        if text.len() > LONGEST {
            return Err(trouble(format!("it would have {} bytes, and {LONGEST} are allowed", text.len()))
                .with_hint("name fewer signers"));
        }
        Ok(text)
    }

    /// What a string says.
    ///
    /// # Errors
    /// Where it is no join string, or not all of one.
    pub fn parse(text: &str) -> Result<Self> {
        let wrong = |cause: &str| {
            Error::new(ErrorKind::Invalid, "use", "the join string", cause)
                .with_hint("pass all of what `converge token create` printed, in quotes")
        };
        let text = text.trim();
        let rest = text.strip_prefix(MARK).and_then(|rest| rest.strip_prefix('.'));
        let rest = rest.ok_or_else(|| wrong(&format!("it does not begin with {MARK}.")))?;
        let (payload, end) = rest.split_once('.').ok_or_else(|| wrong("it was cut: its end is missing"))?;
        let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| wrong("it was cut or mistyped"))?;
        if end != check(&payload) {
            return Err(wrong("it was cut or mistyped: its check does not fit"));
        }
        let join: Self = serde_json::from_slice(&payload).map_err(|error| wrong(&error.to_string()))?;
        if join.stores.is_empty() { Err(wrong("it names no store")) } else { Ok(join) }
    }
}

impl std::fmt::Debug for JoinString {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinString").field("stores", &self.stores).finish_non_exhaustive()
    }
}

fn check(payload: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(&Digest::of(payload).as_bytes()[..CHECK_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::KeeperKey;

    #[test]
    fn a_join_string_that_was_cut_or_mistyped_is_noticed() {
        let join = JoinString {
            stores: vec!["https://store.example:8600".into(), "https://10.0.0.7:8600".into()],
            authority: Some(Digest::of(b"authority")),
            token: "secret".into(),
            signers: Some("* ssh-ed25519 AAAA\n".into()),
            threshold: Some(2),
            secrets: Some(KeeperKey::generate().unwrap().new_join("web", "dev", &[]).unwrap()),
        };
        let text = join.to_text().unwrap();
        assert_eq!(JoinString::parse(&format!(" {text}\n")).unwrap(), join);
        for end in 0..text.len() {
            assert!(JoinString::parse(&text[..end]).is_err(), "{end}");
        }
        for place in 0..text.len() {
            let mut letters = text.clone().into_bytes();
            letters[place] = if letters[place] == b'A' { b'B' } else { b'A' };
            assert!(JoinString::parse(&String::from_utf8(letters).unwrap()).is_err(), "{place}");
        }
        assert!(!format!("{join:?}").contains("secret"));
        let long = JoinString { signers: Some("x".repeat(LONGEST)), ..join };
        assert!(long.to_text().is_err());
    }
}
