//! What the store keeps in its database. One method of [`Database`] is one transaction, named after what happens in the
//! house; nothing outside of this folder knows which database it is.
//!
//! A connection for writing, which many share a commit of; a few for reading, which never wait for it (write-ahead log).

mod audit;
mod figures;
mod keys;
mod node_changes;
mod node_state;
mod nodes;
mod policies;
mod reports;
mod retention;
#[cfg(test)]
mod samples;
mod schema;
mod secrets;
pub(crate) mod snapshot;
mod tokens;
mod writer;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use converge_model::{Digest, Error, ErrorKind, Result};
use rusqlite::{Connection, OpenFlags};

pub(crate) use audit::Deed;
pub(crate) use figures::Figures;
pub(crate) use keys::Candidate;
pub(crate) use nodes::{KnownNode, NodeSelection};
pub(crate) use retention::Keep;
pub(crate) use snapshot::Holdings;
pub(crate) use tokens::{JoinScope, NewJoinToken, NewOperator, id_of, same};

use crate::error::{StoreError, StoreResult};

/// How many connections read at once.
const READERS: usize = 4;
/// How long a connection waits for another process that holds the database.
const BUSY: Duration = Duration::from_secs(10);

/// How many statements a connection keeps prepared: all that it has.
const STATEMENTS: usize = 64;

/// The database.
pub(crate) struct Database {
    writer: writer::Writer,
    readers: Vec<Mutex<Connection>>,
    next: AtomicUsize,
}

impl Database {
    /// Opens the database at `path`, making it where it is not there, and brings its schema up to date.
    ///
    /// # Errors
    /// Where it cannot be opened, or was written by newer software.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let trouble = |error: rusqlite::Error| Error::new(ErrorKind::Failed, "open", path.display(), error);
        let mut writer = Connection::open(path).map_err(trouble)?;
        writer.busy_timeout(BUSY).map_err(trouble)?;
        writer.set_prepared_statement_cache_capacity(STATEMENTS);
        writer.pragma_update(None, "journal_mode", "wal").map_err(trouble)?;
        writer.pragma_update(None, "synchronous", "full").map_err(trouble)?;
        writer.pragma_update(None, "foreign_keys", true).map_err(trouble)?;
        schema::migrate(&mut writer, path)?;
        let reader = || -> rusqlite::Result<Mutex<Connection>> {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(BUSY)?;
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
            Ok(Mutex::new(connection))
        };
        let readers = (0..READERS).map(|_| reader()).collect::<rusqlite::Result<_>>().map_err(trouble)?;
        Ok(Self { writer: writer::Writer::new(writer), readers, next: AtomicUsize::new(0) })
    }

    /// Reads. What `body` sees is one moment of the database.
    fn read<T>(&self, name: &str, body: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> StoreResult<T> {
        self.read_one(name, |connection| {
            if !connection.is_autocommit() {
                // A defect cut off the read before.
                execute(connection, "ROLLBACK")?;
            }
            execute(connection, "BEGIN")?;
            let result = body(connection);
            execute(connection, "ROLLBACK")?;
            result
        })
    }

    /// Reads with a single statement, which sees one moment of the database by itself.
    fn read_one<T>(&self, name: &str, body: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> StoreResult<T> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.readers.len();
        // One that is free, before waiting for one that is not.
        let connection = self.free_reader(first).unwrap_or_else(|| lock(&self.readers[first]));
        body(&connection).map_err(|error| failed(name, &error))
    }

    /// The same, but nothing where it would have to wait for a connection.
    fn read_one_now<T>(
        &self,
        name: &str,
        body: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Option<StoreResult<T>> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.readers.len();
        let connection = self.free_reader(first)?;
        Some(body(&connection).map_err(|error| failed(name, &error)))
    }

    /// A connection that nobody reads with, looked for from the one with this number on.
    fn free_reader(&self, first: usize) -> Option<MutexGuard<'_, Connection>> {
        let (before, from) = self.readers.split_at(first);
        from.iter().chain(before).find_map(|reader| match reader.try_lock() {
            Ok(connection) => Some(connection),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        })
    }

    /// Writes. All of what `body` does is durable when it returned `Ok`, and none of it otherwise.
    fn write<T>(&self, name: &str, body: impl FnOnce(&Connection) -> StoreResult<T>) -> StoreResult<T> {
        self.writer.write(name, body)
    }
}

/// Carries out a statement that gives nothing back.
fn execute(connection: &Connection, sql: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}

/// What a lock poisoned by a panic guards is sound: a transaction that was cut off is rolled back.
fn lock<T>(guarded: &Mutex<T>) -> MutexGuard<'_, T> {
    guarded.lock().unwrap_or_else(PoisonError::into_inner)
}

fn failed(transaction: &str, error: &rusqlite::Error) -> StoreError {
    StoreError::trouble("carry out the transaction", transaction, error)
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        StoreError::trouble("use", "the database", error)
    }
}

/// One row more than a page has: whether there is it says whether there is a next page.
fn one_more_than(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX - 1) + 1
}

/// A digest as a column holds it.
fn digest_column(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<Digest> {
    row.get::<_, [u8; 32]>(index).map(Digest::from_bytes)
}

/// A JSON document as a column holds it.
fn json_column<T: serde::de::DeserializeOwned>(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(index)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(index, rusqlite::types::Type::Text, Box::new(error)))
}

/// A document as a column will hold it.
fn to_json(value: &impl serde::Serialize) -> StoreResult<String> {
    serde_json::to_string(value).map_err(|error| StoreError::trouble("write", "a document", error))
}
