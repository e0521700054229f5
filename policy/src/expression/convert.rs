//! Between the values of the model and those of minijinja.

use std::collections::BTreeMap;

use converge_model::Value;
use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind};

/// How deep lists and maps may nest in what an expression gives.
pub const DEEPEST: usize = 64;

/// What an expression may give, in items and in 64-byte pieces of text together. Lists may be lazy and may repeat one
/// item, so that what the expression was charged for says little about how large its result is.
const LARGEST: usize = 1 << 20;

/// The value as minijinja holds it. Text and containers are shared from then on, not copied.
pub(crate) fn to_jinja(value: &Value) -> minijinja::Value {
    match value {
        Value::Null => minijinja::Value::from(()),
        Value::Boolean(value) => minijinja::Value::from(*value),
        Value::Integer(value) => minijinja::Value::from(*value),
        Value::Float(value) => minijinja::Value::from(*value),
        Value::String(text) => minijinja::Value::from(text.as_str()),
        Value::List(values) => values.iter().map(to_jinja).collect::<Vec<_>>().into(),
        Value::Map(values) => {
            values.iter().map(|(key, value)| (key.clone(), to_jinja(value))).collect::<BTreeMap<_, _>>().into()
        }
        Value::Blob(blob) => minijinja::Value::from(blob.digest.to_string()),
    }
}

/// The value as the model holds it.
pub(crate) fn to_model(value: &minijinja::Value) -> Result<Value, Error> {
    convert(value, DEEPEST, &mut { LARGEST })
}

fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

fn spend(budget: &mut usize, cost: usize) -> Result<(), Error> {
    *budget = budget.checked_sub(cost).ok_or_else(|| invalid("the value is too large"))?;
    Ok(())
}

fn convert(value: &minijinja::Value, depth: usize, budget: &mut usize) -> Result<Value, Error> {
    spend(budget, 1)?;
    match value.kind() {
        ValueKind::Undefined => Err(Error::new(ErrorKind::UndefinedError, "it gives nothing (an undefined value)")),
        ValueKind::None => Ok(Value::Null),
        ValueKind::Bool => Ok(Value::Boolean(value.is_true())),
        ValueKind::Number if value.is_integer() => {
            i64::try_from(value.clone()).map(Value::Integer).map_err(|_| invalid("the number does not fit in 64 bits"))
        }
        ValueKind::Number => match f64::try_from(value.clone()) {
            Ok(number) if number.is_finite() => Ok(Value::Float(number)),
            _ => Err(invalid("the number is not finite")),
        },
        ValueKind::String => {
            let text = value.as_str().unwrap_or_default();
            spend(budget, text.len() / 64)?;
            Ok(Value::String(text.to_owned()))
        }
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map if depth == 0 => {
            Err(invalid(format!("lists and maps nest deeper than {DEEPEST}")))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            value.try_iter()?.map(|item| convert(&item, depth - 1, budget)).collect::<Result<_, _>>().map(Value::List)
        }
        ValueKind::Map => value
            .try_iter()?
            .map(|key| convert_entry(value, &key, depth - 1, budget))
            .collect::<Result<_, _>>()
            .map(Value::Map),
        ValueKind::Invalid => Err(match value.try_iter() {
            Err(error) => error,
            Ok(_) => invalid("the value is not valid"),
        }),
        kind => Err(invalid(format!("{kind} is not a value that a property can have"))),
    }
}

fn convert_entry(
    map: &minijinja::Value,
    key: &minijinja::Value,
    depth: usize,
    budget: &mut usize,
) -> Result<(String, Value), Error> {
    let Some(name) = key.as_str() else {
        return Err(invalid("the keys of a map must be strings"));
    };
    spend(budget, name.len() / 64)?;
    Ok((name.to_owned(), convert(&map.get_item(key)?, depth, budget)?))
}

/// The text of a value within other text: strings as they are, everything else as JSON.
pub(crate) fn write_text(out: &mut dyn std::fmt::Write, value: &minijinja::Value) -> Result<(), Error> {
    if let Some(text) = value.as_str() {
        return out.write_str(text).map_err(Error::from);
    }
    match value.kind() {
        // An `if` without `else` that was not taken.
        ValueKind::Undefined => Ok(()),
        ValueKind::None => Err(invalid("the value is none, which has no text")),
        _ => write!(out, "{}", to_model(value)?).map_err(Error::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_went() {
        let text = r#"{"a":[1,true,null,1.5,"x",[]],"b":{"c":{"d":-9223372036854775808}}}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        assert_eq!(to_model(&to_jinja(&value)).unwrap(), value);
    }

    #[test]
    fn values_without_a_counterpart_are_refused() {
        let nested = (0..80).fold(minijinja::Value::from(1), |value, _| minijinja::Value::from(vec![value]));
        let wide = minijinja::Value::from(vec![minijinja::Value::from("x".repeat(1 << 20)); 1 << 10]);
        for (value, part) in [
            (minijinja::Value::UNDEFINED, "gives nothing"),
            (minijinja::Value::from(u64::MAX), "64 bits"),
            (minijinja::Value::from(f64::NAN), "finite"),
            (minijinja::Value::from_pairs([(1, 2)]), "keys of a map must be strings"),
            (nested, "deeper than 64"),
            (wide, "too large"),
            (minijinja::Value::from_bytes(vec![1]), "bytes is not a value"),
        ] {
            let error = to_model(&value).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}
