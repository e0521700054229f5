//! Which key is which node, and who waits to be one.

use converge_model::{Digest, Timestamp};
use converge_protocol::Page;
use converge_protocol::authority::WaitingMachine;
use converge_trust::node_key::NodePublicKey;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::audit::{Deed, add};
use super::tokens::{page, use_join_token};
use super::{Database, JoinScope, one_more_than, to_json};
use crate::error::{StoreError, StoreResult};

/// Machines that may wait for one name.
const MOST_WAITING: i64 = 8;

/// A machine that wants to be a node.
pub(crate) struct Candidate<'a> {
    pub(crate) name: &'a str,
    pub(crate) key: NodePublicKey,
    pub(crate) join_token: Digest,
    /// What the audit log says of it, where it comes to something.
    pub(crate) deed: &'a Deed,
}

/// What became of a machine that wants to be a node.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Admission {
    pub(crate) policy: String,
    pub(crate) group: String,
    /// Whether the name is another key's.
    pub(crate) waiting: bool,
}

/// The node of a name, as far as enrolling needs it.
struct Incumbent {
    id: i64,
    key: Vec<u8>,
    joined_with: Option<Vec<u8>>,
    revoked: bool,
    admission: Admission,
}

impl Database {
    /// The identity of the store.
    pub(crate) fn store_identity(&self) -> StoreResult<String> {
        self.read_one("show identity", |db| db.query_row("SELECT store FROM identity", [], |row| row.get(0)))
    }

    /// Makes a machine a node, using its join token once; where its name is another key's, has it wait. Asked again, says
    /// the same again, and uses nothing.
    pub(crate) fn enroll(&self, machine: &Candidate<'_>, now: Timestamp) -> StoreResult<Admission> {
        self.write("enrol node", |db| {
            let Some(incumbent) = incumbent(db, machine.name)? else {
                let scope = use_join_token(db, &machine.join_token, now)?;
                check_replaces(&scope, machine.name)?;
                add_node(db, machine, &scope, now)?;
                note(db, machine, "is a node now", now)?;
                return Ok(Admission { policy: scope.policy, group: scope.group, waiting: false });
            };
            let is_same = incumbent.key == machine.key.as_bytes();
            if is_same
                && !incumbent.revoked
                && incumbent.joined_with.as_deref() == Some(machine.join_token.as_bytes().as_slice())
            {
                return Ok(incumbent.admission);
            }
            if let Some(admission) = waits(db, machine)? {
                return Ok(admission);
            }
            let scope = use_join_token(db, &machine.join_token, now)?;
            check_replaces(&scope, machine.name)?;
            let admission = Admission { policy: scope.policy.clone(), group: scope.group.clone(), waiting: false };
            // A key that was revoked is as good as another's.
            if (is_same && !incumbent.revoked) || scope.replaces.is_some() {
                take_place(db, incumbent.id, machine.key.as_bytes(), machine.join_token.as_bytes(), &scope)?;
                note(db, machine, "has the place of the node of that name now", now)?;
                return Ok(admission);
            }
            add_waiting(db, machine, &scope, now)?;
            note(db, machine, "waits for approval", now)?;
            Ok(Admission { waiting: true, ..admission })
        })
    }

