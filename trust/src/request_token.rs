//! What authorizes one request of a node: signed by its key, bound to the store, the request and its body, good for a
//! minute, and once.
//!
//! `Authorization: Converge-Key 1~NODE~ISSUED~EXPIRES~NONCE~BODY~SIGNATURE`. Method, target and store are not in it: whoever
//! verifies takes them from the request that came, so that nothing else can be meant.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use converge_model::{Digest, Timestamp};

use crate::node_key::{NodeKey, NodePublicKey, NodeSignature, Purpose};

/// The scheme of the header.
pub const SCHEME: &str = "Converge-Key";
/// For how long a token is good, in milliseconds.
pub const LIFETIME_MILLIS: i64 = 60_000;
/// How far a node's clock may be ahead, in milliseconds.
pub const AHEAD_MILLIS: i64 = 5_000;
/// The longest token, in bytes.
const LONGEST: usize = 512;

/// What a request asks for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The identity of the store that is asked.
    pub store: &'a str,
    /// The method, in capitals.
    pub method: &'a str,
    /// The path, and the query where there is one: as it is sent.
    pub target: &'a str,
}

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestToken {
    /// Who asks.
    pub node: String,
    /// When it was made, by the node's clock as it corrects it.
    pub issued: Timestamp,
    /// Until when it is good.
    pub expires: Timestamp,
    /// No two tokens of a node have the same one.
    pub nonce: [u8; 16],
    /// The digest of the body; that of nothing where there is none.
    pub body: Digest,
    signature: NodeSignature,
}

/// Why a token is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is no token.
    Malformed,
    /// It was not made by the node's key, for this store, this request and this body.
    Forged,
    /// By the clock of who looks, it is not good yet, or no more. The clocks differ, or it is an old one.
    Untimely,
}

impl RequestToken {
    /// A token for a request, good from `now` on.
    pub fn sign(key: &NodeKey, node: &str, asked: Asked<'_>, body: Digest, now: Timestamp, nonce: [u8; 16]) -> Self {
        let expires = Timestamp(now.0.saturating_add(LIFETIME_MILLIS));
        let mut token = Self { node: node.to_owned(), issued: now, expires, nonce, body, signature: [0; 64] };
        token.signature = key.sign(Purpose::Request, &token.message(asked));
        token
    }

