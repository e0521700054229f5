//! What cloud-init(1) learned of the instance, without what it calls sensitive.

use std::path::Path;

use converge_model::Value;

use super::{LARGEST, Source, local};
use crate::linux::small_file;

const PATH: &str = "run/cloud-init/instance-data.json";

/// What stands in place of what only root may see.
const REDACTED: &str = "redacted for non-root user";

/// The standard part (`v1`) and the data source's own metadata (`metadata`); none where cloud-init did not run.
pub(super) fn cloud(source: &Source<'_>, remarks: &mut Vec<String>) -> Value {
    let path = source.root.join(PATH);
    let bytes = match small_file::read(&path, LARGEST) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Value::Null,
        Err(error) => return unusable(&path, &error, remarks),
    };
    let document: serde_json::Value = match serde_json::from_slice(&bytes) {
        Ok(document) => document,
        Err(error) => return unusable(&path, &error, remarks),
    };
    let sensitive: Vec<&str> = document
        .get("sensitive_keys")
        .and_then(|keys| keys.as_array())
        .into_iter()
        .flatten()
        .filter_map(|key| key.as_str())
        .collect();
    let part = |pointer: &str| {
        document.pointer(pointer).map(|value| cleaned(value, pointer.trim_start_matches('/'), &sensitive))
    };
    let Some(serde_json::Value::Object(mut cloud)) = part("/v1") else {
        return unusable(&path, &"it has no part called v1", remarks);
    };
    cloud.insert("metadata".to_owned(), part("/ds/meta_data").unwrap_or_default());
    match local::value(serde_json::Value::Object(cloud)) {
        Ok(value) => value,
        Err(cause) => unusable(&path, &cause, remarks),
    }
}

fn unusable(path: &Path, cause: &dyn std::fmt::Display, remarks: &mut Vec<String>) -> Value {
    remarks.push(format!("{} cannot be used: {cause}", path.display()));
    Value::Null
}

/// `value`, which is at `path`, without what is sensitive, and without keys that an expression could not name: cloud-init
/// writes those a second time with `_` for `-`.
fn cleaned(value: &serde_json::Value, path: &str, sensitive: &[&str]) -> serde_json::Value {
    match value {
        serde_json::Value::Object(entries) => {
            let entries = entries.iter().filter_map(|(key, value)| {
                let path = format!("{path}/{key}");
                let twice = key.contains('-') && entries.contains_key(&key.replace('-', "_"));
                let hidden =
                    sensitive.contains(&path.as_str()) || value.as_str() == Some(REDACTED) || key.starts_with('$');
                (!twice && !hidden).then(|| (key.clone(), cleaned(value, &path, sensitive)))
            });
            serde_json::Value::Object(entries.collect())
        }
        serde_json::Value::Array(values) => {
            serde_json::Value::Array(values.iter().map(|value| cleaned(value, path, sensitive)).collect())
        }
        other => other.clone(),
    }
}
