//! `supports` of a cookbook: the systems that it is written for, as `debian` or `debian >= 11`.

use std::cmp::Ordering;
use std::str::FromStr;

use converge_model::{Diagnostic, Facts, Graph, Value};

const OPERATORS: [(&str, &[Ordering]); 5] = [
    (">=", &[Ordering::Greater, Ordering::Equal]),
    (">", &[Ordering::Greater]),
    ("<=", &[Ordering::Less, Ordering::Equal]),
    ("<", &[Ordering::Less]),
    ("=", &[Ordering::Equal]),
];

/// A system, in some of its versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Supported {
    /// The system's `ID` of os-release(5), or `linux` for any.
    name: String,
    /// How its version must compare with another; nothing where every version will do.
    version: Option<(&'static [Ordering], Vec<u64>)>,
}

impl FromStr for Supported {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no system that can be supported");
        let words: Vec<&str> = text.split_whitespace().collect();
        let (name, version) = match words[..] {
            [name] => (name, None),
            [name, operator, version] => {
                let (_, wanted) = OPERATORS.iter().find(|(known, _)| *known == operator).ok_or_else(wrong)?;
                (name, Some((*wanted, numbers(version).ok_or_else(wrong)?)))
            }
            _ => return Err(wrong()),
        };
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) {
            return Err(wrong());
        }
        Ok(Self { name: name.to_owned(), version })
    }
}

impl Supported {
    /// Whether it is the system with this `ID` and `VERSION_ID`.
    fn is(&self, id: &str, version_id: Option<&str>) -> bool {
        let right_version = || match &self.version {
            None => true,
            Some((wanted, bound)) => {
                version_id.and_then(numbers).is_some_and(|version| wanted.contains(&compare(&version, bound)))
            }
        };
        (self.name == id || self.name == "linux") && right_version()
    }
}

/// The numbers of a version such as `22.04`.
fn numbers(version: &str) -> Option<Vec<u64>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

/// Compares as far as the bound goes: 12.5 is equal to 12.
fn compare(version: &[u64], bound: &[u64]) -> Ordering {
    bound
        .iter()
        .enumerate()
        .map(|(at, part)| version.get(at).copied().unwrap_or(0).cmp(part))
        .find(|order| order.is_ne())
        .unwrap_or(Ordering::Equal)
}

/// Warns of the cookbooks that were not written for the system that a node's facts tell of.
pub(crate) fn unsupported(graph: &Graph, facts: &Facts) -> Vec<Diagnostic> {
    if graph.cookbooks.iter().all(|cookbook| cookbook.supports.is_empty()) {
        return Vec::new();
    }
    let Some(id) = facts.lookup("os.id").and_then(Value::as_str) else { return Vec::new() };
    let version = facts.lookup("os.version_id").and_then(Value::as_str);
    let system = version.map_or_else(|| id.to_owned(), |version| format!("{id} {version}"));
    let fits = |text: &String| text.parse::<Supported>().is_ok_and(|supported| supported.is(id, version));
    graph
        .cookbooks
        .iter()
        .filter(|cookbook| !cookbook.supports.is_empty() && !cookbook.supports.iter().any(fits))
        .map(|cookbook| {
            let (name, version, supports) = (&cookbook.name, &cookbook.version, cookbook.supports.join(", "));
            Diagnostic::warning(format!("cookbook {name} {version} is not written for {system}"), None).with_help(
                format!(
                    "it supports {supports}; if it works here, say so in `supports` of cookbooks/{name}/cookbook.toml"
                ),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_supported_or_not() {
        for (supports, id, version, expected) in [
            ("debian", "debian", Some("12"), true),
            ("debian >= 11", "debian", Some("12"), true),
            ("debian >= 11", "debian", Some("10"), false),
            ("debian >= 11", "debian", None, false),
            ("debian = 12", "debian", Some("12.5"), true),
            ("ubuntu >= 22.04", "ubuntu", Some("22.10"), true),
            ("ubuntu < 22.10", "ubuntu", Some("22.04"), true),
            ("ubuntu > 9", "ubuntu", Some("22.04"), true),
            ("debian", "ubuntu", Some("22.04"), false),
            ("linux", "void", None, true),
        ] {
            let supported: Supported = supports.parse().unwrap();
            assert_eq!(supported.is(id, version), expected, "{supports} on {id} {version:?}");
        }
        for wrong in ["", "debian 11", "debian ~> 11", "debian >= x", "my os", "debian >= 11 12"] {
            assert!(wrong.parse::<Supported>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_cookbooks_that_say_otherwise_are_warned_of() {
        let cookbook = |name: &str, supports: &[&str]| converge_model::graph::Cookbook {
            name: name.into(),
            version: "1.0.0".into(),
            supports: supports.iter().map(|&text| text.to_owned()).collect(),
            ..Default::default()
        };
        let cookbooks =
            vec![cookbook("any", &[]), cookbook("here", &["fedora", "debian"]), cookbook("else", &["fedora"])];
        let graph = Graph { cookbooks, ..Graph::default() };
        let facts: Value = serde_json::from_str(r#"{"os":{"id":"debian","version_id":"12"}}"#).unwrap();
        let facts = Facts::from(facts);
        let found: Vec<String> = unsupported(&graph, &facts).into_iter().map(|found| found.message).collect();
        assert_eq!(found, ["cookbook else 1.0.0 is not written for debian 12"]);
        assert!(unsupported(&graph, &Facts::default()).is_empty());
    }
}
