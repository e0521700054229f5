//! Values as cookbooks write them: literals, expressions, texts with expressions, and lists and maps of these.

use std::collections::BTreeMap;

use converge_model::{Dynamic, Value};
use toml::de::DeValue;

use super::scope::Scope;
use super::sources::{Findings, Place};
use super::toml::{Field, Fields, Node};
use crate::expression::{
    DEEPEST, ExpressionError, Names, check_expression, check_template, is_template, whole_expression,
};

/// Reads a value. Where something in it is wrong, that is reported, and the value stands without it.
pub(crate) fn dynamic(node: Node<'_>, scope: &Scope<'_>, findings: &mut Findings<'_>) -> Option<Dynamic> {
    read(node, scope, 0, findings)
}

/// Reads the entries of a map, as [`dynamic`] does.
pub(crate) fn dynamic_map(
    fields: Fields<'_>,
    scope: &Scope<'_>,
    findings: &mut Findings<'_>,
) -> Option<BTreeMap<String, Dynamic>> {
    map(fields, scope, 0, findings)
}

fn read(node: Node<'_>, scope: &Scope<'_>, depth: usize, findings: &mut Findings<'_>) -> Option<Dynamic> {
    if depth > DEEPEST {
        findings.error(node.place, format!("lists and maps nest deeper than {DEEPEST}"));
        return None;
    }
    match node.value {
        DeValue::String(text) => dynamic_text(text, node.place, scope, findings),
        DeValue::Boolean(value) => Some(Dynamic::from(*value)),
        // What the parser could make nothing of, it reported.
        DeValue::Integer(number) if number.as_str().is_empty() => None,
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Some(Dynamic::from(number)),
            Err(_) => {
                findings.error(node.place, format!("{number} does not fit in 64 bits"));
                None
            }
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(number) if number.is_finite() => Some(Dynamic::Literal(Value::Float(number))),
            _ => {
                findings.error(node.place, format!("{number} is not a number that a value can have"));
                None
            }
        },
        DeValue::Datetime(_) => {
            findings.error(node.place, "a value cannot be a date or time").help("write it in quotes");
            None
        }
        DeValue::Array(items) => {
            let items: Vec<Option<Dynamic>> =
                items.iter().map(|item| read(Node::new(node.place.file, item), scope, depth + 1, findings)).collect();
            items.into_iter().collect::<Option<Vec<Dynamic>>>().map(Dynamic::list)
        }
        DeValue::Table(table) => map(Fields::new(node.place, table), scope, depth, findings).map(Dynamic::map),
    }
}

fn map(
    fields: Fields<'_>,
    scope: &Scope<'_>,
    depth: usize,
    findings: &mut Findings<'_>,
) -> Option<BTreeMap<String, Dynamic>> {
    let mut entries = Some(BTreeMap::new());
    for field in fields.rest() {
        let value = check_key(&field, findings).and_then(|()| read(field.node, scope, depth + 1, findings));
        match (value, &mut entries) {
            (Some(value), Some(entries)) => {
                entries.insert(field.key.to_owned(), value);
            }
            _ => entries = None,
        }
    }
    entries
}

