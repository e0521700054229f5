//! What is encrypted: in chunks, of which each says by its number and by whether it is the last where it belongs.

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use converge_model::Result;
use zeroize::Zeroizing;

use super::{derive, random, refused, unusable};

/// Bytes of a chunk, but for the last one, which may have less.
const CHUNK: usize = 64 << 10;
const TAG: usize = 16;
const SALT: usize = 16;

/// Appends what `plain` is encrypted to.
pub(super) fn seal(file_key: &[u8; 16], plain: &[u8], to: &mut Vec<u8>) -> Result<()> {
    let salt = random::<SALT>()?;
    to.extend_from_slice(&*salt);
    let cipher = cipher(file_key, &*salt)?;
    let count = plain.len().div_ceil(CHUNK).max(1);
    for number in 0..count {
        let chunk = &plain[number * CHUNK..plain.len().min((number + 1) * CHUNK)];
        let mut sealed = Zeroizing::new(chunk.to_vec());
        let nonce = nonce(number, number + 1 == count);
        let tag = cipher.seal_in_place_separate_tag(nonce, Aad::empty(), &mut sealed).map_err(|_| unusable())?;
        to.extend_from_slice(&sealed);
        to.extend_from_slice(tag.as_ref());
    }
    Ok(())
}

/// What was encrypted.
pub(super) fn open(file_key: &[u8; 16], payload: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
    let wrong = || refused("it was altered or cut");
    let (salt, sealed) = payload.split_at_checked(SALT).ok_or_else(wrong)?;
    let cipher = cipher(file_key, salt)?;
    // Made once: what grows leaves copies behind.
    let mut plain = Zeroizing::new(Vec::with_capacity(sealed.len()));
    let mut chunks = sealed.chunks(CHUNK + TAG).enumerate().peekable();
    if sealed.is_empty() {
        return Err(wrong());
    }
    while let Some((number, chunk)) = chunks.next() {
        let is_last = chunks.peek().is_none();
        let mut chunk = Zeroizing::new(chunk.to_vec());
        let opened = cipher.open_in_place(nonce(number, is_last), Aad::empty(), &mut chunk).map_err(|_| wrong())?;
        if opened.is_empty() && number > 0 {
            return Err(wrong());
        }
        plain.extend_from_slice(opened);
    }
    Ok(plain)
}

fn cipher(file_key: &[u8; 16], salt: &[u8]) -> Result<LessSafeKey> {
    let key = derive(file_key, salt, b"payload")?;
    UnboundKey::new(&CHACHA20_POLY1305, &*key).map(LessSafeKey::new).map_err(|_| unusable())
}

fn nonce(number: usize, is_last: bool) -> Nonce {
    let mut bytes = [0; 12];
    bytes[3..11].copy_from_slice(&(number as u64).to_be_bytes());
    bytes[11] = u8::from(is_last);
    Nonce::assume_unique_for_key(bytes)
}
