//! Which files a policy needs, found before anything is read in earnest. What is malformed is found later.

use std::collections::BTreeSet;

use toml::de::{DeTable, DeValue};

use super::names::{Role, role};
use crate::repository::{FileData, Repository};

/// The paths of everything that the policy called `name` reaches and that is compiled: itself, the policies that it
/// includes, the cookbooks of its run list, and those that they depend on.
pub(crate) fn reached_paths<'r>(repository: &'r Repository, name: &str) -> Vec<&'r str> {
    let (mut policies, mut cookbooks) = (BTreeSet::new(), BTreeSet::new());
    let mut open = vec![name.to_owned()];
    let mut open_cookbooks = Vec::new();
    while let Some(name) = open.pop() {
        if policies.insert(name.clone()) {
            let path = format!("policies/{name}.toml");
            open.extend(strings(repository, &path, "include"));
            let cookbook = |recipe: String| recipe.split("::").next().unwrap_or("").to_owned();
            open_cookbooks.extend(strings(repository, &path, "run_list").into_iter().map(cookbook));
        }
    }
    while let Some(name) = open_cookbooks.pop() {
        if cookbooks.insert(name.clone()) {
            open_cookbooks.extend(strings(repository, &format!("cookbooks/{name}/cookbook.toml"), "depends"));
        }
    }
    let is_reached = |path: &&str| match role(path) {
        Some(Role::Policy(name)) => policies.contains(name),
        Some(Role::Cookbook(name) | Role::Recipe(name, _) | Role::Kind(name, _) | Role::Template(name)) => {
            cookbooks.contains(name)
        }
        Some(Role::Settings) | None => false,
    };
    repository.files.keys().map(String::as_str).filter(is_reached).collect()
}

/// The strings of a list, or the keys of a table.
fn strings(repository: &Repository, path: &str, key: &str) -> Vec<String> {
    let Some(FileData::Bytes(bytes)) = repository.files.get(path) else { return Vec::new() };
    let Ok(text) = std::str::from_utf8(bytes) else { return Vec::new() };
    let (document, _) = DeTable::parse_recoverable(text);
    match document.get_ref().get(key).map(toml::Spanned::get_ref) {
        Some(DeValue::Array(items)) => {
            items.iter().filter_map(|item| item.get_ref().as_str().map(str::to_owned)).collect()
        }
        Some(DeValue::Table(table)) => table.keys().map(|key| key.get_ref().to_string()).collect(),
        _ => Vec::new(),
    }
}
