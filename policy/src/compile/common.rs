//! The properties that every kind has, as a declaration writes them.

use converge_model::graph::Property;
use converge_model::{Dynamic, PropertyType, Span, Value};
use toml::de::DeValue;

use super::declaration::Declared;
use super::reference::{Role, notifications, references};
use super::scope::Scope;
use super::sources::Findings;
use super::toml::Field;
use super::value::{bare_expression, dynamic};
use crate::common::{read_condition, read_retries};

/// Reads one of [`COMMON_NAMES`](crate::common::COMMON_NAMES) into a declaration of a resource of `kind`.
pub(crate) fn common_property(
    field: &Field<'_>,
    kind: &str,
    scope: &Scope<'_>,
    declared: &mut Declared,
    findings: &mut Findings<'_>,
) {
    match field.key {
        "requires" => {
            declared.declaration.requires = references(field, &Role::Requires, scope, declared, findings);
        }
        "before" => declared.declaration.before = references(field, &Role::Before, scope, declared, findings),
        "notifies" => declared.declaration.notifies = notifications(field, Role::Notifies, scope, declared, findings),
        "subscribes" => {
            declared.declaration.subscribes = notifications(field, Role::Subscribes, scope, declared, findings);
        }
        _ => {
            let at = findings.sources.spot(field.node.place);
            let value = scalar(field, kind, scope, findings).map(|value| Box::new(Property(value, at)));
            let declaration = &mut declared.declaration;
            match field.key {
                "when" => declaration.when = value,
                "for_each" => declaration.for_each = value,
                "only_if" => declaration.only_if = value,
                "not_if" => declaration.not_if = value,
                "timeout" => declaration.timeout = value,
                "retries" => declaration.retries = value,
                "ignore_failure" => declaration.ignore_failure = value,
                "sensitive" => declaration.sensitive = value,
                "audit" => declaration.audit = value,
                _ => {}
            }
        }
    }
}

fn scalar(field: &Field<'_>, kind: &str, scope: &Scope<'_>, findings: &mut Findings<'_>) -> Option<Dynamic> {
    let mut refuse = |expected: &str| {
        findings.error(field.node.place, format!("`{}` for {kind} must be {expected}", field.key));
        None
    };
    match (field.key, field.node.value) {
        ("when", DeValue::String(text)) | ("for_each", DeValue::String(text)) => {
            return bare_expression(text, field.node.place, scope, findings);
        }
        ("when", DeValue::Boolean(_)) | ("for_each", DeValue::Array(_) | DeValue::Table(_)) => {}
        ("when", _) => return refuse("an expression, `true` or `false`"),
        ("for_each", _) => return refuse("an expression, a list or a map"),
        _ => {}
    }
    let value = dynamic(field.node, scope, findings)?;
    let checked = match (&value, field.key) {
        (Dynamic::Literal(value), key) => check_literal(key, value),
        (Dynamic::Text(_), "ignore_failure" | "sensitive" | "audit" | "retries") => {
            Err("text around an expression makes text; write one whole `{{ expression }}`".to_owned())
        }
        (Dynamic::List(_), "timeout" | "ignore_failure" | "sensitive" | "audit" | "retries")
        | (Dynamic::Map(_), "timeout" | "ignore_failure" | "sensitive" | "audit") => {
            Err("a list or map cannot be its value".to_owned())
        }
        _ => Ok(()),
    };
    match checked {
        Ok(()) => Some(value),
        Err(error) => {
            findings.error(field.node.place, format!("`{}` for {kind}: {error}", field.key));
            None
        }
    }
}

fn check_literal(key: &str, value: &Value) -> Result<(), String> {
    match key {
        "only_if" | "not_if" => read_condition(value).map(drop),
        "timeout" => Span::from_value(value).map(drop),
        "retries" => read_retries(value).map(drop),
        "ignore_failure" | "sensitive" | "audit" => bool::from_value(value).map(drop),
        _ => Ok(()),
    }
}
