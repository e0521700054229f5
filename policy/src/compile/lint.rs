//! What compiles, and will trouble somebody: syntax that only TOML 1.1 has, which editors and other tools do not know yet.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::sources::{Findings, Place};

const HELP: &str = "many editors and tools know TOML 1.0 only";

/// Warns of everything in a document that TOML 1.0 does not have.
pub(crate) fn lint(document: &DeTable<'_>, file: u32, findings: &mut Findings<'_>) {
    let start = Place { file, start: 0, end: 0 };
    for (key, value) in document {
        string(start.at(key.span()), findings);
        node(value, start, findings);
    }
}

fn node(value: &Spanned<DeValue<'_>>, start: Place, findings: &mut Findings<'_>) {
    let place = start.at(value.span());
    match value.get_ref() {
        DeValue::String(_) => string(place, findings),
        DeValue::Array(items) => items.iter().for_each(|item| node(item, start, findings)),
        DeValue::Table(table) => {
            if findings.sources.slice(place).starts_with('{') {
                inline_table(table, place, findings);
            }
            lint(table, place.file, findings);
        }
        _ => {}
    }
}

/// A basic string may hold `\e` and `\x41` since TOML 1.1.
fn string(place: Place, findings: &mut Findings<'_>) {
    let text = findings.sources.slice(place);
    if !text.starts_with('"') || !text.contains('\\') {
        return;
    }
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter == '\\'
            && let Some(escape @ ('e' | 'x')) = letters.next()
        {
            findings
                .warning(place, format!("only TOML 1.1 knows the escape `\\{escape}`"))
                .help(format!("{HELP}: write \\u00XX"));
            return;
        }
    }
}

/// An inline table may span lines, and end in a comma, since TOML 1.1.
fn inline_table(table: &DeTable<'_>, place: Place, findings: &mut Findings<'_>) {
    let mut parts: Vec<std::ops::Range<usize>> =
        table.iter().flat_map(|(key, value)| [key.span(), value.span()]).collect();
    parts.sort_by_key(|part| part.start);
    let mut gaps = Vec::with_capacity(parts.len() + 1);
    let mut at = place.start as usize;
    for part in parts {
        gaps.push(findings.sources.text(place.file).get(at..part.start).unwrap_or(""));
        at = at.max(part.end);
    }
    let last = findings.sources.text(place.file).get(at..place.end as usize).unwrap_or("");
    let what = if gaps.iter().chain([&last]).any(|gap| gap.contains('\n')) {
        "only TOML 1.1 knows inline tables of several lines"
    } else if last.contains(',') && !gaps.is_empty() {
        "only TOML 1.1 knows a comma at the end of an inline table"
    } else {
        return;
    };
    findings.warning(place, what).help(format!("{HELP}: write it in one line, or as a table with a header"));
}
