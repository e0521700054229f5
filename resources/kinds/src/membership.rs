//! Names that belong to something: a user's groups, a group's members.

use std::collections::BTreeSet;

use converge_model::{Change, Changes, Shown};

converge_model::choice! {
    /// What becomes of names that are not declared.
    pub(crate) enum Membership {
        /// They stay.
        Add = "add",
        /// They go.
        Exact = "exact",
    }
}

/// All names there should be: what is declared, and, where others stay, those observed. Sorted, no doubles.
pub(crate) fn wanted(observed: &[String], declared: &[String], membership: Membership) -> Vec<String> {
    let others: &[String] = match membership {
        Membership::Add => observed,
        Membership::Exact => &[],
    };
    others.iter().chain(declared).collect::<BTreeSet<_>>().into_iter().cloned().collect()
}

/// Adds a change of `property` where the observed names are not those there should be.
pub(crate) fn compare(
    property: &str,
    observed: Option<&[String]>,
    declared: &[String],
    membership: Membership,
    changes: &mut Changes,
) {
    let wanted = wanted(observed.unwrap_or_default(), declared, membership);
    let mut found: Vec<String> = observed.unwrap_or_default().to_vec();
    found.sort();
    if found != wanted {
        let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        let from = observed.map_or(Shown::Absent, |_| Shown::text(list(&found)));
        changes.push(Change::new(property, from, Shown::text(list(&wanted))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undeclared_names_stay_or_go() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (observed, declared, membership, shown) in [
            (&["b", "a"][..], &["a"][..], Membership::Add, None),
            (&["b", "a"], &["a", "b", "a"], Membership::Exact, None),
            (&["b"], &["a"], Membership::Add, Some("a, b")),
            (&["b"], &["a"], Membership::Exact, Some("a")),
            (&["b"], &[], Membership::Exact, Some("none")),
            (&[], &[], Membership::Exact, None),
        ] {
            let mut changes = Changes::none();
            compare("groups", Some(&names(observed)), &names(declared), membership, &mut changes);
            let to = changes.of("groups").map(|change| change.to.to_string());
            assert_eq!(to.as_deref(), shown, "{observed:?} {declared:?}");
        }
    }
}
