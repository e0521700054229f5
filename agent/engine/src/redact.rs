//! The one place where values are kept from becoming text that leaves the engine.
//!
//! Events, reports, the journal and messages take [`Redacted`] values, and only this file makes them.

use std::collections::HashMap;

use converge_model::{CatalogResource, Change, Changes, Error, ErrorKind, Guard, Kinds, Shown, Value};

use crate::words::shorten;

/// Something that may be shown.
#[derive(Clone, Debug)]
pub(crate) struct Redacted<T>(T);

impl<T> Redacted<T> {
    pub(crate) fn get(&self) -> &T {
        &self.0
    }

    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

/// An error of the engine itself, made of identities and of what the operating system said of the engine's own files: no
/// value of a resource ever came near it.
pub(crate) fn own(error: Error) -> Redacted<Error> {
    Redacted(error)
}

/// The shortest value of a sensitive property that is looked for in other texts, in bytes: shorter ones are in any text.
const SHORTEST: usize = 4;

/// The properties of each kind of which no value is shown, as the kinds' schemas say.
pub(crate) struct SensitiveProperties(HashMap<&'static str, Vec<&'static str>>);

impl SensitiveProperties {
    pub(crate) fn of(kinds: &dyn Kinds) -> Self {
        let schemas = kinds.all().iter().map(|kind| (kind.schema)());
        let named = schemas.map(|schema| (schema.name, schema.sensitive_properties().collect::<Vec<_>>()));
        Self(named.filter(|(_, properties)| !properties.is_empty()).collect())
    }

    /// What may be shown of one resource.
    pub(crate) fn redactor<'a>(&'a self, resource: &'a CatalogResource) -> Redactor<'a> {
        Redactor { resource, sensitive: self.0.get(resource.id.kind()).map_or(&[], Vec::as_slice) }
    }
}

/// What may be shown of one resource.
#[derive(Clone, Copy)]
pub(crate) struct Redactor<'a> {
    resource: &'a CatalogResource,
    /// The properties that are sensitive by their kind.
    sensitive: &'a [&'static str],
}