fn check_key(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<()> {
    if field.key.starts_with('$') {
        findings
            .error(field.key_place, format!("the key `{}` begins with `$`", field.key))
            .help("such keys are kept for the graph; choose another");
        return None;
    }
    if is_template(field.key) {
        findings
            .error(field.key_place, "a key cannot hold an expression")
            .help("compute the whole map in one expression, or use `for_each`");
        return None;
    }
    Some(())
}

/// Reads a string: one whole `{{ expression }}`, a text with expressions, or a literal.
pub(crate) fn dynamic_text(
    text: &str,
    place: Place,
    scope: &Scope<'_>,
    findings: &mut Findings<'_>,
) -> Option<Dynamic> {
    if !is_template(text) {
        return Some(Dynamic::from(text));
    }
    match whole_expression(text) {
        Some(range) => {
            let inner = &text[range.clone()];
            let within = Within { text, place, offset: range.start };
            within.check(check_expression(inner), inner, scope, findings)?;
            Some(Dynamic::Expression(inner.trim().to_owned()))
        }
        None => text_with_expressions(text, place, scope, findings),
    }
}

/// Reads a string whose value is text, whatever its expressions yield: the name of a resource.
pub(crate) fn text_with_expressions(
    text: &str,
    place: Place,
    scope: &Scope<'_>,
    findings: &mut Findings<'_>,
) -> Option<Dynamic> {
    if !is_template(text) {
        return Some(Dynamic::from(text));
    }
    Within { text, place, offset: 0 }.check(check_template(text), text, scope, findings)?;
    Some(Dynamic::Text(text.to_owned()))
}

/// Reads a bare expression, as `when` and `for_each` take it.
pub(crate) fn bare_expression(
    text: &str,
    place: Place,
    scope: &Scope<'_>,
    findings: &mut Findings<'_>,
) -> Option<Dynamic> {
    if let Some(range) = whole_expression(text) {
        findings
            .error(place, "this is an expression already")
            .label(format!("write \"{}\"", text[range].trim()))
            .help("braces mark an expression within a text; here nothing else can stand");
        return None;
    }
    Within { text, place, offset: 0 }.check(check_expression(text), text, scope, findings)?;
    Some(Dynamic::Expression(text.trim().to_owned()))
}

/// A source that stands in a string of a document.
struct Within<'t> {
    /// The string's value.
    text: &'t str,
    /// Where the string stands, with its quotes.
    place: Place,
    /// Where in the string the source begins.
    offset: usize,
}

impl Within<'_> {
    fn check(
        &self,
        checked: Result<Names, ExpressionError>,
        source: &str,
        scope: &Scope<'_>,
        findings: &mut Findings<'_>,
    ) -> Option<()> {
        match checked {
            Ok(names) => {
                findings.secrets.extend(names.secrets.iter().cloned());
                let wrong = scope.check(&names, source);
                let good = wrong.is_empty();
                for (name, wrong) in wrong {
                    let place = self.locate(Some(&name.range), findings);
                    wrong.report(place, None, findings);
                }
                good.then_some(())
            }
            Err(error) => {
                let place = self.locate(error.range.as_ref(), findings);
                // Braces of other languages look like ours, and are mostly no syntax of ours.
                let braces = is_template(self.text) && !error.message.starts_with("unknown");
                let help = braces.then(|| "to write braces as they are, write `{{ '{{' }}`".to_owned());
                let compares = error.range.as_ref().is_some_and(|range| {
                    let rest = source.get(range.start..).unwrap_or("");
                    rest.starts_with('=') && !rest.starts_with("==")
                });
                let finding = findings.error(place, error.message);
                if let Some(help) = error.help.or(compares.then(|| "to compare, write `==`".to_owned())).or(help) {
                    finding.help(help);
                }
                None
            }
        }
    }

    /// Where bytes of the source stand in the document; the whole string where escapes hide that.
    fn locate(&self, range: Option<&std::ops::Range<usize>>, findings: &Findings<'_>) -> Place {
        let raw = findings.sources.slice(self.place);
        let triple = raw.starts_with("\"\"\"") || raw.starts_with("'''");
        let mut begin = if triple { 3 } else { usize::from(raw.starts_with(['"', '\''])) };
        if triple {
            // A newline right after the quotes is not part of the string.
            let newline = ["\r\n", "\n"].into_iter().find(|newline| raw[begin..].starts_with(newline));
            begin += newline.map_or(0, str::len);
        }
        let is_plain = raw.get(begin..).is_some_and(|rest| rest.starts_with(self.text));
        match range {
            Some(range) if is_plain => {
                let start = self.place.start as usize + begin + self.offset;
                self.place.at(start + range.start..start + range.end)
            }
            _ => self.place,
        }
    }
}

/// Reports what is wrong with a template file, whatever uses it.
pub(crate) fn template_error(error: ExpressionError, file: u32, findings: &mut Findings<'_>) {
    let text = findings.sources.text(file);
    let line_start = || {
        let before: usize = text.split_inclusive('\n').take(error.line.saturating_sub(1) as usize).map(str::len).sum();
        let length = text[before..].lines().next().unwrap_or("").len();
        before..before + length
    };
    let range = error.range.clone().unwrap_or_else(line_start);
    let finding = findings.error(Place { file, start: 0, end: 0 }.at(range), error.message);
    if let Some(help) = error.help {
        finding.help(help);
    }
}
