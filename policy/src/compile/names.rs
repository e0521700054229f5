//! What a repository holds, as its paths say: which cookbooks, recipes, custom kinds and policies.

use std::collections::{BTreeMap, BTreeSet};

use converge_model::suggest;

use super::sources::{Findings, Place};
use crate::repository::Repository;

/// The names in a repository.
#[derive(Debug, Default)]
pub(crate) struct Names<'r> {
    /// The recipes of each cookbook.
    pub(crate) cookbooks: BTreeMap<&'r str, BTreeSet<&'r str>>,
    /// The policies.
    pub(crate) policies: BTreeSet<&'r str>,
}

/// What a path is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role<'r> {
    /// `converge.toml`
    Settings,
    /// `policies/NAME.toml`
    Policy(&'r str),
    /// `cookbooks/COOKBOOK/cookbook.toml`
    Cookbook(&'r str),
    /// `cookbooks/COOKBOOK/recipes/NAME.toml`
    Recipe(&'r str, &'r str),
    /// `cookbooks/COOKBOOK/resources/NAME.toml`
    Kind(&'r str, &'r str),
    /// `cookbooks/COOKBOOK/templates/…`
    Template(&'r str),
}

/// What a path is for; nothing where it is not compiled.
pub(crate) fn role(path: &str) -> Option<Role<'_>> {
    let parts: Vec<&str> = path.split('/').collect();
    match parts[..] {
        ["converge.toml"] => Some(Role::Settings),
        ["policies", file] => file.strip_suffix(".toml").map(Role::Policy),
        ["cookbooks", cookbook, "cookbook.toml"] => Some(Role::Cookbook(cookbook)),
        ["cookbooks", cookbook, "recipes", file] => file.strip_suffix(".toml").map(|name| Role::Recipe(cookbook, name)),
        ["cookbooks", cookbook, "resources", file] => file.strip_suffix(".toml").map(|name| Role::Kind(cookbook, name)),
        ["cookbooks", cookbook, "templates", _, ..] => Some(Role::Template(cookbook)),
        _ => None,
    }
}

impl<'r> Names<'r> {
    /// The names in `repository`.
    pub(crate) fn of(repository: &'r Repository) -> Self {
        let mut names = Self::default();
        for path in repository.files.keys() {
            match role(path) {
                Some(Role::Policy(policy)) => {
                    names.policies.insert(policy);
                }
                Some(Role::Cookbook(cookbook)) => {
                    names.cookbooks.entry(cookbook).or_default();
                }
                Some(Role::Recipe(cookbook, recipe)) => {
                    names.cookbooks.entry(cookbook).or_default().insert(recipe);
                }
                _ => {}
            }
        }
        names
    }

    /// The full name of a recipe, `nginx::default`, from what a run list says; or a finding.
    pub(crate) fn recipe(&self, written: &str, place: Place, findings: &mut Findings<'_>) -> Option<String> {
        let (cookbook, recipe) = written.split_once("::").unwrap_or((written, "default"));
        let Some(recipes) = self.cookbooks.get(cookbook) else {
            findings
                .error(place, format!("cookbook `{cookbook}` is not in the repository"))
                .did_you_mean(suggest::nearest(cookbook, self.cookbooks.keys().copied()));
            return None;
        };
        if !recipes.contains(recipe) {
            let nearest = suggest::nearest(recipe, recipes.iter().copied());
            let meant = nearest.map(|nearest| format!("{cookbook}::{nearest}"));
            let finding = findings
                .error(place, format!("cookbook `{cookbook}` has no recipe `{recipe}`"))
                .did_you_mean(meant.as_deref());
            if nearest.is_none() {
                let there: Vec<String> = recipes.iter().map(|name| format!("{cookbook}::{name}")).collect();
                finding.help(if there.is_empty() {
                    format!("write it in cookbooks/{cookbook}/recipes/{recipe}.toml")
                } else {
                    format!("it has: {}", there.join(", "))
                });
            }
            return None;
        }
        Some(format!("{cookbook}::{recipe}"))
    }
}
