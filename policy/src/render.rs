//! Diagnostics as text: the line, what is wrong with it, other places that belong to it, and what to do.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use converge_model::{Diagnostic, Severity, SourceSpan};

use crate::repository::{FileData, Repository};

/// How the text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Without escape codes: a file, a pipe, a test.
    #[default]
    Plain,
    /// With escape codes: a terminal.
    Coloured,
}

/// One diagnostic as text, without a newline at the end. Lines are shown where `files` has the file.
pub fn diagnostic(found: &Diagnostic, files: &Repository, style: Style) -> String {
    let level = match found.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(level.primary_title(clean(&found.message)));
    for shown in places(found) {
        let text = files.files.get(shown.file).and_then(|data| match data {
            FileData::Bytes(bytes) => std::str::from_utf8(bytes).ok(),
            FileData::Blob(_) => None,
        });
        group = match text.and_then(|text| excerpt(text, &shown)) {
            Some(snippet) => group.element(snippet),
            None => group.element(origin(&shown)),
        };
    }
    if let Some(help) = &found.help {
        group = group.element(Level::HELP.message(clean(help)));
    }
    let renderer = match style {
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled(),
    };
    renderer.decor_style(DecorStyle::Unicode).render(&[group])
}

/// Several diagnostics, each followed by an empty line.
pub fn diagnostics<'d>(found: impl IntoIterator<Item = &'d Diagnostic>, files: &Repository, style: Style) -> String {
    found.into_iter().map(|each| diagnostic(each, files, style) + "\n\n").collect()
}

/// Places that are shown together: those of one file that lie near each other.
struct Shown<'d> {
    file: &'d str,
    spans: Vec<(&'d SourceSpan, &'d str, AnnotationKind)>,
}

/// Places of a file that are further apart, in bytes, are shown apart: an excerpt reaches from the first to the last.
const FAR: usize = 1 << 16;
/// A line that is longer, in bytes, is not shown: nobody would read it, and drawing it takes long.
const LONGEST_LINE: usize = 2_000;

fn places(found: &Diagnostic) -> Vec<Shown<'_>> {
    let primary = found.span.iter().map(|span| (span, found.label.as_str(), AnnotationKind::Primary));
    let related = found.related.iter().map(|(span, note)| (span, note.as_str(), AnnotationKind::Context));
    let mut places: Vec<Shown<'_>> = Vec::new();
    for place in primary.chain(related) {
        let near = |shown: &&mut Shown<'_>| {
            shown.file == place.0.file && shown.spans.iter().all(|(span, ..)| span.start.abs_diff(place.0.start) < FAR)
        };
        match places.iter_mut().find(near) {
            Some(shown) => shown.spans.push(place),
            None => places.push(Shown { file: &place.0.file, spans: vec![place] }),
        }
    }
    places
}

/// The lines from the first to the last place; nothing where the places are not in the text.
fn excerpt<'t>(text: &'t str, shown: &Shown<'t>) -> Option<Snippet<'t, annotate_snippets::Annotation<'t>>> {
    let mut ranges = Vec::new();
    for (span, label, kind) in &shown.spans {
        ranges.push((first_line(text, span)?, *label, *kind));
    }
    let first = ranges.iter().map(|(range, ..)| range.start).min()?;
    let last = ranges.iter().map(|(range, ..)| range.end).max()?;
    let begin = text.get(..first)?.rfind('\n').map_or(0, |at| at + 1);
    let end = text.get(last..)?.find('\n').map_or(text.len(), |at| last + at);
    let line_start = shown.spans.iter().map(|(span, ..)| span.line).min()? as usize;
    // A carriage return would be drawn; bytes must stay where they are.
    let lines = text.get(begin..end)?;
    if lines.lines().any(|line| line.len() > LONGEST_LINE) {
        return None;
    }
    let lines = lines.replace("\r\n", " \n");
    let lines = lines.strip_suffix('\r').unwrap_or(&lines).to_owned();
    let mut snippet = Snippet::source(lines).line_start(line_start).path(clean(shown.file));
    for (range, label, kind) in ranges {
        let annotation = kind.span(range.start - begin..range.end - begin);
        let label = if label.is_empty() { None } else { Some(clean(label)) };
        snippet = snippet.annotation(annotation.label(label));
    }
    Some(snippet)
}