    /// Makes a waiting machine the node, and gives its fingerprint.
    pub(crate) fn approve(&self, name: &str, fingerprint: Option<&str>) -> StoreResult<String> {
        self.write("approve node", |db| {
            let mut statement =
                db.prepare_cached("SELECT key, joined_with, policy, node_group FROM waiting WHERE name = ?1")?;
            type Found = (NodePublicKey, [u8; 32], JoinScope);
            let row = |row: &Row<'_>| {
                let scope = JoinScope { policy: row.get(2)?, group: row.get(3)?, replaces: None, tags: Vec::new() };
                Ok((NodePublicKey::from_bytes(row.get(0)?), row.get(1)?, scope))
            };
            let mut found: Vec<Found> = statement.query_map([name], row)?.collect::<rusqlite::Result<_>>()?;
            if found.is_empty() {
                return Err(StoreError::unknown("waiting machine", name));
            }
            if let Some(fingerprint) = fingerprint {
                found.retain(|(key, ..)| key.fingerprint() == fingerprint);
            }
            let [(key, joined_with, scope)] = found.as_slice() else {
                let cause = match fingerprint {
                    Some(fingerprint) => format!("no machine with the key {fingerprint} waits for it"),
                    None => format!("{} machines wait for it; say which by its fingerprint", found.len()),
                };
                return Err(StoreError::conflict(cause));
            };
            let incumbent = incumbent(db, name)?.ok_or_else(|| StoreError::unknown("node", name))?;
            take_place(db, incumbent.id, key.as_bytes(), joined_with, scope)?;
            Ok(key.fingerprint())
        })
    }

    /// A page of machines that wait, by name.
    pub(crate) fn waiting(&self, after: &str, limit: usize) -> StoreResult<Page<WaitingMachine>> {
        let sql =
            "SELECT name, key, policy, node_group, peer, asked FROM waiting WHERE name > ?1 ORDER BY name LIMIT ?2";
        let row = |row: &Row<'_>| {
            Ok(WaitingMachine {
                name: row.get(0)?,
                fingerprint: NodePublicKey::from_bytes(row.get(1)?).fingerprint(),
                policy: row.get(2)?,
                group: row.get(3)?,
                peer: row.get(4)?,
                asked: Timestamp(row.get(5)?),
            })
        };
        // Machines that wait for one name are on one page: a page is cut between names.
        let wanted = one_more_than(limit) + MOST_WAITING;
        let items: Vec<WaitingMachine> = self
            .read_one("list waiting", |db| db.prepare_cached(sql)?.query_map(params![after, wanted], row)?.collect())?;
        let cut = items.get(limit).map_or(items.len(), |next| {
            let name = next.name.clone();
            items.iter().position(|machine| machine.name == name).filter(|cut| *cut > 0).unwrap_or(items.len())
        });
        Ok(page(items, cut, |machine| machine.name.clone()))
    }

    /// Gives a node its next key.
    pub(crate) fn rotate_key(&self, id: i64, from: &NodePublicKey, to: &NodePublicKey) -> StoreResult<()> {
        self.write("rotate key", |db| {
            let taken: bool = db.query_row(
                "SELECT EXISTS (SELECT 1 FROM node WHERE key = ?1 AND id <> ?2)",
                params![to.as_bytes(), id],
                |row| row.get(0),
            )?;
            let sql = "UPDATE node SET key = ?3, joined_with = NULL WHERE id = ?1 AND key = ?2";
            if taken || db.execute(sql, params![id, from.as_bytes(), to.as_bytes()])? == 0 {
                return Err(StoreError::conflict("the key was changed meanwhile, or the next one is another node's"));
            }
            Ok(())
        })
    }

    /// Makes a node's requests be refused from now on, or be taken again.
    pub(crate) fn set_revoked(&self, name: &str, revoked: Option<Timestamp>) -> StoreResult<()> {
        self.write("revoke node", |db| {
            let sql = "UPDATE node SET revoked = ?2 WHERE name = ?1";
            match db.execute(sql, params![name, revoked.map(|at| at.0)])? {
                0 => Err(StoreError::unknown("node", name)),
                _ => Ok(()),
            }
        })
    }
}

/// Writes to the audit log what became of a machine.
fn note(db: &Connection, machine: &Candidate<'_>, what: &str, now: Timestamp) -> StoreResult<()> {
    let said = format!("{} with the key {} {what}", machine.name, machine.key.fingerprint());
    add(db, machine.deed, Some((200, &said)), now).map(drop)
}

fn check_replaces(scope: &JoinScope, name: &str) -> StoreResult<()> {
    match &scope.replaces {
        Some(replaced) if replaced != name => Err(StoreError::forbidden(format!(
            "the join token is for the node {replaced} alone; enrol with --name {replaced}"
        ))),
        _ => Ok(()),
    }
}

