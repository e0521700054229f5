//! Which lines of a template the lines of its output come from.
//!
//! The template is rendered once more with marks in it: one before the text of each of its lines, and one before each
//! expression. What the marks say is believed only where the output without them is the output without marks.

use std::collections::BTreeSet;
use std::ops::Range;

use super::scan::{Tag, first_word, template_tags};

/// Begins and ends a mark. No character: a template that holds it is not traced.
const MARK: char = '\u{10FFFE}';

/// The template with marks, each naming `name` and a line; nothing where it holds the sign for one already.
pub(crate) fn marked(source: &str, name: usize) -> Option<String> {
    if source.contains(MARK) {
        return None;
    }
    let tags = template_tags(source);
    let mut marks = Vec::new();
    let mut from = 0;
    for index in 0..=tags.len() {
        let (before, after) = (index.checked_sub(1).map(|last| &tags[last]), tags.get(index));
        mark_text(source, from..after.map_or(source.len(), |tag| tag.range.start), before, after, &mut marks);
        from = after.map_or(source.len(), |tag| tag.range.end);
    }
    let lines = LineIndex::of(source);
    let mut text = String::with_capacity(source.len() + marks.len() * 16);
    let mut written = 0;
    for (at, of) in marks {
        text.push_str(&source[written..at]);
        text.push_str(&format!("{MARK}{name}:{}{MARK}", lines.of_byte(of)));
        written = at;
    }
    text.push_str(&source[written..]);
    Some(text)
}

/// Where marks go in the literal text `range`, each with a byte of the line that it names: before the first thing on each line, at the end of each empty line, and
/// before an expression that follows. Never where a mark would keep whitespace that a tag takes away.
fn mark_text(
    source: &str,
    range: Range<usize>,
    before: Option<&Tag>,
    after: Option<&Tag>,
    marks: &mut Vec<(usize, usize)>,
) {
    let text = &source[range.clone()];
    let lead_goes = before.is_some_and(|tag| source[..tag.range.end - 2].ends_with('-'));
    let tail_goes = after.is_some_and(|tag| source[tag.range.start + 2..].starts_with('-'));
    let head = if lead_goes { text.len() - text.trim_start().len() } else { 0 };
    let tail = if tail_goes { text.trim_end().len() } else { text.len() };
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches('\n');
        let blank = bare.trim().is_empty();
        let end = at + bare.len();
        let is_whole = at > 0 || range.start == 0;
        if !blank {
            let first = range.start + at + (bare.len() - bare.trim_start().len());
            marks.push((first, first));
        } else if line.len() > bare.len() && is_whole && end >= head && end < tail {
            marks.push((range.start + end, range.start + end));
        }
        at += line.len();
    }
    if let Some(tag) = after.filter(|tag| source[tag.range.clone()].starts_with("{{")) {
        marks.push((range.start + if tail_goes { tail } else { text.len() }, tag.range.start));
    }
}

/// An output, and where each of its lines comes from.
pub(crate) struct Traced {
    /// The output without marks.
    pub(crate) text: String,
    /// For each line of the output, the names and lines that its marks name, in the order of the text.
    pub(crate) lines: Vec<Vec<(usize, u32)>>,
}

/// Reads the marks of an output. Nothing where one of them is not whole.
pub(crate) fn traced(output: &str) -> Option<Traced> {
    let mut traced = Traced { text: String::with_capacity(output.len()), lines: Vec::new() };
    let mut current = None;
    let mut line: Vec<(usize, u32)> = Vec::new();
    for (index, piece) in output.split(MARK).enumerate() {
        if index % 2 == 1 {
            let (name, at) = piece.split_once(':')?;
            current = Some((name.parse().ok()?, at.parse().ok()?));
            continue;
        }
        for part in piece.split_inclusive('\n') {
            let text = part.trim_end_matches('\n');
            let is_new = current.is_some_and(|current| !line.contains(&current));
            if is_new && (!text.trim().is_empty() || (line.is_empty() && text.len() < part.len())) {
                line.extend(current);
            }
            if text.len() < part.len() {
                traced.lines.push(std::mem::take(&mut line));
            }
        }
        traced.text.push_str(piece);
    }
    if !traced.text.is_empty() && !traced.text.ends_with('\n') {
        traced.lines.push(line);
    }
    output.matches(MARK).count().is_multiple_of(2).then_some(traced)
}

