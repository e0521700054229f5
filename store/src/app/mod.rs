//! What the store does, and who may have it done.

mod nodes;
mod publishing;
mod reporting;
mod tokens;

use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use converge_model::{Clock, Digest, Result, Timestamp};
use converge_protocol::limits::check_name;
use converge_protocol::{Assignment, EnrollRequest, EnrollResponse};

use crate::admission::{Admission, Turn};
use crate::blobs::Blobs;
use crate::error::{StoreError, StoreResult};
use crate::files::{lock, private_directory};
use crate::metrics::Metrics;
use crate::persistence::{Database, KnownNode, NewNode};

pub(crate) use tokens::Token;

/// A contact is written down when the last one is older than this: an unchanged check-in costs no write.
const CONTACT_MILLIS: u64 = 60_000;

/// The store's parts, and the signal that wakes held requests.
pub(crate) struct App {
    database: Database,
    blobs: Blobs,
    clock: Arc<dyn Clock>,
    changed: tokio::sync::watch::Sender<u64>,
    admission: Admission,
    metrics: Metrics,
    /// The data directory is this process's, for as long as it lives.
    _lock: File,
}

impl App {
    /// Opens the data directory.
    pub(crate) fn open(data: &Path, clock: Arc<dyn Clock>) -> Result<Self> {
        private_directory(data)?;
        let lock = lock(&data.join("lock"))?;
        let blobs = Blobs::open(&data.join("blobs"))?;
        let database = Database::open(&data.join("store.db"))?;
        Ok(Self {
            database,
            blobs,
            clock,
            changed: tokio::sync::watch::Sender::new(0),
            admission: Admission::new(),
            metrics: Metrics::new(),
            _lock: lock,
        })
    }

    /// Answers every held request now: the store is going down.
    pub(crate) fn release_held_requests(&self) {
        self.changed.send_modify(|generation| *generation = u64::MAX);
    }

    /// Makes a machine a node, with a token of its own.
    pub(crate) fn enroll(&self, request: &EnrollRequest) -> StoreResult<EnrollResponse> {
        check_name("node", &request.name).map_err(StoreError::invalid)?;
        let token = Token::new()?;
        let join_token = Token::hash_of(&request.token);
        let previous = request.previous.as_deref().map(Token::hash_of);
        let node =
            NewNode { name: &request.name, join_token: &join_token, token: &token.hash(), previous: previous.as_ref() };
        let scope = self.database.enroll(&node, self.clock.now())?;
        tracing::info!(node = request.name, policy = scope.policy, group = scope.group, "node enrolled");
        Ok(EnrollResponse {
            name: request.name.clone(),
            token: token.reveal(),
            policy: scope.policy,
            group: scope.group,
        })
    }

    /// The node that a token belongs to.
    pub(crate) fn node_of(&self, token: &str) -> StoreResult<KnownNode> {
        let node = self.database.node_by_token(&Token::hash_of(token))?;
        node.ok_or_else(|| StoreError::unauthorized("no node has this token; enrol again with `converge enroll`"))
    }

    /// What a node should run, and the tag of that answer. Notes that it was heard of.
    pub(crate) fn check_in(&self, token: &str) -> StoreResult<(Assignment, String)> {
        let node = self.node_of(token)?;
        let now = self.clock.now();
        if node.last_contact.is_none_or(|last| now.millis_since(last) >= CONTACT_MILLIS || now < last) {
            self.database.touch_node(node.id, now)?;
        }
        let document = serde_json::to_vec(&node.assignment);
        let document = document.map_err(|error| StoreError::trouble("write", "an assignment", error))?;
        Ok((node.assignment, format!("\"{}\"", Digest::of(&document).short())))
    }

    /// As [`App::check_in`], but while the answer is the one tagged `known`, waits for a change, for at most `patience`.
    pub(crate) async fn check_in_held(
        self: &Arc<Self>,
        token: &str,
        known: Option<&str>,
        patience: Duration,
    ) -> StoreResult<(Assignment, String)> {
        let mut changed = self.changed.subscribe();
        let deadline = tokio::time::Instant::now() + patience;
        let mut turn = self.admission.turn().await?;
        loop {
            let generation = *changed.borrow_and_update();
            let token = token.to_owned();
            let answer = self.work(turn, move |app| app.check_in(&token)).await?;
            if Some(answer.1.as_str()) != known || generation == u64::MAX || patience.is_zero() {
                return Ok(answer);
            }
            let held = self.metrics.holds();
            if !matches!(tokio::time::timeout_at(deadline, changed.changed()).await, Ok(Ok(()))) {
                return Ok(answer);
            }
            drop(held);
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

    /// Who is let in.
    pub(crate) fn admission(&self) -> &Admission {
        &self.admission
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
        if *self.changed.borrow() == u64::MAX {
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

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn wake_held_requests(&self) {
        self.changed.send_modify(|generation| *generation = generation.wrapping_add(1) % u64::MAX);
    }
}