fn incumbent(db: &Connection, name: &str) -> StoreResult<Option<Incumbent>> {
    let sql = "SELECT id, key, joined_with, policy, node_group, revoked IS NOT NULL FROM node WHERE name = ?1";
    let row = |row: &Row<'_>| {
        let admission = Admission { policy: row.get(3)?, group: row.get(4)?, waiting: false };
        Ok(Incumbent { id: row.get(0)?, key: row.get(1)?, joined_with: row.get(2)?, revoked: row.get(5)?, admission })
    };
    Ok(db.prepare_cached(sql)?.query_row([name], row).optional()?)
}

fn add_node(db: &Connection, machine: &Candidate<'_>, scope: &JoinScope, now: Timestamp) -> StoreResult<()> {
    let sql = "INSERT INTO node (name, key, joined_with, policy, node_group, enrolled, tags)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
               ON CONFLICT (key) DO NOTHING";
    let (key, token) = (machine.key.as_bytes(), machine.join_token.as_bytes());
    let tags = to_json(&scope.tags)?;
    match db.execute(sql, params![machine.name, key, token, scope.policy, scope.group, now.0, tags])? {
        0 => Err(StoreError::conflict(
            "the key is that of another node; remove node.key from this machine, and enrol again",
        )),
        _ => Ok(()),
    }
}

/// Gives a node's place to a key. Whoever waited for the name waits no more.
fn take_place(db: &Connection, id: i64, key: &[u8], joined_with: &[u8], scope: &JoinScope) -> StoreResult<()> {
    let taken: bool =
        db.query_row("SELECT EXISTS (SELECT 1 FROM node WHERE key = ?1 AND id <> ?2)", params![key, id], |row| {
            row.get(0)
        })?;
    if taken {
        return Err(StoreError::conflict("the key is that of another node"));
    }
    let sql = "UPDATE node SET key = ?2, joined_with = ?3, policy = ?4, node_group = ?5, revoked = NULL WHERE id = ?1";
    db.execute(sql, params![id, key, joined_with, scope.policy, scope.group])?;
    db.execute("DELETE FROM waiting WHERE name = (SELECT name FROM node WHERE id = ?1)", [id])?;
    Ok(())
}

/// Whether this machine waits already, with this join token.
fn waits(db: &Connection, machine: &Candidate<'_>) -> StoreResult<Option<Admission>> {
    let sql = "SELECT policy, node_group FROM waiting WHERE name = ?1 AND key = ?2 AND joined_with = ?3";
    let values = params![machine.name, machine.key.as_bytes(), machine.join_token.as_bytes()];
    let row = |row: &Row<'_>| Ok(Admission { policy: row.get(0)?, group: row.get(1)?, waiting: true });
    Ok(db.prepare_cached(sql)?.query_row(values, row).optional()?)
}

fn add_waiting(db: &Connection, machine: &Candidate<'_>, scope: &JoinScope, now: Timestamp) -> StoreResult<()> {
    let waiting: i64 =
        db.query_row("SELECT count(*) FROM waiting WHERE name = ?1", [machine.name], |row| row.get(0))?;
    if waiting >= MOST_WAITING {
        let cause =
            format!("{MOST_WAITING} machines wait to be {:?} already; an operator has to approve one", machine.name);
        return Err(StoreError::conflict(cause));
    }
    let sql = "INSERT INTO waiting VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
               ON CONFLICT (name, key) DO UPDATE SET joined_with = excluded.joined_with, policy = excluded.policy,
               node_group = excluded.node_group, peer = excluded.peer, asked = excluded.asked";
    let (key, token) = (machine.key.as_bytes(), machine.join_token.as_bytes());
    db.execute(sql, params![machine.name, key, token, scope.policy, scope.group, machine.deed.peer, now.0])?;
    Ok(())
}
