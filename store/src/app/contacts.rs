//! When nodes were last heard of. A check-in that finds nothing new writes nothing and waits for no disk: that it came is kept
//! here for a moment, and written down together with the others of that moment. A store that is killed forgets the last second.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use converge_model::Timestamp;

use super::App;
use crate::error::{StoreError, StoreResult};
use crate::persistence::KnownNode;

/// A contact is written down when the last one is older than this.
const CONTACT_MILLIS: u64 = 60_000;
/// How often contacts are written down.
const EVERY: Duration = Duration::from_secs(1);
/// Nodes of one transaction: others that write do not wait long for it.
const TOGETHER: usize = 1_000;

/// Contacts that are not written down yet, by the number of the node: at most one of each.
#[derive(Default)]
pub(super) struct Contacts(Mutex<HashMap<i64, Timestamp>>);

impl Contacts {
    fn take(&self) -> Vec<(i64, Timestamp)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }
}

impl App {
    /// Notes that a node was heard of, unless that was noted a short while ago.
    pub(super) fn heard_of(&self, node: &KnownNode) {
        let now = self.now();
        // One that lies ahead is of a clock that was set back.
        if node.last_contact.is_none_or(|last| now.millis_since(last) >= CONTACT_MILLIS || now < last) {
            self.contacts.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node.id, now);
        }
    }

    /// Writes down which nodes were heard of.
    ///
    /// # Errors
    /// Where the database does not take it: those nodes are noted again when they come again.
    pub(crate) fn write_contacts(&self) -> StoreResult<()> {
        self.contacts.take().chunks(TOGETHER).try_for_each(|some| self.database.touch_nodes(some))
    }
}

/// Writes down which nodes were heard of, for as long as it is polled.
pub(crate) async fn keep_contacts(app: Arc<App>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let writes = app.clone();
        let written = tokio::task::spawn_blocking(move || writes.write_contacts()).await;
        if let Ok(Err(StoreError::Trouble(error))) = written {
            tracing::error!("{error}; some nodes seem not to have been heard of");
        }
    }
}
