//! The properties that every kind has: what they are called, what they mean, and how their values are read.

use std::collections::BTreeMap;
use std::time::Duration;

use converge_model::catalog::Retries;
use converge_model::{AbsPath, CommandLine, Condition, PropertyType, Span, TypeSchema, Value};

/// The most tries after the first.
pub const MOST_RETRIES: u32 = 100;

/// One property that every kind has.
#[derive(Clone, Debug)]
pub struct CommonProperty {
    /// Its name in a recipe.
    pub name: &'static str,
    /// What it means, in sentences.
    pub doc: &'static str,
    /// Its type. What an expression yields for it must be of that type too.
    pub ty: TypeSchema,
}

/// Their names, in the order of the docs.
pub const COMMON_NAMES: [&str; 13] = [
    "when",
    "only_if",
    "not_if",
    "for_each",
    "requires",
    "before",
    "notifies",
    "subscribes",
    "timeout",
    "retries",
    "ignore_failure",
    "sensitive",
    "audit",
];

/// The properties that every kind has, in the order of the docs.
pub fn common_properties() -> Vec<CommonProperty> {
    COMMON_NAMES.iter().map(|&name| CommonProperty { name, doc: doc(name), ty: ty(name) }).collect()
}

fn doc(name: &str) -> &'static str {
    match name {
        "when" => {
            "An expression, without braces, that is decided before the run: the resource is skipped unless it holds."
        }
        "only_if" => {
            "A guard, decided when the resource's turn comes: a shell command, an argument vector, or `{ exists = \"/path\" }`. \
             The resource is skipped unless it holds."
        }
        "not_if" => "A guard as `only_if` is; the resource is skipped if it holds.",
        "for_each" => {
            "One resource for each item of a list, or each entry of a map: an expression, without braces, or the list or map \
             itself. `each.value` is the item, `each.key` the entry's key or the item's number from 0."
        }
        "requires" => "Resources, as `kind[name]`, that come before this one, and whose failure leaves it unprocessed.",
        "before" => "Resources, as `kind[name]`, that require this one.",
        "notifies" => {
            "Whom to notify when this resource was updated: `{ reload = \"service[nginx]\" }`, several actions, or lists of \
             resources. At the end of the run, or with `timing = \"immediate\"` at once."
        }
        "subscribes" => {
            "The inverse of `notifies`: this resource acts when the other one was updated, and comes after it."
        }
        "timeout" => "How long one step of this resource may take, such as \"90s\".",
        "retries" => "How often to try again after a failure: a number, or `{ count = 3, delay = \"10s\" }`.",
        "ignore_failure" => "A failure of this resource blocks nothing and does not fail the run.",
        "sensitive" => "No value of this resource is shown anywhere.",
        "audit" => "Only observe and report; never change.",
        _ => "",
    }
}

fn ty(name: &str) -> TypeSchema {
    let references = || {
        let one = TypeSchema::Text { what: "resource", pattern: Some(r"^[a-z][a-z0-9_]*\[.+\]$") };
        TypeSchema::Either(vec![one.clone(), TypeSchema::List(Box::new(one))])
    };
    let condition = || {
        let exists = TypeSchema::Map(Box::new(AbsPath::schema()));
        TypeSchema::Either(vec![CommandLine::schema(), exists])
    };
    let notifications = || {
        let one = TypeSchema::Map(Box::new(references()));
        TypeSchema::Either(vec![one.clone(), TypeSchema::List(Box::new(one))])
    };
    match name {
        "when" => TypeSchema::Either(vec![TypeSchema::Text { what: "expression", pattern: None }, TypeSchema::Boolean]),
        "for_each" => TypeSchema::Either(vec![
            TypeSchema::Text { what: "expression", pattern: None },
            TypeSchema::List(Box::new(TypeSchema::Any)),
            TypeSchema::Map(Box::new(TypeSchema::Any)),
        ]),
        "only_if" | "not_if" => condition(),
        "requires" | "before" => references(),
        "notifies" | "subscribes" => notifications(),
        "timeout" => Span::schema(),
        "retries" => TypeSchema::Either(vec![
            TypeSchema::Integer { minimum: 0, maximum: i64::from(MOST_RETRIES) },
            TypeSchema::Map(Box::new(TypeSchema::Any)),
        ]),
        _ => TypeSchema::Boolean,
    }
}

