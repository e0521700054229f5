//! Operator and join tokens. Only their hashes are kept.

use converge_model::{Digest, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::Database;
use crate::error::{StoreError, StoreResult};

/// A join token that is being made.
pub(crate) struct NewJoinToken {
    pub(crate) hash: Digest,
    pub(crate) scope: JoinScope,
    pub(crate) uses: Option<u32>,
    pub(crate) expires: Option<Timestamp>,
}

/// Where the nodes that join with a token go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JoinScope {
    pub(crate) policy: String,
    pub(crate) group: String,
}

impl Database {
    /// Whether the token with this hash is an operator's.
    pub(crate) fn is_operator(&self, hash: &Digest) -> StoreResult<bool> {
        self.read_one("find operator", |db| {
            let sql = "SELECT EXISTS (SELECT 1 FROM operator_token WHERE hash = ?1)";
            db.prepare_cached(sql)?.query_row([hash.as_bytes()], |row| row.get(0))
        })
    }

    /// Makes the operator's token the one with this hash. One that was there before is good no more.
    pub(crate) fn set_operator(&self, hash: &Digest, now: Timestamp) -> StoreResult<()> {
        self.write("set operator", |db| {
            db.execute("DELETE FROM operator_token", [])?;
            db.execute("INSERT INTO operator_token VALUES (?1, ?2)", params![hash.as_bytes(), now.0])?;
            Ok(())
        })
    }

    /// Makes a join token.
    pub(crate) fn add_join_token(&self, token: &NewJoinToken, now: Timestamp) -> StoreResult<()> {
        self.write("add join token", |db| {
            db.execute(
                "INSERT INTO join_token VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    token.hash.as_bytes(),
                    token.scope.policy,
                    token.scope.group,
                    token.uses,
                    token.expires.map(|at| at.0),
                    now.0
                ],
            )?;
            Ok(())
        })
    }
}

/// Uses a join token once, within a transaction that goes on.
pub(super) fn use_join_token(db: &Connection, hash: &Digest, now: Timestamp) -> StoreResult<JoinScope> {
    let sql = "SELECT policy, node_group, uses_left, expires FROM join_token WHERE hash = ?1";
    type Row = (JoinScope, Option<i64>, Option<i64>);
    let found: Option<Row> = db
        .query_row(sql, [hash.as_bytes()], |row| {
            Ok((JoinScope { policy: row.get(0)?, group: row.get(1)? }, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    let (scope, uses_left, expires) = found.ok_or_else(|| StoreError::unauthorized("the join token is not known"))?;
    if expires.is_some_and(|at| at <= now.0) {
        return Err(StoreError::unauthorized("the join token has expired; make a new one with `converge token`"));
    }
    if uses_left.is_some_and(|left| left <= 0) {
        return Err(StoreError::unauthorized("the join token is used up; make a new one with `converge token`"));
    }
    db.execute("UPDATE join_token SET uses_left = uses_left - 1 WHERE hash = ?1", [hash.as_bytes()])?;
    Ok(scope)
}
