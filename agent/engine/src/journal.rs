//! What is written down while a run changes things, so that whoever comes after a kill knows what is still to be done.

use serde::{Deserialize, Serialize};

use converge_model::report::Conclusion;
use converge_model::{Images, ResourceId, ResourceReport, Result, RunId, Timestamp, Timing};

use crate::ledger::Owned;

/// The version of the journal's entries. A reader leaves out runs of a later one, and keeps what is due.
pub const JOURNAL_FORMAT: u32 = 1;

/// One entry. None holds a value that must be hidden, but for images, which stay on the machine and are shown to nobody.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "entry")]
pub enum Entry {
    /// A run is about to change something for the first time. A run that changes nothing writes nothing.
    Started {
        /// [`JOURNAL_FORMAT`].
        format: u32,
        /// The run.
        run: RunId,
        /// When it began.
        at: Timestamp,
        /// The node's name.
        node: String,
        /// The policy.
        policy: String,
        /// The revision of the policy, where it came from a store.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        revision: Option<u64>,
        /// How many resources it has.
        resources: u64,
        /// The run that it undoes, where it is for that.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undoes: Option<RunId>,
    },
    /// A notification is due from here on: the change that causes it is about to be made.
    Due {
        /// Who asks.
        source: ResourceId,
        /// Who acts.
        target: ResourceId,
        /// What it does.
        action: String,
        /// When.
        timing: Timing,
    },
    /// What a resource is about to overwrite was kept ahead of its turn. Whether it comes to that, its turn says.
    Keeping {
        /// Which.
        id: ResourceId,
        /// What it would overwrite.
        images: Images,
    },
    /// A resource is about to be changed.
    Applying {
        /// Which.
        id: ResourceId,
        /// What takes it away again, where nothing of it was there before: this agent makes it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        created: Option<Owned>,
        /// What it overwrites, where no entry before it said so. The contents are kept already.
        #[serde(default, skip_serializing_if = "Images::is_empty")]
        images: Images,
    },
    /// A resource that was being changed ended.
    Finished {
        /// How.
        resource: Box<ResourceReport>,
    },
    /// A notification was carried out.
    Done {
        /// Who acted.
        target: ResourceId,
        /// What it did.
        action: String,
    },
    /// A notification is due no more, although nobody acted.
    Released {
        /// Who would have acted.
        target: ResourceId,
        /// What it would have done.
        action: String,
        /// Why it need not.
        reason: String,
    },
    /// A pass of the run that started last ended by itself.
    Ended {
        /// How.
        conclusion: Conclusion,
    },
}

impl Entry {
    /// The entry as the bytes to be added at the end of the journal: a line that begins, rather than ends, with its line
    /// break, so that an entry after a torn one is whole.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![b'\n'];
        // Every entry is made of strings, numbers and maps keyed by strings: there is no value that JSON cannot hold.
        if serde_json::to_writer(&mut bytes, self).is_err() {
            bytes.truncate(1);
        }
        bytes
    }

    /// The entries in the bytes of a journal, oldest first, and how many lines are none: torn by a power cut, or written
    /// by a later version.
    pub fn decode_all(bytes: &[u8]) -> (Vec<Entry>, usize) {
        let mut entries = Vec::new();
        let mut unreadable = 0;
        for line in lines(bytes) {
            match serde_json::from_slice(line) {
                Ok(entry) => entries.push(entry),
                Err(_) => unreadable += 1,
            }
        }
        (entries, unreadable)
    }

    /// As [`Entry::decode_all`], leaving out what says how resources were changed, but for one of these entries: that is
    /// nearly all of a journal, and who only asks what is due needs to know no more than that there is something else.
    pub fn decode_due(bytes: &[u8]) -> Vec<Entry> {
        let mut has_other = false;
        let mut entries = Vec::new();
        for line in lines(bytes) {
            let is_other = OF_RESOURCES.iter().any(|beginning| line.starts_with(beginning));
            if is_other && has_other {
                continue;
            }
            if let Ok(entry) = serde_json::from_slice(line) {
                has_other |= is_other;
                entries.push(entry);
            }
        }
        entries
    }
}

/// How the lines of [`Entry::Keeping`], [`Entry::Applying`] and [`Entry::Finished`] begin.
const OF_RESOURCES: [&[u8]; 3] = [b"{\"entry\":\"keeping\"", b"{\"entry\":\"applying\"", b"{\"entry\":\"finished\""];

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

/// How soon an entry must survive a power cut. Any entry survives the death of the process once it was added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// When [`Journal::append`] returns, and all entries before it as well.
    Now,
    /// Whenever the system gets to it.
    Soon,
}

/// Where entries are kept. Only the holder of the run lock writes to it.
pub trait Journal: Send + Sync {
    /// Adds an entry at the end.
    ///
    /// # Errors
    /// Where it could not be written: then it is not there, or torn.
    fn append(&self, entry: &Entry, durability: Durability) -> Result<()>;

    /// All entries, oldest first. What [`Entry::decode_all`] could not read is left out; a journal that is not there is
    /// empty.
    ///
    /// # Errors
    /// Where it could not be read.
    fn load(&self) -> Result<Vec<Entry>>;

    /// As [`Journal::load`], as far as [`Entry::decode_due`] needs it.
    ///
    /// # Errors
    /// As [`Journal::load`].
    fn load_due(&self) -> Result<Vec<Entry>> {
        self.load()
    }

    /// Puts `entries` in place of all, in one step; durably, where there are any.
    ///
    /// # Errors
    /// Where that failed: then the journal is as it was.
    fn replace(&self, entries: &[Entry]) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_or_unknown_entry_costs_only_itself() {
        let id: ResourceId = "service[web]".parse().unwrap();
        let done = Entry::Done { target: id.clone(), action: "reload".into() };
        let removal = [("running".to_owned(), converge_model::Value::from(false))].into();
        let owned = Owned { position: 1, created: true, sensitive: false, removal };
        let applying = Entry::Applying { id, created: Some(owned), images: Images::default() };
        let mut bytes = done.encode();
        let torn = applying.encode();
        bytes.extend(&torn[..torn.len() - 3]);
        bytes.extend(applying.encode());
        bytes.extend(b"\n{\"entry\":\"of_a_later_version\",\"x\":1}");
        bytes.extend(done.encode());
        assert_eq!(Entry::decode_all(&bytes), (vec![done.clone(), applying.clone(), done.clone()], 2));
        let again = applying.encode();
        assert_eq!(
            Entry::decode_due(&[&bytes[..], &again].concat()),
            vec![done.clone(), applying.clone(), done.clone()]
        );
        assert_eq!(Entry::decode_due(&[&again[..], &done.encode(), &again].concat()), vec![applying, done]);
    }
}
