//! Tokens: 256 random bits that only their holder knows; the store keeps their digest.

use std::path::Path;

use converge_model::{Digest, Timestamp};
use converge_protocol::authority::{JoinTokenView, OperatorToken, OperatorTokenRequest, OperatorTokenView};
use converge_protocol::limits::{self, check_name};
use converge_protocol::secrets::JoinScope as SecretsScope;
use converge_protocol::{JoinToken, JoinTokenRequest, Page, Role};

use super::App;
use super::identity::{Operator, kept};
use crate::access::Access;
use crate::error::{StoreError, StoreResult};
use crate::files::{read, write_with_mode};
use crate::persistence::{JoinScope, NewJoinToken, NewOperator, id_of, same};

/// The operator whose access the store itself writes down.
const FIRST: &str = "first";

/// A token that was just made.
struct Token([u8; 32]);

impl Token {
    fn new() -> StoreResult<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| StoreError::trouble("make", "a token", error))?;
        Ok(Self(bytes))
    }

    /// The token as its holder gets it: what it is for, and 64 hexadecimal digits. Whoever finds one can tell.
    fn reveal(&self, kind: &str) -> String {
        format!("converge_{kind}_{}", Digest::from_bytes(self.0))
    }
}

/// What is kept of a token that somebody shows.
pub(crate) fn hash_of(revealed: &str) -> Digest {
    Digest::of(revealed.as_bytes())
}

/// What the audit log calls who shows a join token.
pub(crate) fn holder_of(revealed: &str) -> String {
    format!("join token {}", id_of(&hash_of(revealed)))
}

impl App {
    /// The operator who has a token that is good.
    pub(crate) fn operator_of(&self, token: &str) -> StoreResult<OperatorTokenView> {
        let unknown =
            || StoreError::unauthorized("no operator has this token; give its access file with --access-file");
        let hash = hash_of(token);
        let (operator, kept) = self.database.operator(&id_of(&hash))?.ok_or_else(unknown)?;
        if !same(&kept, &hash) {
            return Err(unknown());
        }
        if operator.revoked.is_some() {
            return Err(StoreError::unauthorized(format!("the token of operator {} was revoked", operator.name)));
        }
        if operator.expires.is_some_and(|at| at <= self.now()) {
            return Err(StoreError::unauthorized(format!("the token of operator {} has expired", operator.name)));
        }
        Ok(operator)
    }

    /// Makes an operator token. Nobody gives more than they have.
    pub(crate) fn make_operator(&self, by: &Operator, request: &OperatorTokenRequest) -> StoreResult<OperatorToken> {
        check_name("operator", &request.name).map_err(StoreError::invalid)?;
        if request.name == FIRST {
            // Or a restart would give its token to whoever reads the store's own access file.
            return Err(StoreError::conflict(format!("the name {FIRST} is that of the store's own operator")));
        }
        for name in request.scope.policies.iter().chain(&request.scope.groups) {
            check_name("policy or group", name).map_err(StoreError::invalid)?;
        }
        if !by.0.scope.covers(&request.scope) {
            return Err(StoreError::forbidden("the token would be good for policies or groups that yours is not"));
        }
        let token = Token::new()?.reveal("operator");
        let now = self.now();
        let made = NewOperator {
            name: &request.name,
            hash: hash_of(&token),
            role: request.role,
            scope: &request.scope,
            expires: expiry(now, request.valid_seconds),
            made_by: &by.who(),
        };
        self.database.add_operator(&made, now)?;
        Ok(OperatorToken { token, store: self.addresses().first().cloned().unwrap_or_default() })
    }

    /// A page of operator tokens.
    pub(crate) fn operators(&self, after: &str, limit: usize) -> StoreResult<Page<OperatorTokenView>> {
        self.database.operators(after, limit)
    }

    /// Makes an operator token good no more.
    pub(crate) fn revoke_operator(&self, by: &Operator, name: &str) -> StoreResult<()> {
        by.must_have_everything("revoke an operator")?;
        self.database.revoke_operator(name, self.now())
    }

