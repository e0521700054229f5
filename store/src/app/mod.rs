//! What the store does, and who may have it done.

mod audit;
pub(crate) mod contacts;
mod enrolment;
mod held;
pub(crate) mod identity;
mod nodes;
mod publishing;
mod replays;
mod reporting;
mod secrets;
pub(crate) mod tokens;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use converge_model::{Clock, Digest, Result, Timestamp};
use converge_protocol::Assignment;

use crate::admission::{Admission, Turn};
use crate::blobs::Blobs;
use crate::error::{StoreError, StoreResult};
use crate::files::{lock, private_directory};
use crate::metrics::Metrics;
use crate::persistence::{Database, KnownNode};
use audit::Allowance;
use contacts::Contacts;
pub(crate) use held::Changed;
use held::Held;
use identity::Node;
use replays::Replays;

/// The part of the time for which a node asks to be held that may be missing at the end, in 256ths: nodes that began to wait
/// together, because something changed for all of them or the store was away, do not come back together for ever.
const SOONER: u32 = 102;

/// The store's parts, and the requests that it holds.
pub(crate) struct App {
    database: Database,
    blobs: Blobs,
    clock: Arc<dyn Clock>,
    held: Arc<Held>,
    contacts: Contacts,
    admission: Admission,
    metrics: Metrics,
    /// What the store is known by; requests of nodes are bound to it.
    identity: String,
    /// Where it is reached, the likeliest address first.
    addresses: Vec<String>,
    replays: Replays,
    denied: Allowance,
    /// When the process started, by the machine's clock and by the one that is never set. Requests of nodes that were made
    /// earlier were seen by nobody who remembers.
    started: (Timestamp, u64),
    /// The data directory is this process's, for as long as it lives.
    _lock: File,
}

impl App {
    /// Opens the data directory of a store that is reached at `addresses`.
    pub(crate) fn open(data: &Path, clock: Arc<dyn Clock>, addresses: Vec<String>) -> Result<Self> {
        private_directory(data)?;
        let lock = lock(&data.join("lock"))?;
        let blobs = Blobs::open(&data.join("blobs"))?;
        let database = Database::open(&data.join("store.db"))?;
        Ok(Self {
            identity: database.store_identity().map_err(StoreError::into_trouble)?,
            started: (clock.now(), clock.monotonic_micros()),
            database,
            blobs,
            clock,
            held: Arc::default(),
            contacts: Contacts::default(),
            admission: Admission::new(),
            metrics: Metrics::new(),
            addresses,
            replays: Replays::default(),
            denied: Allowance::default(),
            _lock: lock,
        })
    }

    /// Answers every held request now: the store is going down.
    pub(crate) fn release_held_requests(&self) {
        self.held.close();
    }

    /// The node as it is now, if it is still who it was.
    fn still(&self, node: &KnownNode) -> StoreResult<KnownNode> {
        let found = self.database.known_node(&node.assignment.name)?;
        let same = found.filter(|found| found.key == node.key && !found.revoked);
        same.ok_or_else(|| StoreError::forbidden("the node was revoked, or has another key since"))
    }

    /// What a node should run, and the tag of that answer. While that is the tag `known`, waits for a change, for at most
    /// `patience`, or somewhat less. Notes that the node was heard of.
    pub(crate) async fn check_in_held(
        self: &Arc<Self>,
        node: Node,
        known: Option<&str>,
        patience: Duration,
    ) -> StoreResult<(Assignment, String)> {
        let first = tagged(&node.0)?;
        self.heard_of(&node.0);
        if patience.is_zero() || Some(first.1.as_str()) != known {
            return Ok(first);
        }
        let deadline = tokio::time::Instant::now() + spread(patience);
        // Looked at again once it has a place: what changed before that would be missed.
        let mut place = self.held.place(&node.0)?;
        let mut turn = self.admission.turn().await?;
        loop {
            let asked = node.clone();
            let look = move |app: &Self| app.still(&asked.0).and_then(|node| Ok((tagged(&node)?, node)));
            let (answer, current) = self.work(turn, look).await?;
            if Some(answer.1.as_str()) != known || self.held.is_closed() {
                return Ok(answer);
            }
            if place.is_for(&current.assignment) {
                let held = self.metrics.holds();
                if !place.should_look_again(deadline).await {
                    return Ok(answer);
                }
                drop(held);
            } else {
                place = self.held.place(&current)?;
            }
            turn = self.admission.next_turn().await?;
        }
    }

    /// Runs `work` where it may block, when it is its turn.
    pub(crate) async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        let turn = self.admission.turn().await?;
        self.work(turn, work).await
    }

    async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        turn: Turn,
        work: impl FnOnce(&Self) -> StoreResult<T> + Send + 'static,
    ) -> StoreResult<T> {
        let app = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&app);
            drop(turn);
            result
        });
        done.await.unwrap_or_else(|error| Err(StoreError::trouble("do", "what was asked", error)))
    }

    /// Where the store is reached, the likeliest address first.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Who is let in.
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
    }

    /// What is kept in the database.
    pub(crate) fn database(&self) -> &Database {
        &self.database
    }

    /// The blobs.
    pub(crate) fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// What is counted.
    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether the store can do its work.
    ///
    /// # Errors
    /// Where it cannot: its database is in trouble, or it is going down.
    pub(crate) fn check_ready(&self) -> StoreResult<()> {
        if self.held.is_closed() {
            return Err(StoreError::not_ready("the store is going down"));
        }
        self.database.check()
    }

    /// All that is counted, as text.
    pub(crate) fn metrics_text(&self) -> StoreResult<String> {
        let figures = self.database.figures(self.now())?;
        let text = self.metrics.text(&figures, self.admission.waiting());
        text.map_err(|error| StoreError::trouble("write", "the metrics", error))
    }

    /// The time, by the store's clock.
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Tells the nodes that wait for it what changed. To be called when it is durable, and not before.
    fn tell_held_requests(&self, changed: Changed<'_>) {
        self.held.tell(changed);
    }
}

/// What a node should run, and the tag of that answer.
fn tagged(node: &KnownNode) -> StoreResult<(Assignment, String)> {
    let document = serde_json::to_vec(&node.assignment);
    let document = document.map_err(|error| StoreError::trouble("write", "an assignment", error))?;
    Ok((node.assignment.clone(), format!("\"{}\"", Digest::of(&document).short())))
}

/// The time for which a request is held whose node has so much patience: by chance up to [`SOONER`] less.
fn spread(patience: Duration) -> Duration {
    let mut random = [0];
    // Without random bytes nodes that came together come back together, and are served as they were before.
    let _ = getrandom::fill(&mut random);
    patience - patience * SOONER * u32::from(random[0]) / (256 * 255)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_began_to_wait_together_do_not_come_back_together() {
        let patience = Duration::from_secs(50);
        let waits: Vec<u64> = (0..2_000).map(|_| spread(patience).as_secs()).collect();
        for second in 30..50 {
            let count = waits.iter().filter(|wait| **wait == second).count();
            assert!((40..=180).contains(&count), "{count} in second {second}");
        }
        assert_eq!(waits.iter().filter(|wait| !(30..=50).contains(*wait)).count(), 0);
    }
}
