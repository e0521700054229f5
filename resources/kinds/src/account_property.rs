//! What properties of users and groups may be: names, numbers, and fields of passwd(5).

use std::ops::Deref;

use converge_model::property::check_account_name;
use converge_model::{AbsPath, PropertyType, TypeSchema, Value};

/// Names of users, or of groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccountNames(Vec<String>);

impl Deref for AccountNames {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl PropertyType for AccountNames {
    fn schema() -> TypeSchema {
        const PATTERN: &str = r"^[A-Za-z_][A-Za-z0-9_.$-]{0,31}$|\{\{";
        TypeSchema::List(Box::new(TypeSchema::Text { what: "user or group name", pattern: Some(PATTERN) }))
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let names = Vec::<String>::from_value(value)?;
        for (index, name) in names.iter().enumerate() {
            check_account_name(name).map_err(|problem| format!("item {}: {problem}", index + 1))?;
        }
        Ok(Self(names))
    }
}

/// The number of a user or group: all but the greatest, which means none to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccountNumber(pub(crate) u32);

impl PropertyType for AccountNumber {
    fn schema() -> TypeSchema {
        TypeSchema::Integer { minimum: 0, maximum: i64::from(u32::MAX) - 1 }
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        match u32::from_value(value)? {
            u32::MAX => Err(format!("{} means no user or group; the greatest number is {}", u32::MAX, u32::MAX - 1)),
            number => Ok(Self(number)),
        }
    }
}

/// A text that can be a field of passwd(5): on one line, and without the colon that ends a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PasswdText(String);

impl PropertyType for PasswdText {
    fn schema() -> TypeSchema {
        TypeSchema::Text { what: "text without `:`", pattern: Some(r"^[^:\n]*$|\{\{") }
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let text = String::from_value(value)?;
        check_field(&text).map(|()| Self(text))
    }
}

impl Deref for PasswdText {
    type Target = String;

    fn deref(&self) -> &String {
        &self.0
    }
}

/// An absolute path that can be a field of passwd(5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PasswdPath(AbsPath);

impl PropertyType for PasswdPath {
    fn schema() -> TypeSchema {
        AbsPath::schema()
    }

    fn from_value(value: &Value) -> Result<Self, String> {
        let path = AbsPath::from_value(value)?;
        check_field(&path.to_string()).map(|()| Self(path))
    }
}

impl Deref for PasswdPath {
    type Target = AbsPath;

    fn deref(&self) -> &AbsPath {
        &self.0
    }
}

fn check_field(text: &str) -> Result<(), String> {
    match text.chars().find(|&c| c == ':' || c.is_control()) {
        Some(bad) => Err(format!("{bad:?} cannot be in it, because passwd(5) is made of it")),
        None => Ok(()),
    }
}
