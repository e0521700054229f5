//! What differs between desired and observed, property by property.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One side of a change, as people see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shown {
    /// It is not there.
    Absent,
    /// Its text.
    Text(String),
    /// It must not be shown.
    Sensitive,
}

impl Shown {
    /// Something with a text.
    pub fn text(value: impl fmt::Display) -> Self {
        Shown::Text(value.to_string())
    }

    /// Something that may not be there.
    pub fn maybe(value: Option<impl fmt::Display>) -> Self {
        value.map_or(Shown::Absent, Shown::text)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shown::Absent => f.write_str("absent"),
            Shown::Text(text) => f.write_str(text),
            Shown::Sensitive => f.write_str("(sensitive)"),
        }
    }
}

/// Whether a change leaves something to be verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// A state: observed again after it was applied, it must be gone.
    #[default]
    State,
    /// An act, such as running a command: done once it was done, with nothing to observe.
    Act,
}

impl ChangeKind {
    fn is_state(&self) -> bool {
        *self == ChangeKind::State
    }
}

/// One property that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The property, as the recipe calls it.
    pub property: String,
    /// What is observed.
    pub from: Shown,
    /// What is desired.
    pub to: Shown,
    /// A unified diff, where the property is a text of lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
    /// Whether it is verified afterwards.
    #[serde(default, skip_serializing_if = "ChangeKind::is_state")]
    pub kind: ChangeKind,
}

impl Change {
    /// A property whose state goes `from` → `to`.
    pub fn new(property: impl Into<String>, from: Shown, to: Shown) -> Self {
        Self { property: property.into(), from, to, diff: None, kind: ChangeKind::State }
    }

    /// Something to be done once, with nothing to observe afterwards.
    pub fn act(property: impl Into<String>, what: impl fmt::Display) -> Self {
        Self { kind: ChangeKind::Act, ..Self::new(property, Shown::Absent, Shown::text(what)) }
    }

    /// The same, with a unified diff.
    #[must_use]
    pub fn with_diff(self, diff: Option<String>) -> Self {
        Self { diff, ..self }
    }

    /// The same, showing neither side.
    #[must_use]
    pub fn redacted(self) -> Self {
        let hide = |side| {
            if side == Shown::Absent { side } else { Shown::Sensitive }
        };
        Self { from: hide(self.from), to: hide(self.to), diff: None, ..self }
    }
}

/// All that differs. Empty means up to date.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Changes(Vec<Change>);

impl Changes {
    /// Nothing differs.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a change.
    pub fn push(&mut self, change: Change) {
        self.0.push(change);
    }

    /// Adds a change of `property` where the two texts differ.
    pub fn compare(&mut self, property: &str, observed: Option<impl fmt::Display>, desired: impl fmt::Display) {
        let (from, to) = (Shown::maybe(observed), Shown::text(desired));
        if from != to {
            self.push(Change::new(property, from, to));
        }
    }

    /// The changes, in the order in which the kind found them.
    pub fn iter(&self) -> std::slice::Iter<'_, Change> {
        self.0.iter()
    }

    /// The change of `property`, if it differs.
    pub fn of(&self, property: &str) -> Option<&Change> {
        self.0.iter().find(|change| change.property == property)
    }

    /// Whether `property` differs.
    pub fn has(&self, property: &str) -> bool {
        self.of(property).is_some()
    }

    /// The states that still differ: acts leave nothing to be verified.
    pub fn states(&self) -> impl Iterator<Item = &Change> {
        self.0.iter().filter(|change| change.kind == ChangeKind::State)
    }

    /// The same changes, showing no value of the properties for which `hide` says so.
    #[must_use]
    pub fn redacted(self, hide: impl Fn(&str) -> bool) -> Self {
        Self(self.0.into_iter().map(|change| if hide(&change.property) { change.redacted() } else { change }).collect())
    }
}

impl FromIterator<Change> for Changes {
    fn from_iter<I: IntoIterator<Item = Change>>(changes: I) -> Self {
        Self(changes.into_iter().collect())
    }
}

impl<'a> IntoIterator for &'a Changes {
    type Item = &'a Change;
    type IntoIter = std::slice::Iter<'a, Change>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redaction_hides_both_sides_and_the_diff_but_not_that_it_was_absent() {
        let change =
            Change::new("content", Shown::text("old"), Shown::text("new")).with_diff(Some("-old\n+new".into()));
        let created = Change::new("password", Shown::Absent, Shown::text("hunter2"));
        let hidden = [change, created].into_iter().collect::<Changes>().redacted(|_| true);
        let text = serde_json::to_string(&hidden).unwrap();
        assert!(!text.contains("old") && !text.contains("new") && !text.contains("hunter2"), "{text}");
        assert_eq!(hidden.of("password").map(|change| &change.from), Some(&Shown::Absent));
    }
}
