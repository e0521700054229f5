//! Bech32 (BIP 173): how age writes its keys, with a check of six letters.

use zeroize::Zeroizing;

const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const CHECK: usize = 6;

/// The text of `bytes`, in small letters.
pub(super) fn encode(prefix: &str, bytes: &[u8]) -> Zeroizing<String> {
    let mut groups = Zeroizing::new(Vec::with_capacity(bytes.len() * 2));
    let (mut value, mut bits) = (0_u32, 0);
    for byte in bytes {
        value = (value << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            groups.push(((value >> bits) & 31) as u8);
        }
        value &= (1 << bits) - 1;
    }
    if bits > 0 {
        groups.push(((value << (5 - bits)) & 31) as u8);
    }
    let check = checksum(prefix, &[&groups[..], &[0; CHECK]].concat()) ^ 1;
    let mut text = Zeroizing::new(String::with_capacity(prefix.len() + 1 + groups.len() + CHECK));
    text.push_str(prefix);
    text.push('1');
    let letter = |group: u8| char::from(LETTERS[usize::from(group & 31)]);
    text.extend(groups.iter().map(|group| letter(*group)));
    text.extend((0..CHECK).rev().map(|place| letter(((check >> (5 * place)) & 31) as u8)));
    text
}

/// The bytes of a text with this prefix, in small or in capital letters; nothing where it is no such text.
pub(super) fn decode(prefix: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let is_mixed = text.bytes().any(|c| c.is_ascii_lowercase()) && text.bytes().any(|c| c.is_ascii_uppercase());
    if is_mixed {
        return None;
    }
    let text = Zeroizing::new(text.to_ascii_lowercase());
    let letters = text.strip_prefix(prefix)?.strip_prefix('1')?;
    let group = |letter: u8| LETTERS.iter().position(|&known| known == letter).map(|group| group as u8);
    let groups = Zeroizing::new(letters.bytes().map(group).collect::<Option<Vec<u8>>>()?);
    if checksum(prefix, &groups) != 1 {
        return None;
    }
    let groups = groups.get(..groups.len().checked_sub(CHECK)?)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(groups.len()));
    let (mut value, mut bits) = (0_u32, 0);
    for group in groups {
        value = (value << 5) | u32::from(*group);
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push(((value >> bits) & 255) as u8);
        }
        value &= (1 << bits) - 1;
    }
    (bits < 5 && value == 0).then_some(bytes)
}

fn checksum(prefix: &str, groups: &[u8]) -> u32 {
    const STEPS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let high = prefix.bytes().map(|letter| letter >> 5);
    let low = prefix.bytes().map(|letter| letter & 31);
    high.chain([0]).chain(low).chain(groups.iter().copied()).fold(1, |check, group| {
        let top = check >> 25;
        let next = ((check & 0x1ff_ffff) << 5) ^ u32::from(group);
        STEPS.iter().enumerate().fold(next, |next, (bit, step)| if (top >> bit) & 1 == 1 { next ^ step } else { next })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_read_and_written_alike() {
        // From age's own documentation of its keys.
        let text = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
        let bytes = decode("age", text).unwrap();
        assert_eq!((bytes.len(), encode("age", &bytes).as_str()), (32, text));
        assert!(decode("age", &text.to_uppercase()).is_some() && decode("ag", text).is_none());
        assert!(decode("age", &text.replace('z', "Z")).is_none());
    }
}
