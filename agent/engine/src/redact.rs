//! The one place where values are kept from becoming text that leaves the engine.
//!
//! Events, reports, the journal and messages take [`Redacted`] values, and only this file makes them.

use converge_model::{CatalogResource, Change, Changes, Error, ErrorKind, Guard, Shown, Value};

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

/// What may be shown of one resource.
#[derive(Clone, Copy)]
pub(crate) struct Redactor<'a>(&'a CatalogResource);

impl<'a> Redactor<'a> {
    pub(crate) fn of(resource: &'a CatalogResource) -> Self {
        Self(resource)
    }

    /// Whether all of it may be shown.
    pub(crate) fn hides_nothing(self) -> bool {
        !self.0.sensitive && self.0.secret.is_empty()
    }

    /// The changes, showing no side of those that hold what must be hidden.
    pub(crate) fn changes(self, changes: &Changes) -> Redacted<Changes> {
        if self.hides_nothing() {
            return Redacted(changes.clone());
        }
        let hidden = self.hidden_texts();
        let hide = |change: &Change| {
            self.0.sensitive
                || self.0.secret.contains(&change.property)
                || texts(change).any(|text| holds(text, &hidden))
        };
        Redacted(
            changes
                .iter()
                .map(|change| if hide(change) { change.clone().redacted() } else { change.clone() })
                .collect(),
        )
    }

    /// The error. Where the resource hides anything, only what was attempted on what is left: a cause may quote a value,
    /// or a part of one.
    pub(crate) fn error(self, error: Error) -> Redacted<Error> {
        if self.hides_nothing() {
            return Redacted(error);
        }
        let hidden = self.hidden_texts();
        let operation = if holds(&error.operation, &hidden) { "converge".to_owned() } else { error.operation };
        let is_name = error.subject == self.0.id.name();
        let subject = if is_name { error.subject } else { self.0.id.to_string() };
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
            Error::new(ErrorKind::Failed, "converge", &self.0.id, cause)
                .with_hint("something on the node sets it back, or ignores what was asked of it"),
        )
    }

    /// What a plan took for granted.
    pub(crate) fn assumption(self, text: String) -> Redacted<String> {
        let shown = self.hides_nothing() || !(self.0.sensitive || holds(&text, &self.hidden_texts()));
        Redacted(if shown { text } else { format!("an effect of {} that is not shown", self.0.id) })
    }

    /// Whether the text of a guard must not be shown.
    pub(crate) fn hides_guard(self, guard: &Guard) -> bool {
        let property = match guard {
            Guard::OnlyIf(_) => "only_if",
            Guard::NotIf(_) => "not_if",
        };
        self.0.sensitive || self.0.secret.contains(property)
    }

    /// Every text, and every line of a text, that a secret property holds.
    fn hidden_texts(self) -> Vec<String> {
        let mut texts = Vec::new();
        for (property, value) in &self.0.properties {
            if self.0.secret.contains(property) {
                collect(value, &mut texts);
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
