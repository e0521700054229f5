//! Tokens: 256 random bits that only their holder knows; the store keeps their hash.
#![expect(clippy::disallowed_methods, reason = "the operator's token file in the store's own data directory")]

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use converge_model::{Digest, Error, ErrorKind, Result, Timestamp};
use converge_protocol::limits::check_name;
use converge_protocol::{JoinToken, JoinTokenRequest};

use super::App;
use crate::error::{StoreError, StoreResult};
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
            Err(StoreError::unauthorized("this needs the operator's token; give its file with --token-file"))
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

    /// Makes the operator's token where the database knows none, or its file is gone.
    pub(super) fn make_operator_token(&self, file: &Path) -> StoreResult<()> {
        if self.database.has_operator()? && file.exists() {
            return Ok(());
        }
        let token = Token::new()?;
        self.database.set_operator(&token.hash(), self.now())?;
        write_private(file, &format!("{}\n", token.reveal()))?;
        Ok(())
    }
}

/// Makes a directory that only its owner enters, where it is not there.
pub(super) fn private_directory(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Error::io("make", path.display(), &error))
}

/// Takes a data directory for this process.
pub(super) fn lock(path: &Path) -> Result<File> {
    let trouble = |error: std::io::Error| Error::io("lock", path.display(), &error);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(trouble)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let cause = "another store runs on this data directory";
            Err(Error::new(ErrorKind::Busy, "lock", path.display(), cause)
                .with_hint("stop that one first, or give this one a directory of its own with --data"))
        }
        Err(TryLockError::Error(error)) => Err(trouble(error)),
    }
}

/// Writes a file that only its owner reads, in one step.
fn write_private(path: &Path, text: &str) -> Result<()> {
    let new = path.with_extension("new");
    let written = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)
    };
    written().map_err(|error| Error::io("write", path.display(), &error))
}