/// The bytes of the tags that decide what stands on `lines` of a template: those that begin there, and the blocks around
/// them (`for`, `if`).
pub(crate) fn around(source: &str, lines: &BTreeSet<u32>) -> Vec<Range<usize>> {
    let index = LineIndex::of(source);
    let mut blocks: Vec<(Range<usize>, &str)> = Vec::new();
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut add = |range: &Range<usize>| {
        if !found.contains(range) {
            found.push(range.clone());
        }
    };
    let mut next = lines.iter().copied().peekable();
    for tag in template_tags(source) {
        let line = index.of_byte(tag.range.start);
        while next.next_if(|wanted| *wanted < line).is_some() {
            blocks.iter().for_each(|(range, _)| add(range));
        }
        if lines.contains(&line) {
            blocks.iter().for_each(|(range, _)| add(range));
            add(&tag.range);
        }
        let Some(code) = &tag.code else { continue };
        match first_word(source, code).filter(|_| source[tag.range.clone()].starts_with("{%")) {
            Some(word @ ("for" | "if" | "with" | "macro" | "filter" | "call")) => blocks.push((tag.range, word)),
            Some(word)
                if word
                    .strip_prefix("end")
                    .is_some_and(|ended| blocks.last().is_some_and(|(_, last)| *last == ended)) =>
            {
                blocks.pop();
            }
            _ => {}
        }
    }
    found
}

/// The first byte of each line.
struct LineIndex(Vec<usize>);

impl LineIndex {
    fn of(source: &str) -> Self {
        Self(std::iter::once(0).chain(source.match_indices('\n').map(|(at, _)| at + 1)).collect())
    }

    /// The line of a byte, from 1.
    fn of_byte(&self, at: usize) -> u32 {
        u32::try_from(self.0.partition_point(|start| *start <= at)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use converge_model::Value;

    use super::super::{Attributes, Expressions, Roots, Scope};
    use super::*;

    #[test]
    fn every_line_of_the_output_knows_its_lines_of_the_template() {
        let facts: Value = serde_json::from_str(r#"{"list":["a","b"],"on":true,"long":"x\ny"}"#).unwrap();
        let scope = Scope::new(Arc::new(Roots::new(
            Arc::new(facts.into()),
            Arc::new(Attributes::new([])),
            &Value::Map(Default::default()),
        )));
        for (source, expected) in [
            ("one\n\nthree\n", "1|2|3"),
            ("{# no #}\n{% for x in facts.list %}\nitem {{ x }}\n{% endfor %}\nend", "3|3|5"),
            ("{% for x in facts.list -%}\n  {{ x }},\n{%- endfor %}\nlast\n", "2,4"),
            ("a {{ facts.long }} b\nc\n", "1|1|2"),
            (
                "{% if facts.on %}\nyes\n{% else %}\nno\n{% endif %}\n\ntail {% raw %}{{ x }}\nraw{% endraw %}\n",
                "2|6|7|8",
            ),
            ("a\n  {{- 'b' -}}\n  c\nd\n", "1,2,3|4"),
            ("{% set x = 'v' %}\n  {% if facts.on %}\n  k = {{ x }}\n  {% endif %}\n", "3"),
            ("{{ 'a' }}{{ 'b' }}\n{{\n 'c'\n}}", "1|2"),
        ] {
            let expressions = Expressions::new();
            let plain = expressions.render(source, &scope).unwrap();
            let with_marks = marked(source, 7).unwrap();
            let output = expressions.render(&with_marks, &scope).unwrap();
            let found = traced(&output).unwrap();
            assert_eq!(found.text, plain, "{source}");
            let lines: Vec<String> = found
                .lines
                .iter()
                .map(|line| line.iter().map(|(_, at)| at.to_string()).collect::<Vec<_>>().join(","))
                .collect();
            assert_eq!(lines.join("|"), expected, "{source}: {output:?}");
        }
    }

    #[test]
    fn the_tags_of_a_line_are_its_own_and_the_blocks_around_it() {
        let source = "{% if a %}\nx\n{% endif %}\n{% for b in c %}\n{{ b }} {{ d }}\n{% endfor %}\n{{ e }}\n";
        for (line, expected) in [(2, "{% if a %}"), (5, "{% for b in c %} {{ b }} {{ d }}"), (7, "{{ e }}"), (9, "")] {
            let found: Vec<&str> = around(source, &[line].into()).into_iter().map(|range| &source[range]).collect();
            assert_eq!(found.join(" "), expected, "{line}");
        }
    }
}
