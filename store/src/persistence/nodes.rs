//! Nodes.

use std::collections::BTreeMap;

use converge_model::{RunId, Timestamp, Value};
use converge_protocol::node::AssignedRevision;
use converge_protocol::{Assignment, NodeView, Page, Scope};
use converge_trust::node_key::NodePublicKey;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::reports::{SUMMARY_COLUMNS, summary};
use super::{Database, digest_column, json_column, one_more_than, to_json};
use crate::error::StoreResult;

/// Who asks: a node, found by its name.
#[derive(Clone, Debug)]
pub(crate) struct KnownNode {
    pub(crate) id: i64,
    pub(crate) key: NodePublicKey,
    pub(crate) revoked: bool,
    pub(crate) last_contact: Option<Timestamp>,
    pub(crate) assignment: Assignment,
}

/// Which nodes a page has.
pub(crate) struct NodeSelection<'a> {
    /// Where the operator who asks may look.
    pub(crate) scope: &'a Scope,
    pub(crate) policy: Option<&'a str>,
    pub(crate) group: Option<&'a str>,
    pub(crate) tag: Option<&'a str>,
    /// Whether the facts are wanted, which are most of what is kept of a node.
    pub(crate) with_facts: bool,
    /// The name after which it begins.
    pub(crate) after: String,
}

impl Database {
    /// The node of this name, with what it should run: one indexed read.
    pub(crate) fn known_node(&self, name: &str) -> StoreResult<Option<KnownNode>> {
        self.read_one("known node", |db| known_node(db, name))
    }

    /// The same, but nothing where it would have to wait for others who read.
    pub(crate) fn known_node_now(&self, name: &str) -> Option<StoreResult<Option<KnownNode>>> {
        self.read_one_now("known node", |db| known_node(db, name))
    }

    /// Notes when nodes were heard of.
    pub(crate) fn touch_nodes(&self, heard: &[(i64, Timestamp)]) -> StoreResult<()> {
        self.write("touch nodes", |db| {
            let mut statement = db.prepare_cached("UPDATE node SET last_contact = ?2 WHERE id = ?1")?;
            heard.iter().try_for_each(|(id, at)| statement.execute(params![id, at.0]).map(drop))?;
            Ok(())
        })
    }

    /// Keeps a node's facts.
    pub(crate) fn set_facts(&self, id: i64, facts: &Value) -> StoreResult<()> {
        let facts = to_json(facts)?;
        self.write("set facts", |db| {
            db.execute("UPDATE node SET facts = ?2 WHERE id = ?1", params![id, facts])?;
            Ok(())
        })
    }

    /// A page of nodes by name.
    pub(crate) fn nodes(&self, selection: &NodeSelection<'_>, limit: usize) -> StoreResult<Page<NodeView>> {
        let NodeSelection { scope, policy, group, tag, with_facts, after } = selection;
        let (policies, groups) = scope_columns(scope)?;
        let facts = if *with_facts { "node.facts" } else { "NULL" };
        let sql = format!(
            "{} WHERE node.name > ?1 AND (?3 IS NULL OR node.policy = ?3) AND (?4 IS NULL OR node.node_group = ?4)
               AND (?5 IS NULL OR EXISTS (SELECT 1 FROM json_each(node.tags) WHERE value = ?5))
               AND (?6 IS NULL OR node.policy IN (SELECT value FROM json_each(?6)))
               AND (?7 IS NULL OR node.node_group IN (SELECT value FROM json_each(?7)))
             ORDER BY node.name LIMIT ?2",
            view_sql(facts)
        );
        let mut items: Vec<NodeView> = self.read("list nodes", |db| {
            let mut statement = db.prepare_cached(&sql)?;
            let values = params![after, one_more_than(limit), policy, group, tag, policies, groups];
            statement.query_map(values, view)?.collect()
        })?;
        let next = (items.len() > limit).then(|| {
            items.truncate(limit);
            items.last().map(|node| node.name.clone())
        });
        Ok(Page { items, next: next.flatten() })
    }

    /// One node, with its facts.
    pub(crate) fn node(&self, name: &str) -> StoreResult<Option<NodeView>> {
        let sql = format!("{} WHERE node.name = ?1", view_sql("node.facts"));
        self.read("show node", |db| db.prepare_cached(&sql)?.query_row([name], view).optional())
    }
}

