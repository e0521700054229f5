//! The one connection that writes. Whoever finds others waiting for it leaves the commit to the last of them, so that many
//! transactions share one sync to the disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use rusqlite::Connection;

use super::{execute, failed, lock};
use crate::error::{StoreError, StoreResult};

/// How many transactions share a commit at most: none of them waits for more than so many others.
const MOST_IN_A_BATCH: usize = 256;

/// The connection that writes.
pub(super) struct Writer {
    /// How many want the connection and do not have it yet.
    waiting: AtomicUsize,
    /// Whether the last commit failed.
    ill: AtomicBool,
    state: Mutex<State>,
}

struct State {
    connection: Connection,
    /// The batch that is open, if one is.
    batch: Option<Batch>,
}

/// Transactions that are committed together.
struct Batch {
    size: usize,
    fate: Arc<Fate>,
}

/// What became of a batch.
#[derive(Default)]
struct Fate {
    known: Mutex<Option<Result<(), String>>>,
    became_known: Condvar,
}

impl Writer {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            ill: AtomicBool::new(false),
            state: Mutex::new(State { connection, batch: None }),
        }
    }

    /// Whether the last commit failed.
    pub(super) fn is_ill(&self) -> bool {
        self.ill.load(Ordering::Relaxed)
    }

    /// Carries out `body`. All of what it does is durable when `Ok` returns, and none of it otherwise.
    pub(super) fn write<T>(&self, name: &str, body: impl FnOnce(&Connection) -> StoreResult<T>) -> StoreResult<T> {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut state = lock(&self.state);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        let fate = state.join(name)?;
        let result = state.carry_out(name, body);
        // Whoever is counted as waiting gets the connection after this one, and comes by here too: a batch is never left open.
        let is_last = self.waiting.load(Ordering::SeqCst) == 0;
        if is_last || state.batch.as_ref().is_some_and(|batch| batch.size >= MOST_IN_A_BATCH) {
            state.commit();
        }
        drop(state);
        let result = result?;
        let fate = fate.wait();
        self.ill.store(fate.is_err(), Ordering::Relaxed);
        fate.map_err(|cause| StoreError::trouble("carry out the transaction", name, cause))?;
        Ok(result)
    }
}

impl State {
    /// The fate of the open batch, opening one where there is none.
    fn join(&mut self, name: &str) -> StoreResult<Arc<Fate>> {
        if let Some(batch) = &mut self.batch {
            batch.size += 1;
            return Ok(batch.fate.clone());
        }
        execute(&self.connection, "BEGIN IMMEDIATE").map_err(|error| failed(name, &error))?;
        let fate = Arc::new(Fate::default());
        self.batch = Some(Batch { size: 1, fate: fate.clone() });
        Ok(fate)
    }

    /// One transaction of the batch: it leaves nothing behind where it fails, and the others as they were.
    fn carry_out<T>(&mut self, name: &str, body: impl FnOnce(&Connection) -> StoreResult<T>) -> StoreResult<T> {
        let connection = &self.connection;
        let done = execute(connection, "SAVEPOINT one").map_err(|error| failed(name, &error)).and_then(|()| {
            let result = catch_unwind(AssertUnwindSafe(|| body(connection))).unwrap_or_else(|_| {
                Err(StoreError::trouble("carry out the transaction", name, "a defect in the store"))
            });
            let end = if result.is_ok() { "RELEASE one" } else { "ROLLBACK TO one" };
            execute(connection, end).map_err(|error| failed(name, &error)).and(result)
        });
        if connection.is_autocommit() {
            // Of a full disk and its like SQLite undoes the whole batch.
            self.end(Err("another transaction that shared its commit failed, and took it along".to_owned()));
        }
        done
    }

    fn commit(&mut self) {
        if self.batch.is_none() {
            return;
        }
        let committed = execute(&self.connection, "COMMIT").map_err(|error| error.to_string());
        if committed.is_err() && !self.connection.is_autocommit() {
            // What cannot be rolled back either is rolled back when the database is opened again.
            let _ = execute(&self.connection, "ROLLBACK");
        }
        self.end(committed);
    }

    fn end(&mut self, result: Result<(), String>) {
        if let Some(batch) = self.batch.take() {
            *lock(&batch.fate.known) = Some(result);
            batch.fate.became_known.notify_all();
        }
    }
}

impl Fate {
    fn wait(&self) -> Result<(), String> {
        let mut known = lock(&self.known);
        loop {
            if let Some(result) = &*known {
                return result.clone();
            }
            known = self.became_known.wait(known).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(writer: &Writer) -> i64 {
        lock(&writer.state).connection.query_row("SELECT count(*) FROM t", [], |row| row.get(0)).unwrap()
    }

    fn writer(path: &std::path::Path) -> Writer {
        let connection = Connection::open(path).unwrap();
        connection.execute_batch("PRAGMA journal_mode = wal; CREATE TABLE t (n INTEGER PRIMARY KEY)").unwrap();
        Writer::new(connection)
    }

    #[test]
    fn transactions_that_wait_share_a_commit_and_fail_alone() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory.path().join("db"));
        let commits = Arc::new(AtomicUsize::new(0));
        let counted_commits = commits.clone();
        lock(&writer.state)
            .connection
            .commit_hook(Some(move || {
                counted_commits.fetch_add(1, Ordering::Relaxed);
                false
            }))
            .unwrap();
        std::thread::scope(|scope| {
            for n in 0..64_i64 {
                let writer = &writer;
                scope.spawn(move || {
                    let result = writer.write("insert", |db| {
                        db.execute("INSERT INTO t VALUES (?1)", [n])?;
                        // So that the others are there before the first one is done.
                        std::thread::sleep(std::time::Duration::from_millis(2));
                        match n % 8 {
                            0 => Err(StoreError::conflict("no")),
                            1 => panic!("a defect"),
                            _ => Ok(()),
                        }
                    });
                    assert_eq!(result.is_ok(), n % 8 > 1, "{n}");
                });
            }
        });
        assert_eq!(counted(&writer), 48, "what failed left nothing, what did not is there");
        assert!(commits.load(Ordering::Relaxed) < 32, "{} commits of 64", commits.load(Ordering::Relaxed));
    }

    #[test]
    fn a_failed_commit_fails_every_transaction_in_it_and_the_next_one_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(&directory.path().join("db"));
        lock(&writer.state).connection.commit_hook(Some(|| true)).unwrap();
        let failed = std::thread::scope(|scope| {
            let write = |n: i64| {
                let writer = &writer;
                scope.spawn(move || {
                    writer.write("insert", |db| Ok(db.execute("INSERT INTO t VALUES (?1)", [n])?)).is_err()
                })
            };
            (0..8).map(write).collect::<Vec<_>>().into_iter().all(|thread| thread.join().unwrap())
        });
        assert!(failed);
        lock(&writer.state).connection.commit_hook(None::<fn() -> bool>).unwrap();
        writer.write("insert", |db| Ok(db.execute("INSERT INTO t VALUES (1)", [])?)).unwrap();
        assert_eq!(counted(&writer), 1);
    }
}
