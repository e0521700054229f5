//! How much the store does at once. What is more waits a little, and what is still more is told to come back later: a store
//! under a herd stays as quick as it is, for those it serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{StoreError, StoreResult};

/// Requests that are worked on at once. Each takes a thread; those that write share their commits.
const AT_WORK: usize = 128;
/// Requests that wait for their turn at once.
const WAITING: usize = 4_096;
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of bodies in memory at once, in units of [`UNIT`].
const BODIES: usize = (256 << 20) / UNIT;
/// The unit in which memory for bodies is counted.
const UNIT: usize = 1 << 10;

/// Who is let in.
pub(crate) struct Admission {
    work: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    waiting: AtomicUsize,
}

/// A turn, until it is dropped.
pub(crate) struct Turn(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Admission {
    pub(crate) fn new() -> Self {
        Self {
            work: Arc::new(Semaphore::new(AT_WORK)),
            memory: Arc::new(Semaphore::new(BODIES)),
            waiting: AtomicUsize::new(0),
        }
    }

    /// A turn to work, for a request that comes.
    ///
    /// # Errors
    /// Where too many wait, or it waited too long: it should come back later.
    pub(crate) async fn turn(&self) -> StoreResult<Turn> {
        if let Ok(turn) = self.work.clone().try_acquire_owned() {
            return Ok(Turn(turn));
        }
        let others = Waiting::new(&self.waiting);
        if others.before >= WAITING {
            return Err(StoreError::busy());
        }
        let turn = tokio::time::timeout(PATIENCE, self.work.clone().acquire_owned()).await;
        turn.ok().and_then(Result::ok).map(Turn).ok_or_else(StoreError::busy)
    }

    /// A turn to go on, for a request that was held: it was let in when it came, and waits for as long as it takes.
    pub(crate) async fn next_turn(&self) -> StoreResult<Turn> {
        self.work.clone().acquire_owned().await.map(Turn).map_err(|_| StoreError::busy())
    }

    /// Memory for a part of a body.
    ///
    /// # Errors
    /// Where there is none for too long.
    pub(crate) async fn memory_for(&self, bytes: usize) -> StoreResult<Turn> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let memory = tokio::time::timeout(PATIENCE, self.memory.clone().acquire_many_owned(units)).await;
        memory.ok().and_then(Result::ok).map(Turn).ok_or_else(StoreError::busy)
    }

    /// How many wait for their turn.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }
}

/// One that waits, until it is dropped.
struct Waiting<'a> {
    counter: &'a AtomicUsize,
    before: usize,
}

impl<'a> Waiting<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        Self { counter, before: counter.fetch_add(1, Ordering::Relaxed) }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.counter.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn too_many_are_told_to_come_back_and_held_ones_go_on() {
        let admission = Arc::new(Admission::new());
        let mut turns = Vec::new();
        for _ in 0..AT_WORK {
            turns.push(admission.turn().await.ok().unwrap());
        }
        let held = admission.clone();
        let held = tokio::spawn(async move { held.next_turn().await.is_ok() });
        let StoreError::Refused(problem) = admission.turn().await.err().unwrap() else { panic!("not refused") };
        assert_eq!(problem.status, 503);
        assert!(problem.retry_after.is_some_and(|seconds| (1..60).contains(&seconds)), "{problem:?}");
        turns.clear();
        assert!(held.await.unwrap());
        assert!(admission.turn().await.is_ok());
    }
}
