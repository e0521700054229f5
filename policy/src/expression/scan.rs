//! Finds the pieces of an expression that matter before it runs: the names it uses, its filters, tests and functions.
//!
//! minijinja parses; this only looks at the words. It knows strings, so that a word in one is not taken for a name.

use std::ops::Range;

/// Whether `text` is anything but literal text.
pub fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%") || text.contains("{#")
}

/// The bytes of the expression, where `text` is one whole `{{ expression }}` and nothing else.
pub fn whole_expression(text: &str) -> Option<Range<usize>> {
    let inner = text.strip_prefix("{{")?;
    let close = closing(inner, "}}")?;
    if close + 2 != inner.len() {
        return None;
    }
    let (mut start, mut end) = (2, 2 + close);
    if inner.starts_with(['-', '+']) {
        start += 1;
    }
    if end > start && text[..end].ends_with(['-', '+']) {
        end -= 1;
    }
    Some(start..end)
}

/// Where `sentinel` first stands in `code` outside strings and braces.
fn closing(code: &str, sentinel: &str) -> Option<usize> {
    let mut balance = 0_usize;
    for token in Tokens::new(code).filter(|token| token.kind == Kind::Symbol) {
        match &code[token.range.clone()] {
            _ if balance == 0 && code[token.range.start..].starts_with(sentinel) => return Some(token.range.start),
            "(" | "[" | "{" => balance += 1,
            ")" | "]" | "}" => balance = balance.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Name,
    Text,
    Number,
    Symbol,
}

/// A word of the language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) range: Range<usize>,
}

/// The words of an expression; symbols are single characters.
struct Tokens<'a> {
    code: &'a str,
    at: usize,
}

impl<'a> Tokens<'a> {
    fn new(code: &'a str) -> Self {
        Self { code, at: 0 }
    }

    fn while_matches(&self, from: usize, matches: impl Fn(char) -> bool) -> usize {
        self.code[from..].find(|c: char| !matches(c)).map_or(self.code.len(), |length| from + length)
    }

    /// The byte after a string that begins with `quote` at `start`.
    fn end_of_text(&self, start: usize, quote: char) -> usize {
        let mut escaped = false;
        for (at, c) in self.code[start + 1..].char_indices() {
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if c == quote => return start + 1 + at + 1,
                _ => {}
            }
        }
        self.code.len()
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        let start = self.while_matches(self.at, char::is_whitespace);
        let first = self.code[start..].chars().next()?;
        let (kind, end) = match first {
            '"' | '\'' => (Kind::Text, self.end_of_text(start, first)),
            '0'..='9' => (Kind::Number, self.while_matches(start, |c| c.is_ascii_alphanumeric() || c == '_')),
            _ if first.is_alphabetic() || first == '_' => {
                (Kind::Name, self.while_matches(start, |c| c.is_alphanumeric() || c == '_'))
            }
            _ => (Kind::Symbol, start + first.len_utf8()),
        };
        self.at = end;
        Some(Token { kind, range: start..end })
    }
}

/// The words of a bare expression.
pub(crate) fn expression_tokens(source: &str) -> Vec<Vec<Token>> {
    vec![Tokens::new(source).collect()]
}

/// A tag of a template: what is not literal text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    /// All of it, delimiters included.
    pub(crate) range: Range<usize>,
    /// What stands between the delimiters; nothing for a comment, and for the two tags around raw text.
    pub(crate) code: Option<Range<usize>>,
}

/// The words of every `{{ }}` and `{% %}` of a template, one list each. Comments and raw blocks hold none.
pub(crate) fn template_tokens(source: &str) -> Vec<Vec<Token>> {
    template_tags(source).into_iter().filter_map(|tag| tag.code).map(|code| tokens_within(source, &code)).collect()
}

/// The words of the code of one tag.
pub(crate) fn tokens_within(source: &str, code: &Range<usize>) -> Vec<Token> {
    Tokens::new(&source[code.clone()])
        .map(|token| Token { range: token.range.start + code.start..token.range.end + code.start, ..token })
        .collect()
}

/// The first name in the code of a tag: `for`, `endif`.
pub(crate) fn first_word<'s>(source: &'s str, code: &Range<usize>) -> Option<&'s str> {
    Tokens::new(&source[code.clone()])
        .find(|token| token.kind == Kind::Name)
        .map(|token| &source[code.clone()][token.range])
}

/// Every tag of a template, in order.
pub(crate) fn template_tags(source: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut at = 0;
    while let Some(open) = source[at..].find('{').map(|found| at + found) {
        let sentinel = match source.as_bytes().get(open + 1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => {
                at = source[open..].find("#}").map_or(source.len(), |end| open + end + 2);
                tags.push(Tag { range: open..at, code: None });
                continue;
            }
            _ => {
                at = open + 1;
                continue;
            }
        };
        let rest = &source[open + 2..];
        let code = open + 2..open + 2 + closing(rest, sentinel).unwrap_or(rest.len());
        at = (code.end + 2).min(source.len());
        if sentinel == "%}" && first_word(source, &code) == Some("raw") {
            tags.push(Tag { range: open..at, code: None });
            let word = source[at..].find("endraw").map_or(source.len(), |end| at + end);
            let end = source[at..word].rfind("{%").map_or(word, |found| at + found);
            at = source[word..].find("%}").map_or(source.len(), |found| word + found + 2);
            tags.push(Tag { range: end..at, code: None });
            continue;
        }
        tags.push(Tag { range: open..at, code: Some(code) });
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_whole_expression_is_one() {
        for (text, expression) in [
            ("{{ a }}", Some(" a ")),
            ("{{a}}", Some("a")),
            ("{{- a -}}", Some(" a ")),
            ("{{ a }}-{{ b }}", None),
            ("{{ a }} ", None),
            ("x{{ a }}", None),
            ("{{ '}}' }}", Some(" '}}' ")),
            ("{{ {'a': {'b': 1}} }}", Some(" {'a': {'b': 1}} ")),
            ("{{ {'a': {'b': 1}}}}", Some(" {'a': {'b': 1}}")),
            ("{{ 'a\\'}}' ~ \"'\" }}", Some(" 'a\\'}}' ~ \"'\" ")),
            ("{{ é }}", Some(" é ")),
            ("{{", None),
            ("{{}}", Some("")),
            ("plain", None),
        ] {
            assert_eq!(whole_expression(text).map(|range| &text[range]), expression, "{text}");
        }
    }

    #[test]
    fn words_are_found_where_code_is() {
        let source = "a {# {{ no }} #} {{ x.y['}}'] }}{% raw %}{{ no }}{% endraw %}{% if z %}{ no }";
        let words: Vec<&str> = template_tokens(source)
            .into_iter()
            .flatten()
            .filter(|token| token.kind == Kind::Name)
            .map(|token| &source[token.range])
            .collect();
        assert_eq!(words, ["x", "y", "if", "z"]);
    }
}
