//! Judging a package: what is there, what could be, and what has to be done.

use std::cmp::Ordering;

use converge_model::Result;
use converge_model::system::packages::{Candidate, Installed, PackageState, UNKNOWN_VERSION};

use crate::package::PackageEnsure;
use crate::version_constraint::{Compare, VersionConstraint};

/// What has to be done with a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Right,
    /// Install it, in this version where one was chosen.
    Install(Option<String>),
    /// No version that is known is allowed; these are.
    NoVersion(Vec<String>),
    Remove,
    Purge,
}

/// What a verdict is made from, but for the package itself.
pub(crate) struct Judge<'a> {
    pub(crate) ensure: PackageEnsure,
    pub(crate) version: Option<&'a VersionConstraint>,
    pub(crate) allow_downgrade: bool,
    pub(crate) compare: Compare<'a>,
}

impl Judge<'_> {
    fn allows(&self, version: &str) -> bool {
        version == UNKNOWN_VERSION || self.version.is_none_or(|constraint| constraint.allows(version, self.compare))
    }

    /// The version that the package manager prefers, if it is allowed, else the newest that is.
    fn choice<'c>(&self, candidates: &'c [Candidate]) -> Option<&'c str> {
        let mut allowed = candidates.iter().filter(|candidate| self.allows(&candidate.version));
        allowed.clone().find(|candidate| candidate.preferred).or_else(|| allowed.next()).map(|it| it.version.as_str())
    }

    /// Judges one package. `candidates` starts a process where the package manager needs one, and is asked only when nothing
    /// else tells.
    pub(crate) fn verdict(
        &self,
        installed: Option<&Installed>,
        candidates: impl FnOnce() -> Result<Vec<Candidate>>,
    ) -> Result<Verdict> {
        let there = installed.filter(|installed| installed.state != PackageState::ConfigFiles);
        match self.ensure {
            PackageEnsure::Absent => return Ok(if there.is_some() { Verdict::Remove } else { Verdict::Right }),
            PackageEnsure::Purged => return Ok(if installed.is_some() { Verdict::Purge } else { Verdict::Right }),
            PackageEnsure::Present | PackageEnsure::Latest => {}
        }
        let unfinished = there.is_some_and(|there| there.state == PackageState::Unfinished);
        let allowed = there.filter(|there| self.allows(&there.version));
        if self.ensure == PackageEnsure::Present {
            match allowed {
                Some(_) if !unfinished => return Ok(Verdict::Right),
                // Finished as it is: nobody asked for a newer one.
                Some(there) => return Ok(Verdict::Install(Some(there.version.clone()))),
                None if self.version.is_none() => return Ok(Verdict::Install(None)),
                None => {}
            }
        }
        let candidates = candidates()?;
        let choice = self.choice(&candidates).map(str::to_owned);
        Ok(match (allowed, choice) {
            (Some(there), Some(choice)) => match (self.compare)(&choice, &there.version) {
                Ordering::Greater => Verdict::Install(Some(choice)),
                Ordering::Less if self.allow_downgrade => Verdict::Install(Some(choice)),
                _ if unfinished => Verdict::Install(Some(there.version.clone())),
                _ => Verdict::Right,
            },
            (Some(there), None) if unfinished => Verdict::Install(Some(there.version.clone())),
            (Some(_), None) => Verdict::Right,
            (None, Some(choice)) => Verdict::Install(Some(choice)),
            // Not in the index yet: installing fetches it where it must.
            (None, None) => match self.version {
                None => Verdict::Install(None),
                Some(constraint) => match constraint.exact() {
                    Some(version) => Verdict::Install(Some(version.to_owned())),
                    None => Verdict::NoVersion(candidates.into_iter().map(|candidate| candidate.version).collect()),
                },
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use converge_model::{PropertyType, Value};

    use super::*;

    #[test]
    fn a_package_is_judged_by_what_is_there_and_what_could_be() {
        use PackageEnsure::{Absent, Latest, Present, Purged};
        use PackageState::{ConfigFiles, Installed as Whole, Unfinished};
        let install = |version: &str| Verdict::Install(Some(version.to_owned()));
        let anything = || Verdict::Install(None);
        for (ensure, version, installed, candidates, verdict) in [
            (Present, "", None, None, anything()),
            (Present, "", Some(("1", Whole)), None, Verdict::Right),
            (Present, "", Some(("1", ConfigFiles)), None, anything()),
            (Present, "", Some(("1", Unfinished)), None, install("1")),
            (Present, "1", Some(("1", Unfinished)), None, install("1")),
            (Present, ">= 1", Some(("2", Whole)), None, Verdict::Right),
            // The preferred version, unless only another is allowed.
            (Present, ">= 2", Some(("1", Whole)), Some(&["4", "3!", "2"][..]), install("3")),
            (Present, "< 3", None, Some(&["4", "3!", "2", "1"]), install("2")),
            (Present, ">= 5", None, Some(&["4!"]), Verdict::NoVersion(vec!["4".into()])),
            // An exact version may only be missing from an old index.
            (Present, "5", None, Some(&["4!"]), install("5")),
            (Latest, "", Some(("2", Whole)), Some(&["3!", "2"]), install("3")),
            (Latest, "", Some(("3", Whole)), Some(&["3!", "2"]), Verdict::Right),
            (Latest, "", Some(("4", Whole)), Some(&["3!"]), Verdict::Right),
            (Latest, "", Some(("1", Whole)), Some(&[]), Verdict::Right),
            (Latest, "", None, Some(&[]), anything()),
            (Latest, "< 3", Some(("3", Whole)), Some(&["3!", "2"]), install("2")),
            (Latest, "", Some(("3", Unfinished)), Some(&["3!"]), install("3")),
            (Absent, "", Some(("1", Whole)), None, Verdict::Remove),
            (Absent, "", Some(("1", Unfinished)), None, Verdict::Remove),
            (Absent, "", Some(("1", ConfigFiles)), None, Verdict::Right),
            (Purged, "", Some(("1", ConfigFiles)), None, Verdict::Purge),
            (Purged, "", None, None, Verdict::Right),
        ] {
            let constraint = VersionConstraint::from_value(&Value::from(version)).ok();
            let compare = |left: &str, right: &str| left.cmp(right);
            let judge = Judge { ensure, version: constraint.as_ref(), allow_downgrade: false, compare: &compare };
            let installed =
                installed.map(|(version, state)| Installed { version: version.to_owned(), state, held: false });
            let judged = judge.verdict(installed.as_ref(), || {
                let candidates: &[&str] = candidates.expect("candidates must not be asked for");
                Ok(candidates
                    .iter()
                    .map(|version| Candidate {
                        version: version.trim_end_matches('!').to_owned(),
                        preferred: version.ends_with('!'),
                    })
                    .collect())
            });
            assert_eq!(judged, Ok(verdict), "{ensure:?} {version} {installed:?} {candidates:?}");
        }
    }
}