/// Reads the value of `retries`: how often, or how often and with what wait (one second unless it says).
///
/// # Errors
/// Says what is wrong with it.
pub fn read_retries(value: &Value) -> Result<Retries, String> {
    let count = |value: &Value| match u32::from_value(value)? {
        count if count <= MOST_RETRIES => Ok(count),
        count => Err(format!("{count} retries are more than {MOST_RETRIES}")),
    };
    let second = Span::from(Duration::from_secs(1));
    match value {
        Value::Map(map) => {
            known_keys(map, &["count", "delay"])?;
            let written = map.get("count").ok_or("`count` is missing: how often to try again")?;
            let delay = map.get("delay").map_or(Ok(second), Span::from_value)?;
            Ok(Retries { count: count(written)?, delay })
        }
        Value::Integer(_) => Ok(Retries { count: count(value)?, delay: second }),
        other => Err(format!("expected a number or `{{ count = 3, delay = \"10s\" }}`, found {}", found(other))),
    }
}

/// Reads the value of `only_if` or `not_if`: a command, or `{ exists = PATH }`.
///
/// # Errors
/// Says what is wrong with it.
pub fn read_condition(value: &Value) -> Result<Condition, String> {
    match value {
        Value::Map(map) => {
            known_keys(map, &["exists"])?;
            let path = map.get("exists").ok_or("`exists` is missing: the path to look for")?;
            AbsPath::from_value(path).map(Condition::Exists)
        }
        Value::String(_) | Value::List(_) => CommandLine::from_value(value).map(Condition::Command),
        other => Err(format!("expected a command or `{{ exists = \"/path\" }}`, found {}", found(other))),
    }
}

fn known_keys(map: &BTreeMap<String, Value>, known: &[&str]) -> Result<(), String> {
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => Err(format!("unknown key `{unknown}`; known are: {}", known.join(", "))),
        None => Ok(()),
    }
}

fn found(value: &Value) -> String {
    format!("the {} {value}", value.type_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn every_common_property_is_described() {
        assert!(common_properties().iter().all(|property| !property.doc.is_empty()));
    }

    #[test]
    fn retries_and_conditions_are_read_or_refused() {
        let ten = Span::seconds(10);
        assert_eq!(read_retries(&value("3")), Ok(Retries { count: 3, delay: Span::seconds(1) }));
        assert_eq!(read_retries(&value(r#"{"count":2,"delay":"10s"}"#)), Ok(Retries { count: 2, delay: ten }));
        assert_eq!(read_condition(&value(r#"{"exists":"/a"}"#)), Ok(Condition::Exists("/a".parse().unwrap())));
        assert_eq!(read_condition(&value(r#""true""#)), Ok(Condition::Command(CommandLine::Shell("true".into()))));
        for (wrong, part) in [
            (read_retries(&value("101")).unwrap_err(), "more than 100"),
            (read_retries(&value("-1")).unwrap_err(), "-1"),
            (read_retries(&value(r#"{"delay":"1s"}"#)).unwrap_err(), "`count` is missing"),
            (read_retries(&value(r#"{"count":1,"wait":"1s"}"#)).unwrap_err(), "unknown key `wait`"),
            (read_retries(&value("true")).unwrap_err(), "the boolean true"),
            (read_condition(&value("1")).unwrap_err(), "the integer 1"),
            (read_condition(&value(r#"{"exists":"a"}"#)).unwrap_err(), "absolute path"),
        ] {
            assert!(wrong.contains(part), "{wrong}");
        }
    }
}
