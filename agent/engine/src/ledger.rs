//! What the policy of this node owns: the document that outlives a run, so that what leaves the policy is noticed.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use converge_model::{ByName, Catalog, Error, ErrorKind, ResourceId, Result, Value};

/// The version of the ledger document. A reader refuses what is greater.
pub const LEDGER_FORMAT: u32 = 1;

/// What the policy of this node owns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// [`LEDGER_FORMAT`].
    pub format: u32,
    /// The [`fingerprint`] of the catalog for which nothing in it can change as long as a run changes nothing: all that
    /// can be owned is, and nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub catalog: Option<u64>,
    /// The resources that are owned.
    pub resources: BTreeMap<ResourceId, Owned>,
}

/// One resource that is owned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Owned {
    /// Its position in the catalog it was last declared in: what leaves the policy is removed last declared first.
    pub position: u64,
    /// Whether nothing of it was on the node before this agent made it. Only such a resource is ever removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub created: bool,
    /// Whether no value of it may be shown, also when it is removed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
    /// The properties that take it away, without those that hold a secret.
    pub removal: ByName<Value>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { format: LEDGER_FORMAT, catalog: None, resources: BTreeMap::new() }
    }
}

impl Ledger {
    /// The ledger in a JSON document.
    ///
    /// # Errors
    /// Where it is none, or was written by a later agent.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let wrong = |cause: String| {
            Error::new(ErrorKind::Invalid, "read", "the ledger of owned resources", cause)
                .with_hint("update the agent, or delete the file: then what the policy owned until now is forgotten")
        };
        let ledger: Ledger = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if ledger.format > LEDGER_FORMAT {
            return Err(wrong(format!("its format is {}, and this agent knows {LEDGER_FORMAT}", ledger.format)));
        }
        Ok(ledger)
    }

    /// The ledger as a JSON document.
    ///
    /// # Errors
    /// Where it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .map_err(|error| Error::new(ErrorKind::Invalid, "write", "the ledger of owned resources", error))
    }
}

/// Tells the set of resources that `catalog` can own from most others, in order. It may differ between builds of the
/// agent, which only costs reading the ledger once.
pub fn fingerprint(catalog: &Catalog) -> u64 {
    let mut hasher = DefaultHasher::new();
    for resource in catalog.resources.iter().filter(|resource| resource.skipped.is_none() && !resource.audit) {
        resource.id.hash(&mut hasher);
    }
    hasher.finish()
}

/// Where the ledger of the runs before is to be had.
pub trait LedgerStore: Send + Sync {
    /// [`Ledger::catalog`] of what [`LedgerStore::load`] would read, where it is known without reading it all: then a run
    /// that finds it right and changes nothing never loads the ledger.
    fn catalog(&self) -> Option<u64> {
        None
    }

    /// The ledger; an empty one where there is none yet.
    ///
    /// # Errors
    /// Where it could not be read. The run then owns nothing new, removes nothing, and says so.
    fn load(&self) -> Result<Ledger>;
}

impl LedgerStore for Ledger {
    fn catalog(&self) -> Option<u64> {
        self.catalog
    }

    fn load(&self) -> Result<Ledger> {
        Ok(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_reads_back_and_that_of_a_later_agent_is_refused() {
        let mut ledger = Ledger { catalog: Some(7), ..Ledger::default() };
        let removal = ByName::from([("ensure".to_owned(), Value::from("absent"))]);
        let owned = Owned { position: 3, created: true, sensitive: false, removal };
        ledger.resources.insert("file[/etc/motd]".parse().unwrap(), owned);
        assert_eq!(Ledger::from_json(&ledger.to_json().unwrap()), Ok(ledger.clone()));
        ledger.format += 1;
        let error = Ledger::from_json(&ledger.to_json().unwrap()).unwrap_err();
        assert!(error.to_string().contains("its format is 2"), "{error}");
        assert!(Ledger::from_json(b"{").unwrap_err().hint.unwrap().contains("delete the file"));
    }
}
