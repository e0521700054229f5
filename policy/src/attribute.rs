//! Attributes and parameters: whether a value is what was declared, and where a node's values come from.

mod levels;

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashMap;

use converge_model::Value;
use converge_model::graph::{AttributeDeclaration, AttributeType, Number};
use regex_lite::Regex;

pub(crate) use levels::circle;
pub use levels::{LevelName, NodeAttributes, ResolvedAttribute, ResolvedAttributes, Setter, resolve, wrong_for_node};

/// Compares two bounds. Integers are not rounded; what is not a number is equal to everything.
pub fn compare(left: Number, right: Number) -> Ordering {
    match (left, right) {
        (Number::Integer(left), Number::Integer(right)) => left.cmp(&right),
        (Number::Integer(left), Number::Float(right)) => compare_mixed(left, right),
        (Number::Float(left), Number::Integer(right)) => compare_mixed(right, left).reverse(),
        (Number::Float(left), Number::Float(right)) => left.partial_cmp(&right).unwrap_or(Ordering::Equal),
    }
}

fn compare_mixed(integer: i64, float: f64) -> Ordering {
    /// 2⁶³, which no integer reaches.
    const BEYOND: f64 = 9_223_372_036_854_775_808.0;
    match float {
        _ if float.is_nan() => Ordering::Equal,
        _ if float >= BEYOND => Ordering::Less,
        _ if float < -BEYOND => Ordering::Greater,
        // Exact from here on: the whole part fits, and what is left over decides where it is equal.
        _ => integer
            .cmp(&(float.trunc() as i64))
            .then_with(|| 0.0.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal)),
    }
}

/// Checks that a pattern is a regular expression.
///
/// # Errors
/// Says what is wrong with it.
pub fn check_pattern(pattern: &str) -> Result<(), String> {
    Regex::new(pattern).map(drop).map_err(|error| error.to_string())
}

/// Checks a value against a declaration.
///
/// # Errors
/// Says what was expected and what was found, without naming the attribute. The message holds the value, so that it must
/// not be shown where the declaration is `secret`.
pub fn check(declaration: &AttributeDeclaration, value: &Value) -> Result<(), String> {
    Checker::default().check(declaration, value)
}

/// Checks many values, compiling each pattern once.
#[derive(Debug, Default)]
pub struct Checker(RefCell<HashMap<String, Result<Regex, String>>>);

impl Checker {
    /// As [`check`].
    ///
    /// # Errors
    /// As [`check`].
    pub fn check(&self, declaration: &AttributeDeclaration, value: &Value) -> Result<(), String> {
        check_type(declaration.ty, value)?;
        if let Some(number) = number(value) {
            if declaration.minimum.is_some_and(|minimum| compare(number, minimum).is_lt()) {
                return Err(format!("{value} is less than the minimum, {}", bound(declaration.minimum)));
            }
            if declaration.maximum.is_some_and(|maximum| compare(number, maximum).is_gt()) {
                return Err(format!("{value} is greater than the maximum, {}", bound(declaration.maximum)));
            }
        }
        if !declaration.one_of.is_empty() && !declaration.one_of.iter().any(|known| same(known, value)) {
            let known: Vec<String> = declaration.one_of.iter().map(|known| format!("`{known}`")).collect();
            return Err(format!("`{value}` is not one of {}", known.join(", ")));
        }
        match (&declaration.pattern, value) {
            (Some(pattern), Value::String(text)) => self.check_text(pattern, text),
            _ => Ok(()),
        }
    }

    fn check_text(&self, pattern: &str, text: &str) -> Result<(), String> {
        let mut patterns = self.0.borrow_mut();
        // The whole of the text must match, whatever alternatives the pattern has.
        let compile = || Regex::new(&format!("^(?:{pattern})$")).map_err(|error| error.to_string());
        match patterns.entry(pattern.to_owned()).or_insert_with(compile) {
            Ok(regex) if regex.is_match(text) => Ok(()),
            Ok(_) => Err(format!("{text:?} does not match the pattern `{pattern}`")),
            Err(error) => Err(format!("the pattern `{pattern}` is no regular expression: {error}")),
        }
    }
}

