//! The order of Debian versions: epoch, upstream version, revision, with `~` before everything, even the end.

use std::cmp::Ordering;

/// Compares two versions as `dpkg --compare-versions` does. Total: what is no version still has its place.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (Parts::of(left), Parts::of(right));
    compare_numbers(left.epoch, right.epoch)
        .then_with(|| compare_part(left.upstream, right.upstream))
        .then_with(|| compare_part(left.revision, right.revision))
}

/// A version taken apart. A missing epoch or revision is the same as `0`.
struct Parts<'a> {
    epoch: &'a [u8],
    upstream: &'a [u8],
    revision: &'a [u8],
}

impl<'a> Parts<'a> {
    fn of(version: &'a str) -> Self {
        let version = version.trim();
        let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
        let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
        Self { epoch: epoch.as_bytes(), upstream: upstream.as_bytes(), revision: revision.as_bytes() }
    }
}

/// Compares two strings of digits by the number they mean, however long they are.
fn compare_numbers(left: &[u8], right: &[u8]) -> Ordering {
    let (left, right) = (without_zeros(left), without_zeros(right));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

fn without_zeros(digits: &[u8]) -> &[u8] {
    let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
    &digits[zeros..]
}

/// Compares an upstream version or a revision: runs of other characters and runs of digits, in turns.
fn compare_part(mut left: &[u8], mut right: &[u8]) -> Ordering {
    while !left.is_empty() || !right.is_empty() {
        let (left_text, left_rest) = split_where(left, |byte| byte.is_ascii_digit());
        let (right_text, right_rest) = split_where(right, |byte| byte.is_ascii_digit());
        let (left_number, left_rest) = split_where(left_rest, |byte| !byte.is_ascii_digit());
        let (right_number, right_rest) = split_where(right_rest, |byte| !byte.is_ascii_digit());
        let order = compare_text(left_text, right_text).then_with(|| compare_numbers(left_number, right_number));
        if order != Ordering::Equal {
            return order;
        }
        (left, right) = (left_rest, right_rest);
    }
    Ordering::Equal
}

fn split_where(bytes: &[u8], ends: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(bytes.iter().position(ends).unwrap_or(bytes.len()))
}

fn compare_text(left: &[u8], right: &[u8]) -> Ordering {
    (0..left.len().max(right.len()))
        .map(|at| weight(left.get(at)).cmp(&weight(right.get(at))))
        .find(|order| *order != Ordering::Equal)
        .unwrap_or(Ordering::Equal)
}

/// `~`, then the end, then letters, then all else.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        Some(b'~') => -1,
        None => 0,
        Some(letter) if letter.is_ascii_alphabetic() => i32::from(*letter),
        Some(other) => i32::from(*other) + 256,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "dpkg itself is what the order is held against")]

    use std::cmp::Ordering::{self, Equal, Greater, Less};
    use std::process::Command;

    use proptest::prelude::*;

    use super::compare;

    #[test]
    fn versions_are_in_debians_order() {
        for (left, right, order) in [
            ("1.0", "1.0", Equal),
            ("1.0", "1.0-0", Equal),
            ("0:1.0", "1.0", Equal),
            ("1.0", "1.00", Equal),
            ("1.0~rc1", "1.0", Less),
            ("1.0~~", "1.0~", Less),
            ("1.0~rc1-1", "1.0~rc2-1", Less),
            ("1.0-1", "1.0-1+b1", Less),
            ("1.0-1~bpo12+1", "1.0-1", Less),
            ("1:0.1", "9.9", Greater),
            ("1.10", "1.9", Greater),
            ("1.0a", "1.0+", Less),
            ("1.0.", "1.0a", Greater),
            ("1.2-3-4", "1.2-3-5", Less),
            ("99999999999999999999999999", "99999999999999999999999998", Greater),
            ("1.0-1ubuntu0.1", "1.0-1", Greater),
            ("", "0", Equal),
        ] {
            assert_eq!(compare(left, right), order, "{left} {right}");
            assert_eq!(compare(right, left), order.reverse(), "{right} {left}");
        }
    }

    fn by_dpkg(left: &str, right: &str) -> Ordering {
        let holds = |relation| {
            let status = Command::new("dpkg").args(["--compare-versions", left, relation, right]).status();
            let code = status.expect("dpkg starts").code();
            assert!(matches!(code, Some(0 | 1)), "dpkg refuses {left} {relation} {right}");
            code == Some(0)
        };
        match (holds("lt"), holds("eq")) {
            (true, _) => Less,
            (_, true) => Equal,
            _ => Greater,
        }
    }

    /// Few different characters, so that two versions often share a beginning.
    fn version() -> impl Strategy<Value = String> {
        let epoch = prop_oneof![3 => Just(String::new()), 1 => "[0-9]{1,2}:"];
        let revision = prop_oneof![1 => Just(String::new()), 2 => "(-[0-2a]{1,2})?-[0-2ab+~.]{1,5}"];
        (epoch, "[0-2][0-2ab.+~]{0,7}", revision).prop_map(|parts| parts.0 + &parts.1 + &parts.2)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn versions_are_in_dpkgs_own_order(left in version(), right in version(), end in "[~+.a0-2]{0,3}") {
            if Command::new("dpkg").arg("--version").output().is_err() {
                // Nothing to hold it against on a machine without dpkg; the table above still counts.
                return Ok(());
            }
            for right in [right, left.clone() + &end] {
                prop_assert_eq!(compare(&left, &right), by_dpkg(&left, &right), "{} {}", left, right);
            }
        }
    }
}
