//! Policies: revisions, and where they are live.

use std::collections::BTreeMap;

use converge_model::{Digest, Timestamp};
use converge_protocol::{Manifest, Page, PolicyView, RevisionView, SignedManifest, WasLive, limits};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::tokens::page;
use super::{Database, json_column, one_more_than, to_json};
use crate::error::{StoreError, StoreResult};

impl Database {
    /// Publishes a revision under the serial that its manifest has, which must be higher than all before. The first of a policy
    /// may have any: the nodes of a store that was lost ran others before.
    pub(crate) fn publish(
        &self,
        manifest: &Manifest,
        signed: &SignedManifest,
        by: &str,
        now: Timestamp,
    ) -> StoreResult<RevisionView> {
        self.write("publish revision", |db| {
            let sql = "SELECT max(serial) FROM revision WHERE policy = ?1";
            let newest: Option<i64> = db.prepare_cached(sql)?.query_row([&manifest.policy], |row| row.get(0))?;
            if let Some(newest) = newest.map(i64::unsigned_abs)
                && !(newest + 1..=newest + limits::SERIAL_STEP).contains(&manifest.serial)
            {
                return Err(StoreError::conflict(format!(
                    "the newest revision of policy {} is {newest}: the next one is {}, or higher by up to {}, and not {}",
                    manifest.policy,
                    newest + 1,
                    limits::SERIAL_STEP,
                    manifest.serial
                )));
            }
            db.execute(
                "INSERT INTO revision (policy, serial, graph, graph_size, published, manifest_digest, signatures, published_by)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                params![
                    manifest.policy,
                    manifest.serial.cast_signed(),
                    manifest.graph.digest.as_bytes(),
                    manifest.graph.size.cast_signed(),
                    now.0,
                    Digest::of(signed.manifest.as_bytes()).as_bytes(),
                    signed.signatures.len() as i64,
                    by,
                ],
            )?;
            db.execute(
                "INSERT INTO signed_manifest VALUES (?1, ?2, ?3, ?4)",
                params![manifest.policy, manifest.serial.cast_signed(), signed.manifest, to_json(&signed.signatures)?],
            )?;
            Ok(RevisionView {
                policy: manifest.policy.clone(),
                serial: manifest.serial,
                published: now,
                by: Some(by.to_owned()),
                manifest: manifest.clone(),
                signatures: signed.signatures.len() as u64,
                live_in: Vec::new(),
            })
        })
    }

    /// A revision as it was signed.
    pub(crate) fn signed_manifest(&self, policy: &str, serial: u64) -> StoreResult<Option<SignedManifest>> {
        self.read_one("show signed manifest", |db| signed_manifest(db, policy, serial))
    }

    /// Puts what `add` makes of a revision's signatures in their place. Gives the number of them.
    pub(crate) fn sign(
        &self,
        policy: &str,
        serial: u64,
        add: impl FnOnce(&SignedManifest) -> StoreResult<Vec<String>>,
    ) -> StoreResult<usize> {
        self.write("sign revision", |db| {
            let signed = signed_manifest(db, policy, serial)?;
            let signed =
                signed.ok_or_else(|| StoreError::unknown("revision", format_args!("{serial} of policy {policy}")))?;
            let signatures = add(&signed)?;
            let serial = serial.cast_signed();
            let sql = "UPDATE signed_manifest SET signatures = ?3 WHERE policy = ?1 AND serial = ?2";
            db.execute(sql, params![policy, serial, to_json(&signatures)?])?;
            let sql = "UPDATE revision SET signatures = ?3, manifest_digest = ?4 WHERE policy = ?1 AND serial = ?2";
            let digest = Digest::of(signed.manifest.as_bytes());
            db.execute(sql, params![policy, serial, signatures.len() as i64, digest.as_bytes()])?;
            Ok(signatures.len())
        })
    }

    /// Makes a revision live in a group.
    pub(crate) fn assign(&self, policy: &str, group: &str, serial: u64, by: &str, now: Timestamp) -> StoreResult<()> {
        self.write("assign revision", |db| {
            let sql = "SELECT manifest FROM signed_manifest WHERE policy = ?1 AND serial = ?2";
            let row = |row: &Row<'_>| json_column::<Manifest>(row, 0);
            let manifest = db.query_row(sql, params![policy, serial.cast_signed()], row).optional()?;
            let manifest =
                manifest.ok_or_else(|| StoreError::unknown("revision", format_args!("{serial} of policy {policy}")))?;
            if !manifest.is_for(group) {
                return Err(StoreError::conflict(format!(
                    "revision {serial} of policy {policy} was signed for {} only, and nodes of group {group} refuse it; publish it \
                     for that group too",
                    manifest.groups.join(", ")
                )));
            }
            // Nodes that ran the later one would refuse the earlier.
            let sql = "SELECT serial FROM live WHERE policy = ?1 AND node_group = ?2";
            let live: Option<i64> = db.query_row(sql, [policy, group], |row| row.get(0)).optional()?;
            if live == Some(serial.cast_signed()) {
                return Ok(());
            }
            if let Some(live) = live.map(i64::unsigned_abs).filter(|live| *live > serial) {
                return Err(StoreError::conflict(format!(
                    "revision {live} is live in group {group}, and nodes that ran it refuse the earlier {serial}; publish what \
                     {serial} holds as a new revision: `converge rollback`"
                )));
            }
            let sql = "INSERT INTO live VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT (policy, node_group) DO UPDATE SET serial = excluded.serial, since = excluded.since";
            db.execute(sql, params![policy, group, serial.cast_signed(), now.0])?;
            let sql = "INSERT INTO was_live (policy, node_group, serial, since, made_by) VALUES (?1, ?2, ?3, ?4, ?5)";
            db.execute(sql, params![policy, group, serial.cast_signed(), now.0, by])?;
            Ok(())
        })
    }

    /// A page of what was live in a group, newest first, those before the entry `before`.
    pub(crate) fn was_live(
        &self,
        policy: &str,
        group: &str,
        before: Option<u64>,
        limit: usize,
    ) -> StoreResult<Page<WasLive>> {
        let sql = "SELECT id, serial, since, made_by FROM was_live
                   WHERE policy = ?1 AND node_group = ?2 AND id < ?3 ORDER BY id DESC LIMIT ?4";
        let before = before.and_then(|before| i64::try_from(before).ok()).unwrap_or(i64::MAX);
        let row = |row: &Row<'_>| {
            let serial = row.get::<_, i64>(1)?.unsigned_abs();
            Ok((row.get::<_, i64>(0)?, WasLive { serial, since: Timestamp(row.get(2)?), by: row.get(3)? }))
        };
        let values = params![policy, group, before, one_more_than(limit)];
        let items: Vec<(i64, WasLive)> =
            self.read_one("list what was live", |db| db.prepare_cached(sql)?.query_map(values, row)?.collect())?;
        let Page { items, next } = page(items, limit, |(id, _)| id.to_string());
        Ok(Page { items: items.into_iter().map(|(_, entry)| entry).collect(), next })
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

fn signed_manifest(db: &Connection, policy: &str, serial: u64) -> rusqlite::Result<Option<SignedManifest>> {
    let sql = "SELECT manifest, signatures FROM signed_manifest WHERE policy = ?1 AND serial = ?2";
    let row = |row: &Row<'_>| Ok(SignedManifest { manifest: row.get(0)?, signatures: json_column(row, 1)? });
    db.prepare_cached(sql)?.query_row(params![policy, serial.cast_signed()], row).optional()
}

fn revisions(db: &Connection, policy: &str, before: u64, limit: i64) -> rusqlite::Result<Vec<RevisionView>> {
    let live = groups(db, policy)?;
    let sql = "SELECT revision.serial, published, manifest, revision.signatures, published_by FROM revision
         JOIN signed_manifest USING (policy, serial)
         WHERE revision.policy = ?1 AND revision.serial < ?2 ORDER BY revision.serial DESC LIMIT ?3";
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
            signatures: row.get::<_, i64>(3)?.unsigned_abs(),
            by: row.get(4)?,
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
