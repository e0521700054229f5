//! Rules of secrets: what was signed, keys for who may read it, and who has read it. All of it is encrypted or public.

use converge_model::Timestamp;
use converge_protocol::limits;
use converge_protocol::secrets::{NodeRule, RecipientNotice, RuleChange, RuleKey, RuleNode, RuleView, SecretsDocument};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Database, json_column, to_json};
use crate::error::{StoreError, StoreResult};

/// A rule as it is found.
pub(crate) struct KeptRule {
    pub(crate) policy: String,
    pub(crate) group: Option<String>,
    pub(crate) view: RuleView,
    /// The group of each node of the view.
    pub(crate) groups: Vec<String>,
}

/// Whether a node is meant by the rule of a row: the same condition everywhere.
const MEANS: &str = "node.policy = secret_rule.policy
    AND (secret_rule.node_group IS NULL OR secret_rule.node_group = node.node_group)
    AND (secret_rule.tag IS NULL OR EXISTS (SELECT 1 FROM json_each(node.tags) WHERE value = secret_rule.tag))
    AND node.revoked IS NULL";

impl Database {
    /// Every rule with the nodes that it means, by name.
    pub(crate) fn secret_rules(&self, name: Option<&str>) -> StoreResult<Vec<KeptRule>> {
        let nodes = format!(
            "SELECT node.name, node_recipient.recipient, node_recipient.voucher, secret_key.holder IS NOT NULL,
                    secret_reader.node IS NOT NULL, node.node_group
             FROM secret_rule JOIN node ON {MEANS}
             LEFT JOIN node_recipient ON node_recipient.node = node.id
             LEFT JOIN secret_key ON secret_key.rule = secret_rule.name AND secret_key.holder = node_recipient.recipient
             LEFT JOIN secret_reader ON secret_reader.rule = secret_rule.name AND secret_reader.node = node.name
                  AND secret_reader.recipient = node_recipient.recipient
             WHERE secret_rule.name = ?1 ORDER BY node.name"
        );
        let left = format!(
            "SELECT DISTINCT reader.node FROM secret_reader AS reader JOIN secret_rule ON secret_rule.name = reader.rule
             WHERE reader.rule = ?1 AND NOT EXISTS (
                 SELECT 1 FROM node JOIN node_recipient ON node_recipient.node = node.id
                 WHERE node.name = reader.node AND node_recipient.recipient = reader.recipient AND {MEANS})
             ORDER BY reader.node"
        );
        let sql = "SELECT name, policy, node_group, signed, changed, changed_by FROM secret_rule
                   WHERE ?1 IS NULL OR name = ?1 ORDER BY name";
        self.read("list rules of secrets", |db| {
            let row = |row: &Row<'_>| {
                let view = RuleView {
                    signed: json_column(row, 3)?,
                    changed: Timestamp(row.get(4)?),
                    changed_by: row.get(5)?,
                    nodes: Vec::new(),
                    left: Vec::new(),
                };
                Ok((
                    row.get::<_, String>(0)?,
                    KeptRule { policy: row.get(1)?, group: row.get(2)?, view, groups: Vec::new() },
                ))
            };
            let found: Vec<(String, KeptRule)> =
                db.prepare_cached(sql)?.query_map([name], row)?.collect::<rusqlite::Result<_>>()?;
            let (mut nodes, mut left) = (db.prepare_cached(&nodes)?, db.prepare_cached(&left)?);
            let mut rules = Vec::with_capacity(found.len());
            for (name, mut rule) in found {
                let found = nodes.query_map([&name], |row| Ok((rule_node(row)?, row.get::<_, String>(5)?)))?;
                (rule.view.nodes, rule.groups) = found.collect::<rusqlite::Result<_>>()?;
                rule.view.left = left.query_map([&name], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
                rules.push(rule);
            }
            Ok(rules)
        })
    }

