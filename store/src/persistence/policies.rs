//! Policies: revisions, and where they are live.

use std::collections::BTreeMap;

use converge_model::Timestamp;
use converge_protocol::{Manifest, Page, PolicyView, RevisionView};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Database, json_column, one_more_than, to_json};
use crate::error::{StoreError, StoreResult};

/// What came of publishing.
pub(crate) struct Published {
    pub(crate) revision: RevisionView,
    /// Whether it is a new one; an equal newest one is not published twice.
    pub(crate) new: bool,
}

impl Database {
    /// Publishes a revision under the next serial, unless the newest one has the same graph and blobs.
    pub(crate) fn publish(&self, manifest: &Manifest, now: Timestamp) -> StoreResult<Published> {
        self.write("publish revision", |db| {
            let newest = revisions(db, &manifest.policy, u64::MAX, 1)?.pop();
            let serial = match newest {
                Some(newest) if newest.manifest.graph == manifest.graph && newest.manifest.blobs == manifest.blobs => {
                    return Ok(Published { revision: newest, new: false });
                }
                Some(newest) => newest.serial + 1,
                None => 1,
            };
            db.execute(
                "INSERT INTO revision (policy, serial, graph, graph_size, manifest, published) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    manifest.policy,
                    serial.cast_signed(),
                    manifest.graph.digest.as_bytes(),
                    manifest.graph.size.cast_signed(),
                    to_json(manifest)?,
                    now.0
                ],
            )?;
            let revision = RevisionView {
                policy: manifest.policy.clone(),
                serial,
                published: now,
                manifest: manifest.clone(),
                live_in: Vec::new(),
            };
            Ok(Published { revision, new: true })
        })
    }

    /// Makes a revision live in a group.
    pub(crate) fn assign(&self, policy: &str, group: &str, serial: u64, now: Timestamp) -> StoreResult<()> {
        self.write("assign revision", |db| {
            let sql = "SELECT EXISTS (SELECT 1 FROM revision WHERE policy = ?1 AND serial = ?2)";
            let known: bool = db.query_row(sql, params![policy, serial.cast_signed()], |row| row.get(0))?;
            if !known {
                return Err(StoreError::unknown("revision", format_args!("{serial} of policy {policy}")));
            }
            let sql = "INSERT INTO live VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT (policy, node_group) DO UPDATE SET serial = excluded.serial, since = excluded.since";
            db.execute(sql, params![policy, group, serial.cast_signed(), now.0])?;
            Ok(())
        })
    }

    /// A page of policies by name, those after `after`.
    pub(crate) fn policies(&self, after: &str, limit: usize) -> StoreResult<Page<PolicyView>> {
        let mut items: Vec<PolicyView> = self.read("list policies", |db| {
            let sql =
                "SELECT policy, max(serial) FROM revision WHERE policy > ?1 GROUP BY policy ORDER BY policy LIMIT ?2";
            let mut statement = db.prepare_cached(sql)?;
            let row = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?));
            let rows = statement.query_map(params![after, one_more_than(limit)], row)?;
            rows.map(|row| {
                let (name, newest) = row?;
                let groups = groups(db, &name)?;
                Ok(PolicyView { name, newest: newest.unsigned_abs(), groups })
            })
            .collect()
        })?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(|policy| policy.name.clone()) } else { None };
        Ok(Page { items, next })
    }

    /// A page of a policy's revisions, newest first, those before the serial `before`.
    pub(crate) fn revisions(&self, policy: &str, before: u64, limit: usize) -> StoreResult<Page<RevisionView>> {
        let mut items = self.read("list revisions", |db| revisions(db, policy, before, one_more_than(limit)))?;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(|revision| revision.serial.to_string()) } else { None };
        Ok(Page { items, next })
    }

    /// One revision of a policy.
    pub(crate) fn revision(&self, policy: &str, serial: u64) -> StoreResult<Option<RevisionView>> {
        self.read("show revision", |db| {
            let newest = revisions(db, policy, serial.saturating_add(1), 1)?.pop();
            Ok(newest.filter(|revision| revision.serial == serial))
        })
    }
}

fn groups(db: &Connection, policy: &str) -> rusqlite::Result<BTreeMap<String, u64>> {
    let mut statement = db.prepare_cached("SELECT node_group, serial FROM live WHERE policy = ?1")?;
    let row = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()));
    statement.query_map([policy], row)?.collect()
}

fn revisions(db: &Connection, policy: &str, before: u64, limit: i64) -> rusqlite::Result<Vec<RevisionView>> {
    let live = groups(db, policy)?;
    let sql = "SELECT serial, published, manifest FROM revision WHERE policy = ?1 AND serial < ?2 ORDER BY serial DESC LIMIT ?3";
    let mut statement = db.prepare_cached(sql)?;
    let before = i64::try_from(before).unwrap_or(i64::MAX);
    let row = |row: &Row<'_>| {
        let serial = row.get::<_, i64>(0)?.unsigned_abs();
        let live_in = live.iter().filter(|(_, live)| **live == serial).map(|(group, _)| group.clone()).collect();
        Ok(RevisionView {
            policy: policy.to_owned(),
            serial,
            published: Timestamp(row.get(1)?),
            manifest: json_column(row, 2)?,
            live_in,
        })
    };
    statement.query_map(params![policy, before, limit], row)?.collect()
}

impl Database {
    /// Whether a policy has any revision.
    pub(crate) fn has_policy(&self, policy: &str) -> StoreResult<bool> {
        self.read("has policy", |db| {
            let sql = "SELECT 1 FROM revision WHERE policy = ?1 LIMIT 1";
            Ok(db.prepare_cached(sql)?.query_row([policy], |_| Ok(())).optional()?.is_some())
        })
    }
}
