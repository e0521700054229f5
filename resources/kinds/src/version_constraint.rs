//! Which versions of a package are wanted.

use std::cmp::Ordering;
use std::fmt;

use converge_model::{PropertyType, TypeSchema, Value};

/// Compares two versions as the package manager does.
pub(crate) type Compare<'a> = &'a dyn Fn(&str, &str) -> Ordering;

/// Conditions that a version must meet, all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct VersionConstraint {
    text: String,
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    /// Compares so with the version.
    Compared(Relation, String),
    /// Begins so, with or without its epoch.
    Begins(String),
    /// Is this or one of its line, with or without its epoch: `1.2`, `1.2.9`, `1.2-3`, but not `1.20`.
    Series(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Relation {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// The longer ones first, so that none hides another.
const RELATIONS: [(&str, Relation); 8] = [
    (">=", Relation::GreaterOrEqual),
    ("<=", Relation::LessOrEqual),
    (">>", Relation::Greater),
    ("<<", Relation::Less),
    ("==", Relation::Equal),
    (">", Relation::Greater),
    ("<", Relation::Less),
    ("=", Relation::Equal),
];

impl VersionConstraint {
    /// Whether `version` is wanted.
    pub(crate) fn allows(&self, version: &str, compare: Compare<'_>) -> bool {
        let forms = [version, version.split_once(':').map_or(version, |(_, rest)| rest)];
        let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric());
        self.terms.iter().all(|term| match term {
            Term::Begins(prefix) => forms.iter().any(|form| form.starts_with(prefix)),
            Term::Series(first) => {
                forms.iter().any(|form| form.strip_prefix(first.as_str()).is_some_and(|rest| !goes_on(rest)))
            }
            Term::Compared(relation, wanted) => {
                let order = compare(version, wanted);
                match relation {
                    Relation::Equal => order.is_eq(),
                    Relation::Less => order.is_lt(),
                    Relation::LessOrEqual => order.is_le(),
                    Relation::Greater => order.is_gt(),
                    Relation::GreaterOrEqual => order.is_ge(),
                }
            }
        })
    }

    /// The one version that is wanted, where there is only one.
    pub(crate) fn exact(&self) -> Option<&str> {
        match self.terms.as_slice() {
            [Term::Compared(Relation::Equal, version)] => Some(version),
            _ => None,
        }
    }
}

impl fmt::Display for VersionConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PropertyType for VersionConstraint {
    fn schema() -> TypeSchema {
        TypeSchema::Text { what: "version constraint", pattern: None }
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let text = value.as_str().ok_or_else(|| {
            format!("{value} is not a version constraint; write a string, such as \"1.2-3\" or \">= 1.2, < 2\"")
        })?;
        let terms = text.split(',').map(|term| term_of(term.trim())).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { text: text.trim().to_owned(), terms })
    }
}

fn term_of(text: &str) -> Result<Term, String> {
    let (relation, version) = RELATIONS
        .iter()
        .find_map(|(sign, relation)| Some((Some(*relation), text.strip_prefix(sign)?.trim_start())))
        .unwrap_or((None, text));
    let (version, begins) = match version.strip_suffix('*') {
        Some(prefix) => (prefix, true),
        None => (version, false),
    };
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '+' | ':' | '~' | '^' | '_' | '-');
    if !version.starts_with(|c: char| c.is_ascii_alphanumeric()) || !version.chars().all(good) {
        return Err(format!(
            "{text:?} is not a version constraint; write for example `1.2-3`, `1.2.*` or `>= 1.2, < 2`"
        ));
    }
    match (relation, begins) {
        (None | Some(Relation::Equal), true) => Ok(match version.strip_suffix('.') {
            Some(first) => Term::Series(first.to_owned()),
            None => Term::Begins(version.to_owned()),
        }),
        (Some(_), true) => Err(format!("{text:?}: `*` stands for any ending, and an ending cannot be less or greater")),
        (relation, false) => Ok(Term::Compared(relation.unwrap_or(Relation::Equal), version.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_allow_what_they_say() {
        // Good enough for versions of one digit each.
        let compare = |left: &str, right: &str| left.cmp(right);
        for (constraint, version, allowed) in [
            ("1.2-3", "1.2-3", true),
            ("1.2", "1.2-3", false),
            ("= 1.2", "1.2", true),
            ("1.2.*", "1.2.9", true),
            ("1.2.*", "3:1.2.9", true),
            ("1.2.*", "1.2-3", true),
            ("1.2.*", "1.20", false),
            ("1.2*", "1.20", true),
            (">= 1.2, < 2", "1.2", true),
            (">= 1.2, < 2", "2", false),
            (">> 1.2", "1.2", false),
            ("<=1.2", "1.2", true),
        ] {
            let parsed = VersionConstraint::from_value(&Value::from(constraint)).unwrap();
            assert_eq!(parsed.allows(version, &compare), allowed, "{constraint} of {version}");
        }
        for wrong in ["", ">=", "*", "1.2,", ">= 1.*", "1 2", "!= 1", "-1"] {
            assert!(VersionConstraint::from_value(&Value::from(wrong)).is_err(), "{wrong}");
        }
    }
}
