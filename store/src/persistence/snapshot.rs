//! A copy of the database, made while others write to it; and what such a copy holds.

use std::collections::BTreeMap;
use std::path::Path;

use converge_model::{BlobRef, Digest, Error, ErrorKind, Result};
use converge_protocol::Manifest;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags, Row};

use super::{BUSY, Database, json_column, schema};
use crate::error::StoreResult;

/// What a copy holds.
#[derive(Debug)]
pub(crate) struct Holdings {
    /// The blobs that it needs.
    pub(crate) blobs: Vec<BlobRef>,
    /// The newest revision of each policy.
    pub(crate) policies: BTreeMap<String, u64>,
    /// How many nodes it has.
    pub(crate) nodes: u64,
}

impl Database {
    /// Every blob that a revision needs. Whatever else is in the blobs' directory may go.
    pub(crate) fn needed_blobs(&self) -> StoreResult<BTreeMap<Digest, u64>> {
        self.read_one("list needed blobs", needed)
    }
}

/// Copies the database at `from` to the empty file `to`, as it is at one moment, whoever writes to it meanwhile.
///
/// # Errors
/// Where one of the two cannot be used, or the database is of another version than this software's.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<()> {
    let source = open(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    schema::check_is_newest(&source, from)?;
    let mut target = open(to, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let trouble = |cause: String| Error::new(ErrorKind::Failed, "copy", from.display(), cause);
    let mut copied = || -> rusqlite::Result<StepResult> {
        // All in one step: it reads one moment of the log, and nobody who writes waits for it.
        let step = Backup::new(&source, &mut target)?.step(-1)?;
        // A copy is one file.
        target.pragma_update(None, "journal_mode", "delete")?;
        Ok(step)
    };
    match copied().map_err(|error| trouble(error.to_string()))? {
        StepResult::Done => Ok(()),
        other => Err(trouble(format!("the database is in use ({other:?})")).with_hint("try again")),
    }
}

/// Brings the copy at `path` to this software's version.
///
/// # Errors
/// Where it is damaged, or of a later version.
pub(crate) fn bring_forward(path: &Path) -> Result<()> {
    schema::migrate(&mut open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?, path)
}

/// What the copy at `path` holds.
///
/// # Errors
/// Where it is damaged, or of another version than this software's.
pub(crate) fn holdings(path: &Path) -> Result<Holdings> {
    let db = open(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    schema::check_is_newest(&db, path)?;
    let trouble = |cause: String| Error::new(ErrorKind::Failed, "look into", path.display(), cause);
    let looked = || -> rusqlite::Result<(String, Holdings)> {
        let sound: String = db.pragma_query_value(None, "quick_check", |row| row.get(0))?;
        let row = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?.unsigned_abs()));
        let mut policies = db.prepare("SELECT policy, max(serial) FROM revision GROUP BY policy")?;
        let policies = policies.query_map([], row)?.collect::<rusqlite::Result<_>>()?;
        let nodes: i64 = db.query_row("SELECT count(*) FROM node", [], |row| row.get(0))?;
        let blobs = needed(&db)?.into_iter().map(|(digest, size)| BlobRef { digest, size }).collect();
        Ok((sound, Holdings { blobs, policies, nodes: nodes.unsigned_abs() }))
    };
    let (sound, holdings) = looked().map_err(|error| trouble(error.to_string()))?;
    if sound == "ok" { Ok(holdings) } else { Err(trouble(format!("it is damaged: {sound}"))) }
}

/// The blobs that revisions need, each with its size.
fn needed(db: &Connection) -> rusqlite::Result<BTreeMap<Digest, u64>> {
    let mut needed = BTreeMap::new();
    let mut statement = db.prepare_cached("SELECT manifest FROM signed_manifest")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let manifest: Manifest = json_column(row, 0)?;
        needed.extend(std::iter::once(manifest.graph).chain(manifest.blobs).map(|blob| (blob.digest, blob.size)));
    }
    Ok(needed)
}

fn open(path: &Path, flags: OpenFlags) -> Result<Connection> {
    let trouble = |error: rusqlite::Error| Error::new(ErrorKind::Failed, "open", path.display(), error);
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(trouble)?;
    connection.busy_timeout(BUSY).map_err(trouble)?;
    Ok(connection)
}