impl Redactor<'_> {
    /// Whether neither the author nor the kind hides any of it.
    pub(crate) fn hides_nothing(self) -> bool {
        !self.is_secret() && self.sensitive.iter().all(|name| !self.resource.properties.contains_key(name))
    }

    /// Whether the author hides any of it. Then nothing that was said of it can be trusted to hold none of that.
    fn is_secret(self) -> bool {
        self.resource.sensitive || !self.resource.secret.is_empty()
    }

    fn hides(self, property: &str) -> bool {
        self.resource.sensitive || self.resource.secret.contains(property) || self.sensitive.contains(&property)
    }

    /// The changes, showing no side of those that hold what must be hidden.
    pub(crate) fn changes(self, changes: &Changes) -> Redacted<Changes> {
        if self.hides_nothing() {
            return Redacted(changes.clone());
        }
        let hidden = self.hidden_texts();
        let hide = |change: &Change| self.hides(&change.property) || texts(change).any(|text| holds(text, &hidden));
        Redacted(
            changes
                .iter()
                .map(|change| if hide(change) { change.clone().redacted() } else { change.clone() })
                .collect(),
        )
    }

    /// The error. Where the author hides anything, only what was attempted on what is left: a cause may quote a value, or
    /// a part of one. Of what the kind itself keeps to itself, values are left out.
    pub(crate) fn error(self, error: Error) -> Redacted<Error> {
        if self.hides_nothing() {
            return Redacted(error);
        }
        let mut hidden = self.hidden_texts();
        if !self.is_secret() {
            // One value may be a part of another.
            hidden.sort_by_key(|text| std::cmp::Reverse(text.len()));
            let mask = |text: String| {
                hidden.iter().fold(text, |text, value| text.replace(value.as_str(), &Shown::Sensitive.to_string()))
            };
            let hint = error.hint.map(mask);
            return Redacted(Error {
                operation: mask(error.operation),
                subject: mask(error.subject),
                cause: mask(error.cause),
                hint,
                ..error
            });
        }
        let operation = if holds(&error.operation, &hidden) { "converge".to_owned() } else { error.operation };
        let is_name = error.subject == self.resource.id.name();
        let subject = if is_name { error.subject } else { self.resource.id.to_string() };
        let cause = format!("{} (the details may hold a hidden value)", in_general(error.kind));
        Redacted(Error::new(error.kind, operation, subject, cause).with_hint(
            "do by hand on the node what was attempted, or take `sensitive` off a copy of it, to see the details",
        ))
    }

    /// The error that the resource did not converge, naming what is left.
    pub(crate) fn did_not_converge(self, left: &Changes) -> Redacted<Error> {
        let shown = self.changes(&left.states().cloned().collect());
        let left: Vec<String> = shown.get().iter().map(words).collect();
        let cause = format!("it did not converge: after the change there is still {}", left.join("; "));
        Redacted(
            Error::new(ErrorKind::Failed, "converge", &self.resource.id, cause)
                .with_hint("something on the node sets it back, or ignores what was asked of it"),
        )
    }

    /// What a plan took for granted.
    pub(crate) fn assumption(self, text: String) -> Redacted<String> {
        let shown = self.hides_nothing() || !(self.resource.sensitive || holds(&text, &self.hidden_texts()));
        Redacted(if shown { text } else { format!("an effect of {} that is not shown", self.resource.id) })
    }

    /// Whether the text of a guard must not be shown.
    pub(crate) fn hides_guard(self, guard: &Guard) -> bool {
        let property = match guard {
            Guard::OnlyIf(_) => "only_if",
            Guard::NotIf(_) => "not_if",
        };
        self.resource.sensitive || self.resource.secret.contains(property)
    }

    /// Every text, and every line of a text, that a hidden property holds.
    fn hidden_texts(self) -> Vec<String> {
        let mut texts = Vec::new();
        for (property, value) in &self.resource.properties {
            if self.resource.secret.contains(property) {
                collect(value, &mut texts);
            } else if self.sensitive.contains(&property.as_str()) {
                let mut of_kind = Vec::new();
                collect(value, &mut of_kind);
                texts.extend(of_kind.into_iter().filter(|text| text.len() >= SHORTEST));
            }
        }
        texts
    }
}

/// Whether `text` holds any of the hidden ones.
fn holds(text: &str, hidden: &[String]) -> bool {
    hidden.iter().any(|value| text.contains(value.as_str()))
}

fn texts(change: &Change) -> impl Iterator<Item = &str> {
    [side_text(&change.from), side_text(&change.to), change.diff.as_deref(), Some(change.property.as_str())]
        .into_iter()
        .flatten()
}

fn side_text(side: &Shown) -> Option<&str> {
    match side {
        Shown::Text(text) => Some(text),
        Shown::Absent | Shown::Sensitive => None,
    }
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::Null | Value::Boolean(_) | Value::Blob(_) => {}
        Value::Integer(_) | Value::Float(_) => texts.push(value.to_string()),
        Value::String(text) => {
            for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                texts.push(line.to_owned());
                let escaped = line.escape_debug().to_string();
                if escaped != line {
                    texts.push(escaped);
                }
            }
        }
        Value::List(values) => values.iter().for_each(|value| collect(value, texts)),
        Value::Map(values) => values.values().for_each(|value| collect(value, texts)),
    }
}

fn words(change: &Change) -> String {
    let side = |side: &Shown| shorten(&side.to_string());
    format!("{}: {} → {}", change.property, side(&change.from), side(&change.to))
}

/// The cause, as far as its sort says it.
fn in_general(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "it is not valid",
        ErrorKind::NotFound => "something it needs is not there",
        ErrorKind::Denied => "the system refused",
        ErrorKind::NoSpace => "there is no space left",
        ErrorKind::Busy => "something else holds it",
        ErrorKind::TimedOut => "its time was up",
        ErrorKind::Cancelled => "the run was stopped",
        ErrorKind::Unavailable => "what it needs is not on this node",
        ErrorKind::Failed => "it was tried and failed",
    }
}
