//! Tokens: 256 random bits that only their holder knows; the store keeps their hash.

use std::path::Path;

use converge_model::{Digest, Timestamp};
use converge_protocol::limits::check_name;
use converge_protocol::{JoinToken, JoinTokenRequest};

use super::App;
use crate::access::Access;
use crate::error::{StoreError, StoreResult};
use crate::files::{read, write_with_mode};
use crate::persistence::{JoinScope, NewJoinToken};

/// A token that was just made.
pub(crate) struct Token([u8; 32]);

impl Token {
    /// A new token.
    pub(crate) fn new() -> StoreResult<Self> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|error| StoreError::trouble("make", "a token", error))?;
        Ok(Self(bytes))
    }

    /// The token as its holder gets it: 64 hexadecimal digits.
    pub(crate) fn reveal(&self) -> String {
        Digest::from_bytes(self.0).to_string()
    }

    /// What is kept of it.
    pub(crate) fn hash(&self) -> Digest {
        Self::hash_of(&self.reveal())
    }

    /// What is kept of a token that somebody shows.
    pub(crate) fn hash_of(revealed: &str) -> Digest {
        Digest::of(revealed.as_bytes())
    }
}

impl App {
    /// Whether a token is the operator's.
    pub(crate) fn check_operator(&self, token: &str) -> StoreResult<()> {
        if self.database.is_operator(&Token::hash_of(token))? {
            Ok(())
        } else {
            Err(StoreError::unauthorized("this needs the operator's token; give its access file with --access-file"))
        }
    }

    /// Makes a join token for a policy that is published.
    pub(crate) fn make_join_token(&self, request: &JoinTokenRequest) -> StoreResult<JoinToken> {
        check_name("policy", &request.policy).map_err(StoreError::invalid)?;
        check_name("group", &request.group).map_err(StoreError::invalid)?;
        if !self.database.has_policy(&request.policy)? {
            return Err(StoreError::unknown("policy", &request.policy));
        }
        let now = self.now();
        let expires = request.valid_seconds.map(|seconds| {
            let millis = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000);
            Timestamp(now.0.saturating_add(millis))
        });
        let token = Token::new()?;
        let scope = JoinScope { policy: request.policy.clone(), group: request.group.clone() };
        self.database.add_join_token(&NewJoinToken { hash: token.hash(), scope, uses: request.uses, expires }, now)?;
        Ok(JoinToken { token: token.reveal(), expires })
    }

    /// Keeps the first operator's access in `file`: makes its token where the database knows none or the file is gone, and
    /// writes where the store is now.
    pub(crate) fn keep_access(&self, file: &Path, address: &str, authority: Option<Digest>) -> StoreResult<()> {
        let kept: Option<Access> = read(file)?.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let token = match &kept {
            Some(kept) if self.database.is_operator(&Token::hash_of(&kept.token))? => kept.token.clone(),
            _ => {
                let token = Token::new()?;
                self.database.set_operator(&token.hash(), self.now())?;
                token.reveal()
            }
        };
        let access = Access { store: address.to_owned(), authority, token };
        if kept.as_ref() != Some(&access) {
            let text = serde_json::to_vec_pretty(&access);
            let text = text.map_err(|error| StoreError::trouble("write", "an access file", error))?;
            write_with_mode(file, &text, 0o600)?;
        }
        Ok(())
    }
}
