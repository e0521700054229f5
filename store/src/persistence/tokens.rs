//! Operator and join tokens. Only their digests are kept.

use converge_model::{Digest, Timestamp};
use converge_protocol::authority::{JoinTokenView, OperatorTokenView};
use converge_protocol::{Page, Role, Scope};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Database, digest_column, json_column, one_more_than, to_json};
use crate::error::{StoreError, StoreResult};

/// A join token that is being made.
pub(crate) struct NewJoinToken<'a> {
    pub(crate) hash: Digest,
    pub(crate) scope: JoinScope,
    /// What the secrets of its join string are made from.
    pub(crate) secrets: Option<&'a converge_protocol::secrets::JoinScope>,
    pub(crate) uses: Option<u32>,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) made_by: &'a str,
}

/// Where the nodes that join with a token go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinScope {
    pub(crate) policy: String,
    pub(crate) group: String,
    /// The node whose place they take.
    pub(crate) replaces: Option<String>,
    /// The tags that they get, where they are new.
    pub(crate) tags: Vec<String>,
}

/// An operator token that is being made.
pub(crate) struct NewOperator<'a> {
    pub(crate) name: &'a str,
    pub(crate) hash: Digest,
    pub(crate) role: Role,
    pub(crate) scope: &'a Scope,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) made_by: &'a str,
}

/// The beginning of a token's digest, by which it is found. Whoever learns it cannot make the token of it.
pub(crate) fn id_of(hash: &Digest) -> String {
    hash.short()
}

const JOIN_COLUMNS: &str = "id, policy, node_group, uses_left, replaces, expires, created, made_by, tags, secrets";
const OPERATOR_COLUMNS: &str = "name, role, scope, created, made_by, expires, revoked, hash";

impl Database {
    /// The operator token with this identity, and its digest.
    pub(crate) fn operator(&self, id: &str) -> StoreResult<Option<(OperatorTokenView, Digest)>> {
        let sql = format!("SELECT {OPERATOR_COLUMNS} FROM operator_token WHERE id = ?1");
        self.read_one("find operator", |db| {
            let row = |row: &Row<'_>| Ok((operator_view(row)?, digest_column(row, 7)?));
            db.prepare_cached(&sql)?.query_row([id], row).optional()
        })
    }

    /// A page of operator tokens by name, those after `after`.
    pub(crate) fn operators(&self, after: &str, limit: usize) -> StoreResult<Page<OperatorTokenView>> {
        let sql = format!("SELECT {OPERATOR_COLUMNS} FROM operator_token WHERE name > ?1 ORDER BY name LIMIT ?2");
        let items: Vec<OperatorTokenView> = self.read_one("list operators", |db| {
            db.prepare_cached(&sql)?.query_map(params![after, one_more_than(limit)], operator_view)?.collect()
        })?;
        Ok(page(items, limit, |operator| operator.name.clone()))
    }

    /// Makes an operator token. A name that is taken is refused; that of one that was revoked is free again.
    pub(crate) fn add_operator(&self, operator: &NewOperator<'_>, now: Timestamp) -> StoreResult<()> {
        let scope = to_json(operator.scope)?;
        self.write("add operator", |db| {
            db.execute("DELETE FROM operator_token WHERE name = ?1 AND revoked IS NOT NULL", [operator.name])?;
            let sql = "INSERT INTO operator_token (name, id, hash, role, scope, created, made_by, expires)
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (name) DO NOTHING";
            let made = db.execute(
                sql,
                params![
                    operator.name,
                    id_of(&operator.hash),
                    operator.hash.as_bytes(),
                    operator.role.word(),
                    scope,
                    now.0,
                    operator.made_by,
                    operator.expires.map(|at| at.0)
                ],
            )?;
            if made == 1 {
                return Ok(());
            }
            let cause =
                format!("an operator named {:?} has a token; revoke it first, or choose another name", operator.name);
            Err(StoreError::conflict(cause))
        })
    }

    /// Makes the token of the store's first operator this one, unless it was revoked. Says whether it is.
    pub(crate) fn set_first_operator(&self, name: &str, hash: &Digest, now: Timestamp) -> StoreResult<bool> {
        self.write("set first operator", |db| {
            let sql = "INSERT INTO operator_token (name, id, hash, role, scope, created, made_by)
                       VALUES (?1, ?2, ?3, ?4, '{}', ?5, 'the store')
                       ON CONFLICT (name) DO UPDATE SET id = excluded.id, hash = excluded.hash WHERE revoked IS NULL";
            let values = params![name, id_of(hash), hash.as_bytes(), Role::Admin.word(), now.0];
            Ok(db.execute(sql, values)? == 1)
        })
    }

    /// Makes an operator token good no more.
    pub(crate) fn revoke_operator(&self, name: &str, now: Timestamp) -> StoreResult<()> {
        self.write("revoke operator", |db| {
            let sql = "UPDATE operator_token SET revoked = coalesce(revoked, ?2) WHERE name = ?1";
            match db.execute(sql, params![name, now.0])? {
                0 => Err(StoreError::unknown("operator", name)),
                _ => Ok(()),
            }
        })
    }