fn known_node(db: &Connection, name: &str) -> rusqlite::Result<Option<KnownNode>> {
    const SQL: &str = "SELECT node.id, node.last_contact, node.name, node.policy, node.node_group, node.tags,
               node.attributes, revision.serial, revision.manifest_digest, revision.signatures, node.key,
               node.revoked IS NOT NULL
        FROM node
        LEFT JOIN live ON live.policy = node.policy AND live.node_group = node.node_group
        LEFT JOIN revision ON revision.policy = live.policy AND revision.serial = live.serial
        WHERE node.name = ?1";
    db.prepare_cached(SQL)?
        .query_row([name], |row| {
            Ok(KnownNode {
                id: row.get(0)?,
                key: NodePublicKey::from_bytes(row.get(10)?),
                revoked: row.get(11)?,
                last_contact: row.get::<_, Option<i64>>(1)?.map(Timestamp),
                assignment: Assignment {
                    name: row.get(2)?,
                    policy: row.get(3)?,
                    group: row.get(4)?,
                    tags: json_column(row, 5)?,
                    attributes: json_column(row, 6)?,
                    revision: assigned_revision(row)?,
                },
            })
        })
        .optional()
}

fn assigned_revision(row: &Row<'_>) -> rusqlite::Result<Option<AssignedRevision>> {
    let Some(serial) = row.get::<_, Option<i64>>(7)? else { return Ok(None) };
    let signatures = row.get::<_, i64>(9)?.unsigned_abs();
    Ok(Some(AssignedRevision { serial: serial.unsigned_abs(), manifest: digest_column(row, 8)?, signatures }))
}

/// Columns 0 to 12 are the node's, 13 the wanted serial, from 14 the last run's summary, and 21 says whether it was revoked.
fn view_sql(facts: &str) -> String {
    format!(
        "SELECT node.name, node.policy, node.node_group, node.tags, node.attributes, node.enrolled, node.last_contact,
                {facts}, node.outcome, node.outcome_since, node.whole_revision, node.drift, node.pending,
                live.serial, {SUMMARY_COLUMNS}, node.revoked
         FROM node
         LEFT JOIN live ON live.policy = node.policy AND live.node_group = node.node_group
         LEFT JOIN report ON report.run = node.last_run"
    )
}

fn view(row: &Row<'_>) -> rusqlite::Result<NodeView> {
    let name: String = row.get(0)?;
    let ran = row.get::<_, Option<[u8; 16]>>(14)?.is_some();
    let last_run = if ran { Some(summary(row, 14, name.clone())?) } else { None };
    let serial = |index: usize| row.get::<_, Option<i64>>(index).map(|serial| serial.map(i64::unsigned_abs));
    let moment = |index: usize| row.get::<_, Option<i64>>(index).map(|moment| moment.map(Timestamp));
    Ok(NodeView {
        name,
        policy: row.get(1)?,
        group: row.get(2)?,
        tags: json_column(row, 3)?,
        attributes: json_column(row, 4)?,
        enrolled: Timestamp(row.get(5)?),
        last_contact: moment(6)?,
        conditions: Vec::new(),
        facts: if row.get_ref(7)? == rusqlite::types::ValueRef::Null { None } else { Some(json_column(row, 7)?) },
        outcome: row.get(8)?,
        outcome_since: moment(9)?,
        run_revision: serial(10)?,
        drift: row.get::<_, i64>(11)?.unsigned_abs(),
        pending: row.get::<_, i64>(12)?.unsigned_abs(),
        wanted_revision: serial(13)?,
        revoked: moment(21)?,
        counts: last_run.as_ref().map_or_else(BTreeMap::new, |run| run.counts.clone()),
        last_run,
    })
}

/// A scope's policies and groups as statements take them: nothing where it has all.
pub(super) fn scope_columns(scope: &Scope) -> StoreResult<(Option<String>, Option<String>)> {
    let column = |names: &[String]| if names.is_empty() { Ok(None) } else { to_json(&names).map(Some) };
    Ok((column(&scope.policies)?, column(&scope.groups)?))
}

/// The run that a column names.
pub(super) fn run_column(row: &Row<'_>, index: usize) -> rusqlite::Result<RunId> {
    row.get::<_, [u8; 16]>(index).map(RunId::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::super::{lock, samples};
    use super::*;

    #[test]
    fn a_node_is_looked_up_at_once_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let database = Database::open(&directory.path().join("store.db")).unwrap();
        // A key has 32 bytes.
        let key = "UPDATE node SET key = zeroblob(32)";
        samples::nodes(&database, 1);
        database.write("give a key", |db| Ok(db.execute(key, [])?)).unwrap();
        let found = || database.known_node_now("node-0").map(|found| found.unwrap().map(|node| node.assignment.name));
        let (last, others) = database.readers.split_last().unwrap();
        let held: Vec<_> = others.iter().map(lock).collect();
        assert_eq!(found(), Some(Some("node-0".to_owned())), "one is free");
        let all = lock(last);
        assert_eq!(found(), None);
        drop((held, all));
        assert_eq!(found(), Some(Some("node-0".to_owned())));
    }
}
