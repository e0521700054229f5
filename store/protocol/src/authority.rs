//! Who may do what, and who did: roles, tokens, keys, the audit log.

use std::fmt;
use std::str::FromStr;

use converge_model::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::secrets::JoinScope;

/// What an operator may do. Each role may do what those before it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at nodes, reports and policies.
    Viewer,
    /// Make revisions live, have machines join, and change what is set for a node.
    Deployer,
    /// Publish revisions.
    Author,
    /// Say who may be a node and who may be an operator, and read the audit log.
    Admin,
}

impl Role {
    /// Every one, the least first.
    pub const ALL: [Role; 4] = [Role::Viewer, Role::Deployer, Role::Author, Role::Admin];

    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Deployer => "deployer",
            Role::Author => "author",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|role| role.word() == text);
        found.ok_or_else(|| format!("{text:?} is not a role: viewer, deployer, author or admin"))
    }
}

/// Where a role is good.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scope {
    /// The policies; every one where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub policies: Vec<String>,
    /// The groups; every one where none is named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
}

impl Scope {
    /// Whether it is everywhere.
    pub fn is_everything(&self) -> bool {
        self.policies.is_empty() && self.groups.is_empty()
    }

    /// Whether a policy, or one group of it, is in it. A policy as a whole is in it whatever the groups are.
    pub fn has(&self, policy: &str, group: Option<&str>) -> bool {
        let named = |names: &[String], name: &str| names.is_empty() || names.iter().any(|named| named == name);
        named(&self.policies, policy) && group.is_none_or(|group| named(&self.groups, group))
    }

    /// Whether all of `other` is in it.
    pub fn covers(&self, other: &Scope) -> bool {
        let within = |own: &[String], other: &[String]| {
            own.is_empty() || (!other.is_empty() && other.iter().all(|name| own.contains(name)))
        };
        within(&self.policies, &other.policies) && within(&self.groups, &other.groups)
    }
}

/// `POST /v1/operators`: an operator token is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorTokenRequest {
    /// What the audit log calls who has it.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// Where.
    #[serde(default)]
    pub scope: Scope,
    /// For how many seconds; no limit if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_seconds: Option<u64>,
}

/// The answer: the only time that the token is seen. The store keeps its hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorToken {
    /// The token.
    pub token: String,
    /// The store's address.
    pub store: String,
}

/// An operator token, without what is secret of it: `GET /v1/operators`, by name. `DELETE /v1/operators/{name}` revokes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperatorTokenView {
    /// Its name.
    pub name: String,
    /// What it is good for.
    pub role: Role,
    /// Where.
    pub scope: Scope,
    /// When it was made.
    #[schemars(with = "i64")]
    pub created: Timestamp,
    /// By whom.
    pub made_by: String,
    /// Until when it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub expires: Option<Timestamp>,
    /// Since when it is good no more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub revoked: Option<Timestamp>,
}

/// A join token, without what is secret of it: `GET /v1/tokens`. `DELETE /v1/tokens/{id}` revokes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinTokenView {
    /// The beginning of its digest.
    pub id: String,
    /// The policy of the nodes that join with it.
    pub policy: String,
    /// Their group.
    pub group: String,
    /// How many may still join; no limit if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_left: Option<u32>,
    /// The node whose place who joins with it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// The tags that they get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// What the secrets of its join string are made from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secrets: Option<JoinScope>,
    /// Until when it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<i64>")]
    pub expires: Option<Timestamp>,
    /// When it was made.
    #[schemars(with = "i64")]
    pub created: Timestamp,
    /// By whom.
    pub made_by: String,
}

/// `POST /v1/node/key`: the node's key from now on. The request is authorized by the one until now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRotation {
    /// The next public key.
    pub next: String,
    /// Signed by the next key: that the node has it.
    pub proof: String,
}

/// A machine that asks to take a node's place: `GET /v1/waiting`, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitingMachine {
    /// The node's name.
    pub name: String,
    /// The fingerprint of the machine's key, as it shows it too.
    pub fingerprint: String,
    /// The policy that it would have.
    pub policy: String,
    /// The group that it would be in.
    pub group: String,
    /// The address it asked from.
    pub peer: String,
    /// When it asked.
    #[schemars(with = "i64")]
    pub asked: Timestamp,
}

/// `POST /v1/nodes/{name}/approval`: a waiting machine is the node from now on, and the machine until now is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approval {
    /// Its fingerprint; where only one waits, it need not be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
}

/// One entry of the audit log: `GET /v1/audit`, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Its number; they only grow.
    pub id: u64,
    /// When it was asked.
    #[schemars(with = "i64")]
    pub at: Timestamp,
    /// Who asked: `operator first`, `node web-1`, `join token 0a1b2c3d4e5f`, `nobody`.
    pub who: String,
    /// From which address.
    pub peer: String,
    /// What: method and path.
    pub what: String,
    /// The request, as the store's log names it.
    pub request: String,
    /// The status of the answer; without it, the store was stopped before there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What came of it, or why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The query of `GET /v1/audit`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AuditFilter {
    /// Only what was denied.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub denied: bool,
    /// Only what this one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Only those after this place, as the page before said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(policies: &[&str], groups: &[&str]) -> Scope {
        let own = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Scope { policies: own(policies), groups: own(groups) }
    }

    #[test]
    fn a_scope_has_what_it_names_and_covers_no_more() {
        let everything = Scope::default();
        let web = scope(&["web"], &[]);
        let prod = scope(&["web"], &["prod"]);
        assert!(everything.has("db", Some("dev")) && everything.covers(&prod));
        assert!(prod.has("web", None) && prod.has("web", Some("prod")));
        assert!(!prod.has("web", Some("dev")) && !prod.has("db", Some("prod")) && !prod.has("db", None));
        assert!(web.covers(&prod) && !prod.covers(&web) && !web.covers(&everything));
        assert!(!web.covers(&scope(&["web", "db"], &["prod"])));
    }
}