    /// Keeps a rule's document, and keys with it. With another epoch, the keys and readers until then go.
    pub(crate) fn set_secret_rule(
        &self,
        document: &SecretsDocument,
        RuleChange { after, signed, keys }: &RuleChange,
        by: &str,
        now: Timestamp,
    ) -> StoreResult<()> {
        let text = to_json(signed)?;
        self.write("set rule of secrets", |db| {
            let name = document.rule.as_str();
            let before = standing(db, name)?;
            check_follows(document, *after, before.as_ref())?;
            let rules: i64 = db.query_row("SELECT count(*) FROM secret_rule", [], |row| row.get(0))?;
            if before.is_none() && rules >= limits::RULES as i64 {
                return Err(StoreError::conflict(format!("a store keeps {} rules at most", limits::RULES)));
            }
            let (serial, epoch) = (document.serial as i64, document.epoch as i64);
            db.execute(
                "INSERT INTO secret_rule VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
                 ON CONFLICT (name) DO UPDATE SET serial = excluded.serial, epoch = excluded.epoch, signed = excluded.signed,
                 changed = excluded.changed, changed_by = excluded.changed_by",
                params![
                    name,
                    document.nodes.policy,
                    document.nodes.group,
                    document.nodes.tag,
                    serial,
                    epoch,
                    text,
                    now.0,
                    by
                ],
            )?;
            if before.is_some_and(|(_, before, _)| before != document.epoch) {
                db.execute("DELETE FROM secret_key WHERE rule = ?1", [name])?;
                db.execute("DELETE FROM secret_reader WHERE rule = ?1", [name])?;
            }
            add_keys(db, name, keys)
        })
    }

    /// Adds keys of a rule, for the epoch that it is in.
    pub(crate) fn add_secret_keys(&self, rule: &str, epoch: u64, keys: &[RuleKey]) -> StoreResult<()> {
        self.write("add keys of secrets", |db| {
            let (_, current, _) = standing(db, rule)?.ok_or_else(|| StoreError::unknown("rule", rule))?;
            if current != epoch {
                return Err(StoreError::conflict("the rule got another key meanwhile; do it again"));
            }
            add_keys(db, rule, keys)
        })
    }

    /// Forgets a rule, with its secrets.
    pub(crate) fn forget_secret_rule(&self, rule: &str) -> StoreResult<()> {
        self.write("forget rule of secrets", |db| {
            match db.execute("DELETE FROM secret_rule WHERE name = ?1", [rule])? {
                0 => Err(StoreError::unknown("rule", rule)),
                _ => Ok(()),
            }
        })
    }

    /// To whom to encrypt what is meant for a node.
    pub(crate) fn set_recipient(&self, node: i64, notice: &RecipientNotice) -> StoreResult<()> {
        let voucher = notice.voucher.as_ref().map(to_json).transpose()?;
        self.write("set recipient", |db| {
            let sql = "INSERT INTO node_recipient VALUES (?1, ?2, ?3)
                       ON CONFLICT (node) DO UPDATE SET recipient = excluded.recipient, voucher = excluded.voucher";
            db.execute(sql, params![node, notice.recipient, voucher])?;
            Ok(())
        })
    }

    /// The recipient that a node gave.
    pub(crate) fn recipient(&self, node: i64) -> StoreResult<Option<String>> {
        let sql = "SELECT recipient FROM node_recipient WHERE node = ?1";
        self.read_one("show recipient", |db| db.prepare_cached(sql)?.query_row([node], |row| row.get(0)).optional())
    }

