//! What bind needs to know of a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use converge_model::{BlobRef, Digest, Error, ErrorKind, Facts, Result, Value};

use crate::attribute::NodeAttributes;
use crate::expression::Secrets;

/// The most resources that a catalog may have.
pub const MOST_RESOURCES: usize = 500_000;

/// Who a node is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeIdentity {
    /// Its name.
    pub name: String,
    /// Its policy.
    pub policy: String,
    /// Its group, where it is in one.
    pub group: Option<String>,
    /// Its tags, in the order in which somebody gave them.
    pub tags: Vec<String>,
}

impl NodeIdentity {
    /// What expressions see as `node`.
    pub(crate) fn to_value(&self) -> Value {
        let group = self.group.as_deref().map_or(Value::Null, Value::from);
        let entries = [
            ("name", Value::from(self.name.as_str())),
            ("policy", Value::from(self.policy.as_str())),
            ("group", group),
            ("tags", Value::from(self.tags.clone())),
        ];
        Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }
}

/// What is known of a node.
#[derive(Clone, Debug, Default)]
pub struct BindInput {
    /// Its facts.
    pub facts: Arc<Facts>,
    /// Who it is.
    pub node: NodeIdentity,
    /// The attributes that the store keeps for it alone.
    pub node_attributes: NodeAttributes,
    /// Where its secrets come from.
    pub secrets: Secrets,
}

/// Gives the bytes of templates.
pub trait BlobReader: Sync {
    /// The bytes. Bind checks that they are the right ones.
    ///
    /// # Errors
    /// Where they are not at hand.
    fn read(&self, blob: &BlobRef) -> Result<Vec<u8>>;
}

impl BlobReader for BTreeMap<Digest, Vec<u8>> {
    fn read(&self, blob: &BlobRef) -> Result<Vec<u8>> {
        let missing =
            || Error::new(ErrorKind::NotFound, "read", format!("blob {}", blob.digest.short()), "it is not at hand");
        self.get(&blob.digest).cloned().ok_or_else(missing)
    }
}
