//! What the store told this node to run, so that a store that is out of reach, or has nothing new, is no obstacle.

use converge_model::{Result, Value};
use converge_protocol::Assignment;
use converge_system::linux::durable::Durability;
use serde::{Deserialize, Serialize};

use super::{Loaded, StateDir, load, save};
use crate::repository;
use crate::run::acceptance::Accepted;

/// The store's last answer, and what the store was told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Remembered {
    /// The store's address: an answer of one store says nothing about another.
    pub store: String,
    /// What it said.
    pub assignment: Assignment,
    /// The revision that it named, as it was signed.
    pub accepted: Accepted,
    /// The tag under which it said so.
    pub etag: Option<String>,
    /// The digest of the facts that it has, as a word.
    pub facts: Option<String>,
}

impl Remembered {
    const FILE: &'static str = "assignment.json";

    /// What `store` told last. Without it, the store is asked as if for the first time.
    pub(crate) fn load(state: &StateDir, store: &str) -> Option<Self> {
        Self::load_with(state, store, &mut Vec::new())
    }

    /// The same, saying in `remarks` where it was lost.
    pub(crate) fn load_with(state: &StateDir, store: &str, remarks: &mut Vec<String>) -> Option<Self> {
        match load::<Self>(&state.path(Self::FILE)) {
            Loaded::Whole(remembered) if remembered.store == store => Some(remembered),
            Loaded::Whole(_) | Loaded::Absent => None,
            Loaded::Broken(error) => {
                remarks.push(format!("{error}; the store is asked as if for the first time"));
                None
            }
        }
    }

    /// The tag of what `store` told last, without reading all of it into memory; nothing where there is none.
    pub(crate) fn tag(state: &StateDir, store: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Tagged {
            store: String,
            etag: Option<String>,
        }
        let file = repository::open(&state.path(Self::FILE)).ok()?;
        let tagged: Tagged = serde_json::from_reader(std::io::BufReader::with_capacity(4 << 10, file)).ok()?;
        tagged.etag.filter(|_| tagged.store == store)
    }

    /// Remembers it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn save(&self, state: &StateDir) -> Result<()> {
        save(&state.path(Self::FILE), self, Durability::Now)
    }
}

/// The word by which facts are told from others.
pub(crate) fn facts_word(facts: &Value) -> Option<String> {
    serde_json::to_vec(facts).ok().map(|bytes| converge_model::Digest::of(&bytes).to_string())
}