fn check_type(ty: AttributeType, value: &Value) -> Result<(), String> {
    match (ty, value) {
        (AttributeType::String, Value::String(_))
        | (AttributeType::Integer, Value::Integer(_))
        | (AttributeType::Float, Value::Float(_) | Value::Integer(_))
        | (AttributeType::Boolean, Value::Boolean(_))
        | (AttributeType::List, Value::List(_))
        | (AttributeType::Map, Value::Map(_)) => Ok(()),
        (ty, found) => {
            let article = if ty == AttributeType::Integer { "an" } else { "a" };
            let expected = format!("expected {article} {}", ty.word());
            Err(match found {
                Value::String(text) => format!("{expected}, found the string {text:?}"),
                Value::Null => format!("{expected}, found none"),
                other => format!("{expected}, found the {} {other}", other.type_name()),
            })
        }
    }
}

fn number(value: &Value) -> Option<Number> {
    match value {
        Value::Integer(number) => Some(Number::Integer(*number)),
        Value::Float(number) => Some(Number::Float(*number)),
        _ => None,
    }
}

fn same(left: &Value, right: &Value) -> bool {
    match (number(left), number(right)) {
        (Some(left), Some(right)) => compare(left, right).is_eq(),
        _ => left == right,
    }
}

fn bound(number: Option<Number>) -> String {
    match number {
        Some(Number::Integer(number)) => number.to_string(),
        Some(Number::Float(number)) => number.to_string(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(toml: &str) -> AttributeDeclaration {
        toml::from_str(&format!("at = [0, 1, 1]\n{toml}")).unwrap()
    }

    #[test]
    fn values_are_what_was_declared_or_refused_with_a_reason() {
        let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        for (declaration, json, problem) in [
            ("type = 'string'", r#""x""#, ""),
            ("type = 'string'", "1", "expected a string, found the integer 1"),
            ("type = 'integer'", "1.5", "expected an integer, found the float 1.5"),
            ("type = 'integer'", r#""8""#, r#"expected an integer, found the string "8""#),
            ("type = 'float'", "1", ""),
            ("type = 'boolean'", "null", "expected a boolean, found none"),
            ("type = 'list'", "{}", "expected a list, found the map {}"),
            ("type = 'map'", r#"{"a":1}"#, ""),
            ("type = 'integer'\nminimum = 1", "0", "0 is less than the minimum, 1"),
            ("type = 'integer'\nmaximum = 9007199254740992", "9007199254740993", "greater than the maximum"),
            ("type = 'float'\nmaximum = 0.5", "1", "1 is greater than the maximum, 0.5"),
            ("type = 'float'\nminimum = 0.5\nmaximum = 2", "0.5", ""),
            ("type = 'string'\none_of = ['a', 'b']", r#""c""#, "`c` is not one of `a`, `b`"),
            ("type = 'float'\none_of = [1]", "1.0", ""),
            ("type = 'string'\npattern = 'a|b'", r#""b""#, ""),
            ("type = 'string'\npattern = 'a|b'", r#""ab""#, "does not match the pattern `a|b`"),
            ("type = 'string'\npattern = '[a-z]+'", "\"a\\nb\"", "does not match"),
        ] {
            let result = check(&declared(declaration), &value(json));
            let message = result.err().unwrap_or_default();
            assert!(
                if problem.is_empty() { message.is_empty() } else { message.contains(problem) },
                "{json}: {message}"
            );
        }
        assert!(check_pattern("a)(b").is_err());
        assert_eq!(compare(Number::Integer(i64::MAX), Number::Float(i64::MAX as f64)), Ordering::Less);
    }
}
