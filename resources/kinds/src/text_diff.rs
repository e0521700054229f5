//! Unified diffs of text.

use similar::TextDiff;

/// How many bytes of each side are looked at; more than that is not shown line by line.
pub const LIMIT: u64 = 1 << 20;

/// How many bytes of a diff are shown.
const SHOWN: usize = 64 * 1024;

/// The text that `bytes` are; nothing where they are no text: NUL bytes, or not UTF-8.
pub fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// The unified diff of two texts, with three lines around each difference; at most 64 KiB, and then how many lines are
/// missing.
pub fn unified(old: &str, new: &str) -> String {
    let mut diff = match old {
        "" => added(new),
        _ => TextDiff::from_lines(old, new).unified_diff().context_radius(3).to_string(),
    };
    if diff.len() > SHOWN {
        let end = (0..=SHOWN).rev().find(|&at| diff.is_char_boundary(at)).unwrap_or(0);
        let end = diff[..end].rfind('\n').map_or(end, |newline| newline + 1);
        let missing = diff[end..].lines().count();
        diff.truncate(end);
        diff.push_str(&format!("\\ {missing} more lines not shown\n"));
    }
    diff
}

/// The diff of a text where there was none: nothing needs to be compared.
fn added(new: &str) -> String {
    let count = new.split_inclusive('\n').count();
    let mut diff = String::with_capacity(new.len() + count + 32);
    match count {
        0 => return diff,
        1 => diff.push_str("@@ -0,0 +1 @@\n"),
        _ => diff.push_str(&format!("@@ -0,0 +1,{count} @@\n")),
    }
    for line in new.split_inclusive('\n') {
        diff.push('+');
        diff.push_str(line);
    }
    if !new.ends_with('\n') {
        diff.push_str("\n\\ No newline at end of file\n");
    }
    diff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_text_is_shown_as_if_it_had_been_compared() {
        for new in ["", "a", "a\n", "\n", "\n\n", "a\nb", "a\nb\n", "a\r\nb\r\n", "a\n\n+b\n"] {
            let compared = TextDiff::from_lines("", new).unified_diff().context_radius(3).to_string();
            assert_eq!(unified("", new), compared, "{new:?}");
        }
    }

    #[test]
    fn a_diff_shows_what_differs_and_its_surroundings() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n9\n";
        assert_eq!(unified(old, &old.replace('8', "eight")), "@@ -5,5 +5,5 @@\n 5\n 6\n 7\n-8\n+eight\n 9\n");
        assert!(unified("a", "a\n").contains("\\ No newline at end of file"));
        assert_eq!((text(b"a\0b"), text(b"\xff"), text("é".as_bytes())), (None, None, Some("é")));
    }

    #[test]
    fn two_texts_with_nothing_in_common_are_soon_done_and_cut_short() {
        let lines = |salt: u32| (0..100_000_u32).map(|n| format!("{}\n", n.wrapping_mul(salt))).collect::<String>();
        let diff = unified(&lines(2_654_435_761), &lines(2_246_822_519));
        assert!(diff.len() < SHOWN + 100 && diff.ends_with("more lines not shown\n"), "{}", diff.len());
    }
}