/// The part of a span that is on its first line, at least one character where there is one.
fn first_line(text: &str, span: &SourceSpan) -> Option<Range<usize>> {
    if span.end == 0 {
        return from_column(text, span);
    }
    let start = span.start.min(text.len());
    let rest = text.get(start..)?;
    let line = rest.find('\n').unwrap_or(rest.len());
    let length = span.end.saturating_sub(span.start).clamp(rest.chars().next().map_or(0, char::len_utf8), line.max(1));
    let end = (start + length).min(text.len());
    text.is_char_boundary(end).then_some(start..end)
}

/// What is bound on a node knows lines and columns, and no bytes: then it is the line from there to its end.
fn from_column(text: &str, span: &SourceSpan) -> Option<Range<usize>> {
    let mut start = 0;
    for line in text.split_inclusive('\n').take(span.line.saturating_sub(1) as usize) {
        start += line.len();
    }
    let line = text.get(start..)?.lines().next().unwrap_or("");
    let column = line.char_indices().nth(span.column.saturating_sub(1) as usize).map_or(0, |(at, _)| at);
    Some(start + column..start + line.trim_end().len().max(column))
}

fn origin<'d>(shown: &Shown<'d>) -> Origin<'d> {
    let origin = Origin::path(clean(shown.file));
    match shown.spans.first() {
        Some((span, ..)) => origin.line(span.line as usize).char_column(span.column as usize),
        None => origin,
    }
}

/// The text with control characters written out: names and files are other people's words, and terminals obey some.
fn clean(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' {
            cleaned.extend(c.escape_default());
        } else {
            cleaned.push(c);
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(text: &str, part: &str) -> SourceSpan {
        let start = text.find(part).unwrap();
        let line = 1 + text[..start].matches('\n').count() as u32;
        let column = 1 + text[text[..start].rfind('\n').map_or(0, |at| at + 1)..start].chars().count() as u32;
        SourceSpan { file: "a.toml".into(), line, column, start, end: start + part.len() }
    }

    #[test]
    fn a_diagnostic_shows_its_line_its_relatives_and_what_to_do() {
        let text = "# é\n[file.\"/a\"]\ncontents = \"hello\"\n";
        let files: Repository = [("a.toml", text)].into_iter().collect();
        let found = Diagnostic::error("unknown property `contents` for file", Some(span(text, "contents")))
            .with_label("did you mean `content`?")
            .with_related(span(text, "\"/a\""), "of this file")
            .with_help("read the docs");
        let expected = "\
error: unknown property `contents` for file
  ╭▸ a.toml:3:1
  │
2 │ [file.\"/a\"]
  │       ──── of this file
3 │ contents = \"hello\"
  │ ━━━━━━━━ did you mean `content`?
  │
  ╰ help: read the docs";
        assert_eq!(diagnostic(&found, &files, Style::Plain), expected);
        let coloured = diagnostic(&found, &files, Style::Coloured);
        assert!(coloured.contains('\u{1b}') && coloured.contains("did you mean"), "{coloured}");
    }

    #[test]
    fn what_is_not_at_hand_is_named_and_no_escape_code_gets_through() {
        let found = Diagnostic::warning("odd \u{1b}[2J name", Some(SourceSpan { end: 99, ..span("abc", "c") }));
        let text = diagnostic(&found, &Repository::default(), Style::Plain);
        assert_eq!(text, "warning: odd \\u{1b}[2J name\n ─▸ a.toml:1:3");
        let files: Repository = [("a.toml", "é")].into_iter().collect();
        let bound =
            Diagnostic::error("x", Some(SourceSpan { line: 2, column: 3, start: 0, end: 0, ..span("abc", "c") }));
        let files_of_two: Repository = [("a.toml", "one\n[é.two]\n")].into_iter().collect();
        let text = diagnostic(&bound, &files_of_two, Style::Plain);
        assert!(text.ends_with("2 │ [é.two]\n  ╰╴  ━━━━━"), "{text}");
        for (start, end) in [(0, 0), (0, 1), (1, 2), (2, 2), (7, 9), (0, 9)] {
            let found = Diagnostic::error("x", Some(SourceSpan { start, end, ..span("é", "é") }));
            assert!(diagnostic(&found, &files, Style::Plain).contains("a.toml"), "{start}..{end}");
        }
    }
}
