//! How this node last got on with its store. Written where that changes, and not by each run: a file that is not there says
//! that all was well.

use std::time::Duration;

use converge_model::{Clock, Timestamp};
use converge_system::linux::durable::Durability;
use serde::{Deserialize, Serialize};

use super::{Loaded, StateDir, load, save};
use crate::client::{Found, LONGEST_ASKED};
use crate::clock::MachineClock;

/// What is remembered of a store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contact {
    /// Its address.
    pub store: String,
    /// What it does not do as it should; nothing where all is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<StoreTrouble>,
    /// Until when it wants to be left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leave_alone_until: Option<Timestamp>,
}

/// What a store does not do as it should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoreTrouble {
    /// Since when.
    pub since: Timestamp,
    /// When it was asked last.
    pub at: Timestamp,
    /// What came of that.
    pub message: String,
}

impl Contact {
    const FILE: &'static str = "contact.json";

    /// What is remembered of `store`.
    pub(crate) fn load(state: &StateDir, store: &str) -> Self {
        match load::<Self>(&state.path(Self::FILE)) {
            Loaded::Whole(contact) if contact.store == store => contact,
            // Nothing is lost with it: the store is asked, and says how it is.
            Loaded::Whole(_) | Loaded::Absent | Loaded::Broken(_) => {
                Self { store: store.to_owned(), ..Self::default() }
            }
        }
    }

    /// For how long it wants to be left alone still; nothing where it does not. One that would be left alone for longer than any
    /// may ask for was met by a clock that was set since.
    pub(crate) fn left_alone_for(&self, now: Timestamp) -> Option<Duration> {
        let left = Duration::from_millis(self.leave_alone_until?.millis_since(now));
        (!left.is_zero() && left <= LONGEST_ASKED * 2).then_some(left)
    }

    /// Remembers what a run found. That it cannot be written is no reason to fail: it is found again.
    pub(crate) fn note(state: &StateDir, store: &str, found: &Found) {
        let before = Self::load(state, store);
        let now = MachineClock.now();
        let trouble = match (&found.trouble, found.answers) {
            (Some(error), _) => {
                let since = before.trouble.as_ref().map_or(now, |trouble| trouble.since);
                Some(StoreTrouble { since, at: now, message: error.to_string() })
            }
            (None, Some(true)) => None,
            // It was asked nothing: what is known stays.
            (None, _) => return,
        };
        let after = Self { store: store.to_owned(), trouble, leave_alone_until: found.leave_alone_until };
        if after != before {
            let _ = save(&state.path(Self::FILE), &after, Durability::Soon);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_left_alone_until_then_and_never_because_a_clock_was_set() {
        let left = |until: Option<i64>| {
            let contact = Contact { leave_alone_until: until.map(Timestamp), ..Contact::default() };
            contact.left_alone_for(Timestamp(1_000_000))
        };
        assert_eq!((left(None), left(Some(999_000)), left(Some(1_000_000))), (None, None, None));
        assert_eq!(left(Some(1_060_000)), Some(Duration::from_secs(60)));
        assert_eq!(left(Some(i64::MAX)), None);
    }
}