    /// Makes a join token for a policy that is published.
    pub(crate) fn make_join_token(&self, by: &Operator, request: &JoinTokenRequest) -> StoreResult<JoinToken> {
        check_name("policy", &request.policy).map_err(StoreError::invalid)?;
        check_name("group", &request.group).map_err(StoreError::invalid)?;
        by.may(&request.policy, Some(&request.group))?;
        if let Some(node) = &request.replaces {
            if by.0.role < Role::Admin {
                return Err(StoreError::forbidden("a token that replaces a node needs the role admin"));
            }
            let node = self.node(node)?;
            by.may(&node.policy, Some(&node.group))?;
        }
        if !self.database.has_policy(&request.policy)? {
            return Err(StoreError::unknown("policy", &request.policy));
        }
        let now = self.now();
        let expires = expiry(now, request.valid_seconds);
        let token = Token::new()?.reveal("join");
        let scope = JoinScope {
            policy: request.policy.clone(),
            group: request.group.clone(),
            replaces: request.replaces.clone(),
            tags: check_join(request)?,
        };
        // Who takes one node's place, takes it once.
        let uses = if request.replaces.is_some() { Some(1) } else { request.uses };
        let secrets = request.secrets.as_ref();
        let made = NewJoinToken { hash: hash_of(&token), scope, secrets, uses, expires, made_by: &by.who() };
        self.database.add_join_token(&made, now)?;
        Ok(JoinToken { token, stores: self.addresses().to_vec(), expires })
    }

    /// A page of the join tokens that an operator may make.
    pub(crate) fn join_tokens(&self, by: &Operator, after: &str, limit: usize) -> StoreResult<Page<JoinTokenView>> {
        let page = |after: &str| self.database.join_tokens(after, limit);
        kept(after, page, |token| by.0.scope.has(&token.policy, Some(&token.group)))
    }

    /// Makes a join token good no more.
    pub(crate) fn revoke_join_token(&self, by: &Operator, id: &str) -> StoreResult<()> {
        let token = self.database.join_token(id)?.ok_or_else(|| StoreError::unknown("join token", id))?;
        by.may(&token.policy, Some(&token.group))?;
        self.database.revoke_join_token(id)
    }

    /// Keeps the first operator's access in `file`: makes its token where the database knows none or the file is gone, and
    /// writes where the store is now. Once that token was revoked, there is no such file.
    pub(crate) fn keep_access(&self, file: &Path, authority: Option<Digest>) -> StoreResult<()> {
        let kept: Option<Access> = read(file)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let token = match &kept {
            Some(kept) if self.operator_of(&kept.token).is_ok() => kept.token.clone(),
            _ => {
                let token = Token::new()?.reveal("operator");
                if !self.database.set_first_operator(FIRST, &hash_of(&token), self.now())? {
                    return Ok(());
                }
                token
            }
        };
        let store = self.addresses().first().cloned().unwrap_or_default();
        let access = Access { store, authority, token };
        if kept.as_ref() != Some(&access) {
            let text = serde_json::to_vec_pretty(&access);
            let text = text.map_err(|error| StoreError::trouble("write", "an access file", error))?;
            write_with_mode(file, &text, 0o600)?;
        }
        Ok(())
    }
}

/// The tags that a join token gives, sorted. What its secrets are made from says the same as the token.
fn check_join(request: &JoinTokenRequest) -> StoreResult<Vec<String>> {
    request.tags.iter().try_for_each(|tag| check_name("tag", tag)).map_err(StoreError::invalid)?;
    if request.tags.len() > limits::TAGS {
        return Err(StoreError::invalid(format!("a node may have {} tags", limits::TAGS)));
    }
    if let Some(SecretsScope { id, policy, group, tags }) = &request.secrets
        && (id.len() > limits::NAME_BYTES || (policy, group, tags) != (&request.policy, &request.group, &request.tags))
    {
        return Err(StoreError::invalid("the secrets of the join string are for other nodes than the token"));
    }
    let mut tags = request.tags.clone();
    tags.sort();
    tags.dedup();
    Ok(tags)
}

/// When something that is made now expires.
fn expiry(now: Timestamp, seconds: Option<u64>) -> Option<Timestamp> {
    seconds.map(|seconds| {
        let millis = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
        Timestamp(now.0.saturating_add(millis))
    })
}
