//! What operators change of nodes.

use std::collections::BTreeMap;

use converge_model::{BlobRef, Value};
use converge_protocol::{NodeChange, limits};
use rusqlite::{OptionalExtension, params};

use super::{Database, digest_column, json_column, to_json};
use crate::error::{StoreError, StoreResult};

/// Reports that are forgotten in one transaction.
const FORGOTTEN_AT_ONCE: i64 = 1_000;

impl Database {
    /// Changes what is kept of a node. What the change does not name stays as it is, whoever else changes it meanwhile.
    pub(crate) fn change_node(&self, name: &str, change: &NodeChange) -> StoreResult<()> {
        type Attributes = BTreeMap<String, BTreeMap<String, Value>>;
        self.write("change node", |db| {
            let found: Option<(Vec<String>, Attributes)> = db
                .prepare_cached("SELECT tags, attributes FROM node WHERE name = ?1")?
                .query_row([name], |row| Ok((json_column(row, 0)?, json_column(row, 1)?)))
                .optional()?;
            let (mut tags, mut attributes) = found.ok_or_else(|| StoreError::unknown("node", name))?;
            tags.extend(change.add_tags.iter().cloned());
            tags.retain(|tag| !change.remove_tags.contains(tag));
            tags.sort();
            tags.dedup();
            if tags.len() > limits::TAGS {
                return Err(StoreError::invalid(format!("a node may have {} tags", limits::TAGS)));
            }
            for (cookbook, values) in &change.set {
                attributes.entry(cookbook.clone()).or_default().extend(values.clone());
            }
            for (cookbook, names) in &change.unset {
                if let Some(values) = attributes.get_mut(cookbook) {
                    values.retain(|name, _| !names.contains(name));
                }
            }
            attributes.retain(|_, values| !values.is_empty());
            let attributes = to_json(&attributes)?;
            if attributes.len() > limits::ATTRIBUTE_BYTES {
                let most = limits::ATTRIBUTE_BYTES;
                return Err(StoreError::invalid(format!("what is set for a node may have {most} bytes as JSON")));
            }
            db.execute(
                "UPDATE node SET policy = ifnull(?2, policy), node_group = ifnull(?3, node_group), tags = ?4,
                 attributes = ?5, edited = 1 WHERE name = ?1",
                params![name, change.policy, change.group, to_json(&tags)?, attributes],
            )?;
            Ok(())
        })
    }

    /// Forgets some reports of a node. Says whether there may be more.
    pub(crate) fn forget_reports(&self, name: &str) -> StoreResult<bool> {
        self.write("forget reports", |db| {
            let sql = "DELETE FROM report WHERE run IN (SELECT run FROM report WHERE node =
                       (SELECT id FROM node WHERE name = ?1) ORDER BY run LIMIT ?2)";
            Ok(db.prepare_cached(sql)?.execute(params![name, FORGOTTEN_AT_ONCE])? > 0)
        })
    }

    /// Forgets a node, what it reported meanwhile, and which machines wait to take its place: there is none to take.
    pub(crate) fn forget_node(&self, name: &str) -> StoreResult<()> {
        self.write("forget node", |db| {
            db.execute("DELETE FROM waiting WHERE name = ?1", [name])?;
            db.execute("DELETE FROM report WHERE node = (SELECT id FROM node WHERE name = ?1)", [name])?;
            match db.execute("DELETE FROM node WHERE name = ?1", [name])? {
                0 => Err(StoreError::unknown("node", name)),
                _ => Ok(()),
            }
        })
    }

    /// The graph of the revision that is live in a group.
    pub(crate) fn live_graph(&self, policy: &str, group: &str) -> StoreResult<Option<BlobRef>> {
        let sql = "SELECT revision.graph, revision.graph_size FROM live
                   JOIN revision ON revision.policy = live.policy AND revision.serial = live.serial
                   WHERE live.policy = ?1 AND live.node_group = ?2";
        self.read_one("live graph", |db| {
            db.prepare_cached(sql)?
                .query_row([policy, group], |row| {
                    Ok(BlobRef { digest: digest_column(row, 0)?, size: row.get::<_, i64>(1)?.unsigned_abs() })
                })
                .optional()
        })
    }
}