    /// The rules that mean a node, with their keys for its recipient and for that of the join string that it says it came
    /// with: who has the key of neither can do nothing with them. That it reads them is written down, once.
    pub(crate) fn secrets_of(
        &self,
        node: i64,
        recipient: &str,
        join: Option<&str>,
        now: Timestamp,
    ) -> StoreResult<Vec<NodeRule>> {
        let sql = format!(
            "SELECT secret_rule.name, signed, EXISTS (SELECT 1 FROM secret_reader WHERE rule = secret_rule.name
                    AND secret_reader.node = node.name AND secret_reader.recipient = ?2)
             FROM secret_rule JOIN node ON {MEANS} WHERE node.id = ?1 ORDER BY secret_rule.name"
        );
        let keys = "SELECT holder, sealed FROM secret_key WHERE rule = ?1 AND holder IN (?2, ?3)";
        let found: Vec<(String, bool, NodeRule)> = self.read("read secrets", |db| {
            let row = |row: &Row<'_>| {
                Ok((row.get(0)?, row.get(2)?, NodeRule { signed: json_column(row, 1)?, keys: Vec::new() }))
            };
            let mut found: Vec<(String, bool, NodeRule)> =
                db.prepare_cached(&sql)?.query_map(params![node, recipient], row)?.collect::<rusqlite::Result<_>>()?;
            let mut keys = db.prepare_cached(keys)?;
            for (name, _, rule) in &mut found {
                let row = |row: &Row<'_>| Ok(RuleKey { holder: row.get(0)?, sealed: row.get(1)? });
                rule.keys = keys.query_map(params![&*name, recipient, join], row)?.collect::<rusqlite::Result<_>>()?;
            }
            Ok(found)
        })?;
        if found.iter().any(|(_, known, rule)| !known && !rule.keys.is_empty()) {
            self.write("note readers", |db| {
                for (name, _, _) in found.iter().filter(|(_, known, rule)| !known && !rule.keys.is_empty()) {
                    let sql = "INSERT INTO secret_reader SELECT ?1, name, ?2, ?3 FROM node WHERE id = ?4
                               ON CONFLICT DO NOTHING";
                    db.execute(sql, params![name, recipient, now.0, node])?;
                }
                Ok(())
            })?;
        }
        Ok(found.into_iter().map(|(_, _, rule)| rule).collect())
    }
}

fn rule_node(row: &Row<'_>) -> rusqlite::Result<RuleNode> {
    let has_voucher = row.get_ref(2)? != rusqlite::types::ValueRef::Null;
    Ok(RuleNode {
        node: row.get(0)?,
        recipient: row.get(1)?,
        voucher: if has_voucher { json_column(row, 2)? } else { None },
        has_key: row.get(3)?,
        has_read: row.get(4)?,
    })
}

/// Serial, epoch and nodes of a rule, where there is one.
type Standing = (u64, u64, (String, Option<String>, Option<String>));

fn standing(db: &Connection, rule: &str) -> StoreResult<Option<Standing>> {
    let sql = "SELECT serial, epoch, policy, node_group, tag FROM secret_rule WHERE name = ?1";
    let row = |row: &Row<'_>| {
        let number = |index: usize| row.get::<_, i64>(index).map(i64::unsigned_abs);
        Ok((number(0)?, number(1)?, (row.get(2)?, row.get(3)?, row.get(4)?)))
    };
    Ok(db.prepare_cached(sql)?.query_row([rule], row).optional()?)
}

/// Two operators who change a rule at once do not undo what the other did.
fn check_follows(document: &SecretsDocument, after: u64, before: Option<&Standing>) -> StoreResult<()> {
    let nodes = &document.nodes;
    match before {
        None if after == 0 => Ok(()),
        None => Err(StoreError::conflict("the store has no such rule any more")),
        Some((_, _, (policy, group, tag))) if (policy, group, tag) != (&nodes.policy, &nodes.group, &nodes.tag) => {
            Err(StoreError::conflict("the rule is for other nodes; make another one for these"))
        }
        Some((serial, epoch, _)) if after == *serial && document.serial > after && document.epoch >= *epoch => Ok(()),
        Some((serial, _, _)) => {
            Err(StoreError::conflict(format!("the rule is at serial {serial} by now; look at it, and do it again")))
        }
    }
}

fn add_keys(db: &Connection, rule: &str, keys: &[RuleKey]) -> StoreResult<()> {
    let sql =
        "INSERT INTO secret_key VALUES (?1, ?2, ?3) ON CONFLICT (rule, holder) DO UPDATE SET sealed = excluded.sealed";
    let mut statement = db.prepare_cached(sql)?;
    for key in keys {
        statement.execute(params![rule, key.holder, key.sealed])?;
    }
    let count: i64 = db.query_row("SELECT count(*) FROM secret_key WHERE rule = ?1", [rule], |row| row.get(0))?;
    if count > limits::RULE_KEYS as i64 {
        return Err(StoreError::conflict(format!("a rule has {} keys at most", limits::RULE_KEYS)));
    }
    Ok(())
}
