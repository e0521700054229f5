//! The header of an encrypted file: the file's key, wrapped for each recipient, and a check over all of it.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use converge_model::Result;
use zeroize::Zeroizing;

use super::{Identity, Recipient, derive, refused, unusable};

const VERSION: &str = "age-encryption.org/v1";
/// The longest header that is looked at, in bytes, and the most recipients in it.
const LONGEST: usize = 1 << 20;
const MOST_STANZAS: usize = 1_000;
/// Letters of a full line of a stanza's body.
const COLUMNS: usize = 64;

/// A file's key, as it is wrapped for one recipient.
pub(super) struct Stanza {
    share: [u8; 32],
    body: [u8; 32],
}

impl Stanza {
    /// Wraps a file's key.
    pub(super) fn to(recipient: &Recipient, file_key: &[u8; 16]) -> Result<Self> {
        let ephemeral = Identity::generate()?;
        let share = ephemeral.recipient()?.0;
        let key = ephemeral.wrapping_key(&recipient.0, &share, recipient)?;
        let mut body = file_key.to_vec();
        let tag = cipher(&key)?.seal_in_place_separate_tag(nonce(), Aad::empty(), &mut body);
        body.extend_from_slice(tag.map_err(|_| unusable())?.as_ref());
        Ok(Self { share, body: body.try_into().map_err(|_| unusable())? })
    }
}

/// Writes a header.
pub(super) fn write(stanzas: &[Stanza], file_key: &[u8; 16]) -> Result<Vec<u8>> {
    let mut text = format!("{VERSION}\n");
    for Stanza { share, body } in stanzas {
        text.push_str(&format!("-> X25519 {}\n{}\n", STANDARD_NO_PAD.encode(share), STANDARD_NO_PAD.encode(body)));
    }
    text.push_str("---");
    let tag = hmac::sign(&check_key(file_key)?, text.as_bytes());
    Ok(format!("{text} {}\n", STANDARD_NO_PAD.encode(tag)).into_bytes())
}

/// A header that was read.
pub(super) struct Header<'f> {
    /// Those for X25519 recipients; whoever encrypted may have added others.
    stanzas: Vec<Stanza>,
    /// All that the check is about.
    checked: &'f [u8],
    tag: Vec<u8>,
}

/// The header of a file, and what follows it.
pub(super) fn read(file: &[u8]) -> Result<(Header<'_>, &[u8])> {
    let wrong = || refused("it is not in the format of age, or was cut");
    let mut at = 0;
    let mut next = || -> Result<(&str, usize)> {
        let rest = file.get(at..file.len().min(LONGEST)).ok_or_else(wrong)?;
        let end = rest.iter().position(|&byte| byte == b'\n').ok_or_else(wrong)?;
        let line = std::str::from_utf8(&rest[..end]).map_err(|_| wrong())?;
        let began = at;
        at += end + 1;
        Ok((line, began))
    };
    if next()?.0 != VERSION {
        return Err(wrong());
    }
    let mut stanzas = Vec::new();
    loop {
        let (line, began) = next()?;
        if let Some(tag) = line.strip_prefix("--- ") {
            let tag = STANDARD_NO_PAD.decode(tag).map_err(|_| wrong())?;
            let header = Header { stanzas, checked: &file[..began + 3], tag };
            return Ok((header, &file[at..]));
        }
        let mut words = line.strip_prefix("-> ").ok_or_else(wrong)?.split(' ');
        let (kind, share) = (words.next(), words.next());
        let mut body = String::new();
        loop {
            let (line, _) = next()?;
            body.push_str(line);
            if line.len() < COLUMNS {
                break;
            }
        }
        if kind != Some("X25519") {
            continue;
        }
        let bytes = |text: &str| STANDARD_NO_PAD.decode(text).ok().and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let share = share.filter(|_| words.next().is_none()).and_then(bytes).ok_or_else(wrong)?;
        stanzas.push(Stanza { share, body: bytes(&body).ok_or_else(wrong)? });
        if stanzas.len() > MOST_STANZAS {
            return Err(refused("it has too many recipients"));
        }
    }
}

impl Header<'_> {
    /// The file's key, where it is wrapped for this identity.
    pub(super) fn file_key(&self, identity: &Identity) -> Result<Option<Zeroizing<[u8; 16]>>> {
        let recipient = identity.recipient()?;
        for Stanza { share, body } in &self.stanzas {
            let Ok(key) = identity.wrapping_key(share, share, &recipient) else {
                return Err(refused("one of its recipients is no good"));
            };
            let mut body = Zeroizing::new(*body);
            if let Ok(opened) = cipher(&key)?.open_in_place(nonce(), Aad::empty(), &mut *body) {
                return Ok(<[u8; 16]>::try_from(&*opened).ok().map(Zeroizing::new));
            }
        }
        Ok(None)
    }

    /// Holds the header against its check.
    pub(super) fn check(&self, file_key: &[u8; 16]) -> Result<()> {
        hmac::verify(&check_key(file_key)?, self.checked, &self.tag).map_err(|_| refused("its header was altered"))
    }
}

fn check_key(file_key: &[u8; 16]) -> Result<hmac::Key> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &*derive(file_key, b"", b"header")?))
}

fn cipher(key: &[u8; 32]) -> Result<LessSafeKey> {
    UnboundKey::new(&CHACHA20_POLY1305, key).map(LessSafeKey::new).map_err(|_| unusable())
}

/// Each key wraps one thing, so its nonce is nothing.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}
