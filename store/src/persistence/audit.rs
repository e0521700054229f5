//! The audit log: who asked for what, and what came of it. Entries are only ever added.

use converge_model::Timestamp;
use converge_protocol::authority::AuditFilter;
use converge_protocol::{AuditEntry, Page};
use rusqlite::{Connection, Row, params};

use super::tokens::page;
use super::{Database, one_more_than};
use crate::error::StoreResult;

/// What is asked, as it is written down before it is done.
#[derive(Clone, Debug)]
pub(crate) struct Deed {
    pub(crate) who: String,
    pub(crate) peer: String,
    pub(crate) what: String,
    pub(crate) request: String,
}

impl Database {
    /// Writes down what is asked, and gives the entry's number. With an outcome, all of it at once.
    pub(crate) fn add_deed(&self, deed: &Deed, outcome: Option<(u16, &str)>, now: Timestamp) -> StoreResult<i64> {
        self.write("add audit entry", |db| add(db, deed, outcome, now))
    }

    /// Writes down what came of an entry.
    pub(crate) fn add_outcome(&self, id: i64, status: u16, detail: Option<&str>) -> StoreResult<()> {
        self.write("add audit outcome", |db| {
            db.prepare_cached("INSERT INTO audit_outcome VALUES (?1, ?2, ?3)")?.execute(params![id, status, detail])?;
            Ok(())
        })
    }

    /// A page of entries, newest first.
    pub(crate) fn audit(&self, filter: &AuditFilter, limit: usize) -> StoreResult<Page<AuditEntry>> {
        let sql = "SELECT audit.id, at, who, peer, what, request, status, detail
                   FROM audit LEFT JOIN audit_outcome ON audit_outcome.audit = audit.id
                   WHERE audit.id < ?1 AND (?2 IS NULL OR who = ?2) AND (NOT ?3 OR status IN (401, 403))
                   ORDER BY audit.id DESC LIMIT ?4";
        let before = filter.after.and_then(|after| i64::try_from(after).ok()).unwrap_or(i64::MAX);
        let values = params![before, filter.who, filter.denied, one_more_than(limit)];
        let items: Vec<AuditEntry> =
            self.read_one("list audit", |db| db.prepare_cached(sql)?.query_map(values, entry)?.collect())?;
        Ok(page(items, limit, |entry| entry.id.to_string()))
    }
}

/// Writes down what is asked, within a transaction that goes on.
pub(super) fn add(db: &Connection, deed: &Deed, outcome: Option<(u16, &str)>, now: Timestamp) -> StoreResult<i64> {
    db.prepare_cached("INSERT INTO audit (at, who, peer, what, request) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![now.0, deed.who, deed.peer, deed.what, deed.request])?;
    let id = db.last_insert_rowid();
    if let Some((status, detail)) = outcome {
        db.prepare_cached("INSERT INTO audit_outcome VALUES (?1, ?2, ?3)")?.execute(params![id, status, detail])?;
    }
    Ok(id)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        id: row.get::<_, i64>(0)?.unsigned_abs(),
        at: Timestamp(row.get(1)?),
        who: row.get(2)?,
        peer: row.get(3)?,
        what: row.get(4)?,
        request: row.get(5)?,
        status: row.get(6)?,
        detail: row.get(7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_log_cannot_be_changed() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("store.db")).unwrap();
        let deed = Deed { who: "nobody".into(), peer: "x".into(), what: "GET /".into(), request: "1".into() };
        let id = database.add_deed(&deed, None, Timestamp(1)).unwrap();
        database.add_outcome(id, 401, Some("no")).unwrap();
        for sql in [
            "UPDATE audit SET who = 'somebody'",
            "DELETE FROM audit",
            "UPDATE audit_outcome SET status = 200",
            "DELETE FROM audit_outcome",
        ] {
            let result = database.write("forge", |db| Ok(db.execute(sql, [])?));
            assert!(result.is_err(), "{sql}");
        }
        let page = database.audit(&AuditFilter { denied: true, ..AuditFilter::default() }, 10).unwrap();
        assert_eq!((page.items.len(), page.items[0].status), (1, Some(401)));
    }
}