    /// Makes a join token.
    pub(crate) fn add_join_token(&self, token: &NewJoinToken<'_>, now: Timestamp) -> StoreResult<()> {
        let (tags, secrets) = (to_json(&token.scope.tags)?, token.secrets.map(to_json).transpose()?);
        self.write("add join token", |db| {
            db.execute(
                "INSERT INTO join_token (id, hash, policy, node_group, uses_left, replaces, expires, created, made_by, tags,
                 secrets) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                params![
                    id_of(&token.hash),
                    token.hash.as_bytes(),
                    token.scope.policy,
                    token.scope.group,
                    token.uses,
                    token.scope.replaces,
                    token.expires.map(|at| at.0),
                    now.0,
                    token.made_by,
                    tags,
                    secrets
                ],
            )?;
            Ok(())
        })
    }

    /// A page of join tokens by identity, those after `after`.
    pub(crate) fn join_tokens(&self, after: &str, limit: usize) -> StoreResult<Page<JoinTokenView>> {
        let sql = format!("SELECT {JOIN_COLUMNS} FROM join_token WHERE id > ?1 ORDER BY id LIMIT ?2");
        let items: Vec<JoinTokenView> = self.read_one("list join tokens", |db| {
            db.prepare_cached(&sql)?.query_map(params![after, one_more_than(limit)], join_view)?.collect()
        })?;
        Ok(page(items, limit, |token| token.id.clone()))
    }

    /// One join token.
    pub(crate) fn join_token(&self, id: &str) -> StoreResult<Option<JoinTokenView>> {
        let sql = format!("SELECT {JOIN_COLUMNS} FROM join_token WHERE id = ?1");
        self.read_one("show join token", |db| db.prepare_cached(&sql)?.query_row([id], join_view).optional())
    }

    /// Forgets a join token. Nodes that joined with it stay.
    pub(crate) fn revoke_join_token(&self, id: &str) -> StoreResult<()> {
        self.write("revoke join token", |db| match db.execute("DELETE FROM join_token WHERE id = ?1", [id])? {
            0 => Err(StoreError::unknown("join token", id)),
            _ => Ok(()),
        })
    }
}

/// Uses a join token once, within a transaction that goes on.
pub(super) fn use_join_token(db: &Connection, hash: &Digest, now: Timestamp) -> StoreResult<JoinScope> {
    let sql = "SELECT policy, node_group, replaces, uses_left, expires, hash, tags FROM join_token WHERE id = ?1";
    type Found = (JoinScope, Option<i64>, Option<i64>, Digest);
    let found: Option<Found> = db
        .prepare_cached(sql)?
        .query_row([id_of(hash)], |row| {
            let scope = JoinScope {
                policy: row.get(0)?,
                group: row.get(1)?,
                replaces: row.get(2)?,
                tags: json_column(row, 6)?,
            };
            Ok((scope, row.get(3)?, row.get(4)?, digest_column(row, 5)?))
        })
        .optional()?;
    let found = found.filter(|(_, _, _, kept)| same(kept, hash));
    let refused = |cause: &str| {
        let hint = "make a new one with `converge token create`";
        StoreError::unauthorized(format!("the join token {} {cause}; {hint}", id_of(hash)))
    };
    let (scope, uses_left, expires, _) = found.ok_or_else(|| refused("is not known"))?;
    if expires.is_some_and(|at| at <= now.0) {
        return Err(refused("has expired"));
    }
    if uses_left.is_some_and(|left| left <= 0) {
        return Err(refused("is used up"));
    }
    db.execute("UPDATE join_token SET uses_left = uses_left - 1 WHERE id = ?1", [id_of(hash)])?;
    Ok(scope)
}

/// Whether two digests are the same, in a time that does not tell where they differ.
pub(crate) fn same(one: &Digest, other: &Digest) -> bool {
    let differing = one.as_bytes().iter().zip(other.as_bytes()).fold(0, |found, (one, other)| found | (one ^ other));
    std::hint::black_box(differing) == 0
}

fn operator_view(row: &Row<'_>) -> rusqlite::Result<OperatorTokenView> {
    let role: String = row.get(1)?;
    let role = role.parse().map_err(|cause: String| {
        rusqlite::Error::FromSqlConversionFailure(1, rusqlite::types::Type::Text, cause.into())
    })?;
    let moment = |index: usize| row.get::<_, Option<i64>>(index).map(|at| at.map(Timestamp));
    Ok(OperatorTokenView {
        name: row.get(0)?,
        role,
        scope: json_column(row, 2)?,
        created: Timestamp(row.get(3)?),
        made_by: row.get(4)?,
        expires: moment(5)?,
        revoked: moment(6)?,
    })
}

fn join_view(row: &Row<'_>) -> rusqlite::Result<JoinTokenView> {
    let uses: Option<i64> = row.get(3)?;
    let has_secrets = row.get_ref(9)? != rusqlite::types::ValueRef::Null;
    Ok(JoinTokenView {
        id: row.get(0)?,
        policy: row.get(1)?,
        group: row.get(2)?,
        uses_left: uses.map(|uses| u32::try_from(uses.max(0)).unwrap_or(u32::MAX)),
        replaces: row.get(4)?,
        expires: row.get::<_, Option<i64>>(5)?.map(Timestamp),
        created: Timestamp(row.get(6)?),
        made_by: row.get(7)?,
        tags: json_column(row, 8)?,
        secrets: if has_secrets { Some(json_column(row, 9)?) } else { None },
    })
}

/// The first `limit` items, and where the next page begins.
pub(super) fn page<T>(mut items: Vec<T>, limit: usize, key: impl Fn(&T) -> String) -> Page<T> {
    let more = items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(key) } else { None };
    Page { items, next }
}
