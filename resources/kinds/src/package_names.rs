//! The names of packages.

use std::ops::Deref;

use converge_model::{PropertyType, TypeSchema, Value};

/// Names of packages, each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PackageNames(Vec<String>);

impl Deref for PackageNames {
    type Target = Vec<String>;

    fn deref(&self) -> &Vec<String> {
        &self.0
    }
}

impl PropertyType for PackageNames {
    fn schema() -> TypeSchema {
        const PATTERN: &str = r"^[A-Za-z0-9][A-Za-z0-9+._:-]*$|\{\{";
        TypeSchema::List(Box::new(TypeSchema::Text { what: "package name", pattern: Some(PATTERN) }))
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let names = Vec::<String>::from_value(value)?;
        for (index, name) in names.iter().enumerate() {
            check(name).map_err(|problem| format!("item {}: {problem}", index + 1))?;
            if names[..index].contains(name) {
                return Err(format!("{name} is there twice"));
            }
        }
        Ok(Self(names))
    }
}

/// Checks the name of a package, with or without its architecture.
///
/// # Errors
/// Says that it is none.
pub(crate) fn check(name: &str) -> Result<(), String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.' | '_' | ':');
    if name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() <= 200 && name.chars().all(good) {
        Ok(())
    } else {
        Err(format!(
            "{name:?} is not the name of a package (a letter or digit first, then also `+`, `-`, `.`, `_`, `:`)"
        ))
    }
}
