//! How what is honest is garbled.

use crate::simulation::chance::Chance;

/// Bytes that mean something to somebody.
const TELLING: &[u8] = b"\0\xff\"'{}[]()<>:;,.=#%$\\/\n\r\t -~@0119aAzZ\x80\xc3";
/// Words that mean something to somebody, or too much.
const WORDS: &[&str] = &[
    "-1",
    "0",
    "18446744073709551616",
    "9223372036854775807",
    "-9223372036854775809",
    "1e999",
    "0.1",
    "null",
    "true",
    "[]",
    "{}",
    "\"\"",
    "\\u0000",
    "\\ud800",
    "..",
    "/../",
    "\u{feff}",
    "\u{202e}",
    "{{ ",
    " }}",
    "{% for a in range(99999999) %}",
    "''''",
    "\"\"\"",
    "\r\n\r\n",
    "-----BEGIN SSH SIGNATURE-----",
    "nan",
    "9999-12-31T23:59:60Z",
    "::",
    "~",
    "* ",
];
/// What can be put into itself.
const NESTING: &[&str] =
    &["[", "{\"a\":", "(", "{{", "[[", "a.", "not ", "-", "\"", "\t", "\n", "{% if 1 %}", "a=[", "\\"];

/// Something that is garbled, of whatever these samples are.
pub(super) fn garbled(chance: &mut Chance, samples: &[Vec<u8>]) -> Vec<u8> {
    if samples.is_empty() || chance.percent(3) {
        let mut rubbish = vec![0; size(chance.below(300))];
        chance.fill(&mut rubbish);
        return rubbish;
    }
    let mut bytes = chance.one_of(samples).clone();
    for _ in 0..=chance.below(4) {
        once(chance, &mut bytes, samples);
    }
    bytes
}

fn once(chance: &mut Chance, bytes: &mut Vec<u8>, samples: &[Vec<u8>]) {
    let at = size(chance.below(bytes.len() as u64 + 1));
    let end = (at + size(chance.below(24))).min(bytes.len());
    match chance.below(11) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << chance.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = *chance.one_of(TELLING);
            }
        }
        2 => drop(bytes.splice(at..at, [*chance.one_of(TELLING)])),
        3 => drop(bytes.drain(at..end)),
        4 => bytes.truncate(at),
        5 => {
            let piece = bytes[at..end].repeat(size(1 + chance.below(40)));
            bytes.splice(at..at, piece);
        }
        6 | 7 => drop(bytes.splice(at..at, chance.one_of(WORDS).bytes())),
        8 => {
            let other = chance.one_of(samples);
            let from = size(chance.below(other.len() as u64 + 1));
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        9 => number(chance, bytes, at),
        _ => {
            let deep = if chance.percent(20) { 30_000 } else { 40 };
            bytes.splice(at..at, chance.one_of(NESTING).repeat(deep).into_bytes());
        }
    }
}

/// Puts another number in place of the next one.
fn number(chance: &mut Chance, bytes: &mut Vec<u8>, at: usize) {
    let Some(begin) = bytes[at..].iter().position(u8::is_ascii_digit).map(|offset| at + offset) else { return };
    let length = bytes[begin..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let other = chance.one_of(&WORDS[..7]);
    bytes.splice(begin..begin + length, other.bytes());
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap()
}
