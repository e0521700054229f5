//! Texts of other people's making, cut to what fits in a message.

/// The longest piece of foreign text in a message, in characters.
const LONGEST: usize = 160;

/// The first line of `text`, at most [`LONGEST`] characters of it; `…` stands for what was cut.
pub(crate) fn shorten(text: &str) -> String {
    let text = text.trim();
    let line = text.lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(LONGEST).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

/// The last line of `text` that says anything, shortened.
pub(crate) fn last_line(text: &str) -> Option<String> {
    text.lines().rev().find(|line| !line.trim().is_empty()).map(shorten)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_are_cut_and_say_so() {
        assert_eq!(shorten(" test -f /x "), "test -f /x");
        assert_eq!(shorten("a\nb"), "a…");
        assert_eq!(shorten(&"é".repeat(500)).chars().count(), 161);
        assert_eq!(last_line("one\ntwo\n\n"), Some("two".to_owned()));
        assert_eq!(last_line(" \n"), None);
    }
}