    /// The token that a header carries.
    ///
    /// # Errors
    /// Where it carries none.
    pub fn parse(header: &str) -> Result<Self, Refusal> {
        let text = header.strip_prefix(SCHEME).and_then(|rest| rest.strip_prefix(' ')).ok_or(Refusal::Malformed)?;
        if text.len() > LONGEST {
            return Err(Refusal::Malformed);
        }
        let parts: Vec<&str> = text.split('~').collect();
        let ["1", node, issued, expires, nonce, body, signature] = parts.as_slice() else {
            return Err(Refusal::Malformed);
        };
        let time = |text: &str| text.parse().map(Timestamp).map_err(|_| Refusal::Malformed);
        let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Refusal::Malformed);
        Ok(Self {
            node: (*node).to_owned(),
            issued: time(issued)?,
            expires: time(expires)?,
            nonce: bytes(nonce)?.try_into().map_err(|_| Refusal::Malformed)?,
            body: Digest::from_bytes(bytes(body)?.try_into().map_err(|_| Refusal::Malformed)?),
            signature: bytes(signature)?.try_into().map_err(|_| Refusal::Malformed)?,
        })
    }

    /// The value of the header.
    pub fn header(&self) -> String {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let Self { node, issued, expires, nonce, body, signature } = self;
        let (nonce, body, signature) = (text(nonce), text(body.as_bytes()), text(signature));
        format!("{SCHEME} 1~{node}~{}~{}~{nonce}~{body}~{signature}", issued.0, expires.0)
    }

    /// Looks whether the holder of `key` asked this, and when: all of the token but its nonce, which is for the store to
    /// remember, and the body, which may not be here yet.
    ///
    /// # Errors
    /// Where it was another, asked otherwise, or at another time.
    pub fn verify(&self, key: &NodePublicKey, asked: Asked<'_>, now: Timestamp) -> Result<(), Refusal> {
        if !key.verifies(Purpose::Request, &self.message(asked), &self.signature) {
            return Err(Refusal::Forged);
        }
        let lifetime = self.expires.0.saturating_sub(self.issued.0);
        let in_time = self.issued.0 <= now.0.saturating_add(AHEAD_MILLIS) && now < self.expires;
        if in_time && (0..=LIFETIME_MILLIS).contains(&lifetime) { Ok(()) } else { Err(Refusal::Untimely) }
    }

    /// What is signed. No part can hold a line break: a name, a method and a target that came over HTTP do not.
    fn message(&self, asked: Asked<'_>) -> Vec<u8> {
        let Self { node, issued, expires, nonce, body, signature: _ } = self;
        let Asked { store, method, target } = asked;
        let (issued, expires, nonce) = (issued.0, expires.0, URL_SAFE_NO_PAD.encode(nonce));
        format!("{store}\n{node}\n{method}\n{target}\n{body}\n{issued}\n{expires}\n{nonce}").into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const ASKED: Asked<'_> = Asked { store: "store", method: "POST", target: "/v1/reports?x=1" };

    fn token(key: &NodeKey) -> RequestToken {
        RequestToken::sign(key, "web-1", ASKED, Digest::of(b"body"), NOW, [7; 16])
    }

    #[test]
    fn a_token_is_good_for_what_was_asked_and_nothing_else() {
        let (key, other) = (NodeKey::generate().unwrap(), NodeKey::generate().unwrap());
        let good = RequestToken::parse(&token(&key).header()).unwrap();
        assert_eq!(good, token(&key));
        let look = |token: &RequestToken, asked| token.verify(&key.public(), asked, NOW);
        assert_eq!(look(&good, ASKED), Ok(()));
        assert_eq!(good.verify(&other.public(), ASKED, NOW), Err(Refusal::Forged));
        for asked in [
            Asked { store: "other", ..ASKED },
            Asked { method: "PUT", ..ASKED },
            Asked { target: "/v1/reports", ..ASKED },
            Asked { target: "/v1/reports?x=2", ..ASKED },
        ] {
            assert_eq!(look(&good, asked), Err(Refusal::Forged), "{asked:?}");
        }
        for changed in [
            RequestToken { node: "web-2".into(), ..good.clone() },
            RequestToken { issued: Timestamp(NOW.0 + 1), ..good.clone() },
            RequestToken { expires: Timestamp(NOW.0 + 1), ..good.clone() },
            RequestToken { nonce: [8; 16], ..good.clone() },
            RequestToken { body: Digest::of(b"other"), ..good.clone() },
        ] {
            assert_eq!(look(&changed, ASKED), Err(Refusal::Forged), "{changed:?}");
        }
    }

    #[test]
    fn a_token_is_good_for_a_minute() {
        let key = NodeKey::generate().unwrap();
        for (later, expected) in [
            (-AHEAD_MILLIS - 1, Err(Refusal::Untimely)),
            (-AHEAD_MILLIS, Ok(())),
            (LIFETIME_MILLIS - 1, Ok(())),
            (LIFETIME_MILLIS, Err(Refusal::Untimely)),
            (i64::MAX - NOW.0, Err(Refusal::Untimely)),
        ] {
            assert_eq!(token(&key).verify(&key.public(), ASKED, Timestamp(NOW.0 + later)), expected, "{later}");
        }
        // A node that makes one for longer gets nothing by it.
        let mut long = token(&key);
        long.expires = Timestamp(NOW.0 + LIFETIME_MILLIS + 1);
        long.signature = key.sign(Purpose::Request, &long.message(ASKED));
        assert_eq!(long.verify(&key.public(), ASKED, NOW), Err(Refusal::Untimely));
    }

    #[test]
    fn rubbish_is_no_token() {
        let whole = token(&NodeKey::generate().unwrap()).header();
        for end in 0..whole.len() {
            assert_eq!(RequestToken::parse(&whole[..end]), Err(Refusal::Malformed), "{end}");
        }
        for rubbish in
            [format!("{whole}~"), whole.replace("1~", "2~"), "Bearer x".into(), "Converge-Key \u{e9}~".into()]
        {
            assert_eq!(RequestToken::parse(&rubbish), Err(Refusal::Malformed), "{rubbish}");
        }
    }
}
