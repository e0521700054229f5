//! The administrator's own facts: documents in a directory that only root may write to. Nothing is executed.

use std::collections::BTreeMap;
use std::path::Path;

use converge_model::Value;
use rustix::fs::{FileType, Stat};

use crate::linux::small_file;

/// The largest document, in bytes.
const LARGEST: usize = 1 << 20;

/// The facts of every `*.json` and `*.toml` in `directory`, by the name of the file.
pub(super) fn local(directory: &Path, remarks: &mut Vec<String>) -> Value {
    let mut facts = BTreeMap::new();
    let names = match names(directory) {
        Ok(names) => names,
        Err(cause) => {
            remarks.extend(cause.map(|cause| format!("the facts in {} are left out: {cause}", directory.display())));
            return Value::Map(facts);
        }
    };
    for name in names {
        let Some((stem, extension)) =
            name.rsplit_once('.').filter(|(_, extension)| ["json", "toml"].contains(extension))
        else {
            continue;
        };
        let fact = if !is_identifier(stem) {
            Err("its name must be letters, digits and _, with a letter first, so that expressions can name it"
                .to_owned())
        } else if facts.contains_key(stem) {
            Err(format!("there is another file for the facts {stem}"))
        } else {
            document(&directory.join(&name), extension)
        };
        match fact {
            Ok(fact) => {
                facts.insert(stem.to_owned(), fact);
            }
            Err(cause) => {
                remarks.push(format!("the facts in {} are left out: {cause}", directory.join(&name).display()))
            }
        }
    }
    Value::Map(facts)
}

/// The names in the directory, sorted. No cause is given where there is no such directory.
fn names(directory: &Path) -> Result<Vec<String>, Option<String>> {
    let handle = match small_file::open(directory) {
        Ok(handle) => handle,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(None),
        Err(error) => return Err(Some(error.to_string())),
    };
    let failed = |errno: rustix::io::Errno| Some(errno.to_string());
    check_owner(&rustix::fs::fstat(&handle).map_err(failed)?).map_err(Some)?;
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::new(handle).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        names.extend(entry.file_name().to_str().map(str::to_owned).ok().filter(|name| !name.starts_with('.')));
    }
    names.sort();
    Ok(names)
}

fn document(path: &Path, extension: &str) -> Result<Value, String> {
    let (bytes, stat) = small_file::read_with_stat(path, LARGEST).map_err(|error| error.to_string())?;
    check_owner(&stat)?;
    let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
    let document: serde_json::Value = if extension == "json" {
        serde_json::from_str(&text).map_err(|error| format!("it is no JSON: {error}"))?
    } else {
        let table: toml::Table = text.parse().map_err(|error: toml::de::Error| format!("it is no TOML: {error}"))?;
        toml_value(toml::Value::Table(table))?
    };
    value(document)
}

/// Facts decide what root does: who may write them must be root, or the user converging.
fn check_owner(stat: &Stat) -> Result<(), String> {
    let euid = rustix::process::geteuid().as_raw();
    if stat.st_uid != 0 && stat.st_uid != euid {
        Err(format!("it belongs to the user numbered {}, not to root", stat.st_uid))
    } else if stat.st_mode & 0o022 != 0 && FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
        Err(format!("others may write to it (mode {:04o}); take that away (chmod go-w)", stat.st_mode & 0o7777))
    } else {
        Ok(())
    }
}

fn is_identifier(name: &str) -> bool {
    let mut letters = name.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
}

/// A TOML document as JSON has it; times become text.
fn toml_value(value: toml::Value) -> Result<serde_json::Value, String> {
    Ok(match value {
        toml::Value::String(text) => text.into(),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => serde_json::Number::from_f64(number)
            .map(serde_json::Value::Number)
            .ok_or_else(|| format!("{number} is no number that can be compared"))?,
        toml::Value::Boolean(flag) => flag.into(),
        toml::Value::Datetime(time) => time.to_string().into(),
        toml::Value::Array(values) => {
            serde_json::Value::Array(values.into_iter().map(toml_value).collect::<Result<_, _>>()?)
        }
        toml::Value::Table(entries) => {
            let entries = entries.into_iter().map(|(key, value)| Ok((key, toml_value(value)?)));
            serde_json::Value::Object(entries.collect::<Result<_, String>>()?)
        }
    })
}

/// A document that others wrote, as a value. Keys that begin with `$` mean something to the agent, and are refused.
pub(super) fn value(document: serde_json::Value) -> Result<Value, String> {
    Ok(match document {
        serde_json::Value::Null => Value::Null,
        serde_json::Value::Bool(flag) => Value::Boolean(flag),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(number), _) => Value::Integer(number),
            (None, Some(float)) if number.is_f64() => Value::Float(float),
            _ => return Err(format!("{number} does not fit in 64 bits")),
        },
        serde_json::Value::String(text) => Value::String(text),
        serde_json::Value::Array(values) => Value::List(values.into_iter().map(value).collect::<Result<_, _>>()?),
        serde_json::Value::Object(entries) => {
            let entries = entries.into_iter().map(|(key, entry)| {
                if key.starts_with('$') {
                    Err(format!("the key {key:?} begins with $"))
                } else {
                    Ok((key, value(entry)?))
                }
            });
            Value::Map(entries.collect::<Result<_, _>>()?)
        }
    })
}
