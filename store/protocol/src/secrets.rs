//! Secrets: which nodes a rule means, and what the store keeps for them. All it has of a value or a key is encrypted.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use converge_model::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The format of the documents of rules that this software writes, and the only one it reads.
pub const SECRETS_FORMAT: u32 = 1;

/// Which nodes a rule means: those for which all that is said holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// Their policy.
    pub policy: String,
    /// Their group; any where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// A tag that they have; any where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

impl Selector {
    /// Whether it means a node.
    pub fn means(&self, policy: &str, group: &str, tags: &[String]) -> bool {
        self.policy == policy
            && self.group.as_deref().is_none_or(|own| own == group)
            && self.tag.as_ref().is_none_or(|own| tags.contains(own))
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy {}", self.policy)?;
        self.group.iter().try_for_each(|group| write!(f, ", group {group}"))?;
        self.tag.iter().try_for_each(|tag| write!(f, ", tag {tag}"))
    }
}

/// A rule with its secrets. Whoever may sign revisions signs the bytes of this document: they are kept and handed on as they
/// are. A reader that does not know all of it refuses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretsDocument {
    /// [`SECRETS_FORMAT`].
    pub format: u32,
    /// The rule's name.
    pub rule: String,
    /// The nodes that it means.
    pub nodes: Selector,
    /// Higher than that of every document of the rule before.
    pub serial: u64,
    /// How often the rule got another key. Who had the one before reads nothing that was encrypted since.
    pub epoch: u64,
    /// The age recipient that the values are encrypted to: the public half of the rule's key.
    pub recipient: String,
    /// The secrets by name.
    #[serde(default)]
    pub secrets: BTreeMap<String, SealedSecret>,
    /// The nodes that somebody let in by hand, with the age recipients that they had then.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub granted: BTreeMap<String, String>,
    /// The age recipients of nodes that must not get in, whatever the store says.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub excluded: BTreeSet<String>,
    /// When it was written, by the clock of who did.
    #[schemars(with = "i64")]
    pub made: Timestamp,
}

/// A value, encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SealedSecret {
    /// The serial of the document in which it was set: of one secret it only grows.
    pub serial: u64,
    /// What age made of it, as Base64.
    pub sealed: String,
}

/// A document, as it was signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SignedSecrets {
    /// The text of a [`SecretsDocument`], byte for byte.
    pub document: String,
    /// Its signatures, as `ssh-keygen -Y sign -n converge-secrets` makes them.
    pub signatures: Vec<String>,
    /// By which operators know that one who has their key made it.
    pub seal: String,
}

/// The key of a rule, encrypted for one who may read it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleKey {
    /// The age recipient that it is encrypted to: a node's, or a join string's.
    pub holder: String,
    /// What age made of it, as Base64.
    pub sealed: String,
}

/// `PUT /v1/secrets/{rule}`: the rule's document from now on, and keys. With another epoch, all keys until then are dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleChange {
    /// The serial that there was when the document was written; 0 for a new rule. Where there is another one by now, somebody
    /// else was faster.
    pub after: u64,
    /// The document.
    pub signed: SignedSecrets,
    /// Keys to add.
    #[serde(default)]
    pub keys: Vec<RuleKey>,
}

/// `POST /v1/secrets/{rule}/keys`: keys to add, for the epoch that there is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MoreKeys {
    /// The epoch that they are for.
    pub epoch: u64,
    /// The keys.
    pub keys: Vec<RuleKey>,
}

/// A rule, as operators see it: `GET /v1/secrets`, by name. `DELETE /v1/secrets/{rule}` forgets one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleView {
    /// Its document.
    pub signed: SignedSecrets,
    /// When it was last changed, by the store's clock.
    #[schemars(with = "i64")]
    pub changed: Timestamp,
    /// By whom.
    pub changed_by: String,
    /// The nodes that it means now.
    pub nodes: Vec<RuleNode>,
    /// The nodes that have read it in this epoch and that it means no more: they were moved, revoked, rebuilt or forgotten.
    pub left: Vec<String>,
}

/// A node that a rule means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RuleNode {
    /// Its name.
    pub node: String,
    /// The age recipient that it gave; nothing where it gave none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// What proves that the recipient is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voucher: Option<Voucher>,
    /// Whether the rule's key is there for this recipient.
    pub has_key: bool,
    /// Whether it has read the rule in this epoch.
    pub has_read: bool,
}

/// For which machines a join string is. What is secret of it is made from this, so that nobody can say it was for others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinScope {
    /// No two join strings have the same: 22 letters of base64url.
    pub id: String,
    /// The policy of the machines that join with it.
    pub policy: String,
    /// Their group.
    pub group: String,
    /// The tags that they get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// A node's word that a recipient is its own, which only who had its join string can give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Voucher {
    /// What the join string was for.
    pub join: JoinScope,
    /// Made with what is secret of the join string.
    pub proof: String,
}

/// `PUT /v1/node/recipient`: to whom to encrypt what is meant for the node that asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RecipientNotice {
    /// The age recipient.
    pub recipient: String,
    /// What proves it, where the node joined with a string that has secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub voucher: Option<Voucher>,
}

/// `GET /v1/node/secrets`: the rules that mean the node that asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeSecrets {
    /// The recipient that the store knows of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// The rules.
    pub rules: Vec<NodeRule>,
}

/// A rule that means a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NodeRule {
    /// Its document.
    pub signed: SignedSecrets,
    /// The rule's key for the node's recipient, and for the join string that it came with.
    pub keys: Vec<RuleKey>,
}
