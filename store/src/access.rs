//! What an operator needs to use a store, in one file.

use converge_model::Digest;
use serde::{Deserialize, Serialize};

/// An operator's access: the content of an access file, as JSON.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The store's address.
    pub store: String,
    /// The digest of the certificate of its authority; without it, whom the system trusts is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Digest>,
    /// The operator's token: a secret.
    pub token: String,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access").field("store", &self.store).finish_non_exhaustive()
    }
}
