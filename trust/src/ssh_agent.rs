//! An SSH agent, as `SSH_AUTH_SOCK` names one: which keys it has, and what it signs with them.
//!
//! Two questions of the agent protocol (draft-ietf-sshm-ssh-agent) are all that signing needs.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use converge_model::{Error, ErrorKind, Result};

use crate::PublicKey;

/// How long an agent may take to list its keys.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it may take to sign: somebody may have to touch a hardware key, or to type a password.
const PATIENCE_TO_SIGN: Duration = Duration::from_secs(180);
/// The longest message that is taken from an agent, in bytes: as much as OpenSSH takes.
const LONGEST: usize = 256 << 10;

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// A key that an agent has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentKey {
    /// The key.
    pub key: PublicKey,
    /// What stands beside it, for people.
    pub comment: String,
}

/// An agent.
#[derive(Clone, Debug)]
pub struct SshAgent {
    socket: PathBuf,
}

impl SshAgent {
    /// The agent that listens on this socket. Nobody is asked yet.
    pub fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// The keys that it has. Certificates, and keys of a sort that is not known here, are passed over.
    ///
    /// # Errors
    /// Where the agent cannot be reached, or answers what it must not.
    pub fn keys(&self) -> Result<Vec<AgentKey>> {
        let operation = "list the keys of";
        let answer = self.ask(operation, &[REQUEST_IDENTITIES], IDENTITIES_ANSWER, PATIENCE)?;
        self.identities(&answer).ok_or_else(|| self.rubbish(operation))
    }

    /// The agent's signature over `data`, as the agent protocol gives it.
    ///
    /// # Errors
    /// Where the agent cannot be reached, has no such key, or is not allowed to use it.
    pub(crate) fn sign(&self, key: &PublicKey, data: &[u8]) -> Result<ssh_key::Signature> {
        let operation = "sign through";
        let blob = ssh_key::PublicKey::from(key.data().clone()).to_bytes();
        let blob = blob.map_err(|error| self.trouble(operation, error))?;
        let mut request = vec![SIGN_REQUEST];
        for part in [blob.as_slice(), data] {
            request.extend(length(part));
            request.extend(part);
        }
        request.extend([0; 4]);
        let answer = self.ask(operation, &request, SIGN_RESPONSE, PATIENCE_TO_SIGN)?;
        let signature = Reader(&answer).string().and_then(|bytes| ssh_key::Signature::try_from(bytes).ok());
        signature.ok_or_else(|| self.rubbish(operation))
    }

    fn identities(&self, answer: &[u8]) -> Option<Vec<AgentKey>> {
        let mut reader = Reader(answer);
        let count = reader.number()?;
        let mut keys = Vec::new();
        for _ in 0..count {
            let blob = reader.string()?;
            let comment = String::from_utf8_lossy(reader.string()?).into_owned();
            if let Ok(key) = ssh_key::PublicKey::from_bytes(blob) {
                keys.push(AgentKey { key: PublicKey::of(key.key_data()), comment });
            }
        }
        Some(keys)
    }

    fn ask(&self, operation: &str, request: &[u8], wanted: u8, patience: Duration) -> Result<Vec<u8>> {
        let mut answer = self.exchange(request, patience).map_err(|error| self.trouble(operation, error))?;
        match answer.first() {
            Some(kind) if *kind == wanted => {
                answer.remove(0);
                Ok(answer)
            }
            Some(&FAILURE) => Err(Error::new(ErrorKind::Denied, operation, self.name(), "the agent refused")
                .with_hint("`ssh-add -l` shows which keys it has; one may wait for a touch or a confirmation")),
            _ => Err(self.rubbish(operation)),
        }
    }

    fn exchange(&self, request: &[u8], patience: Duration) -> std::io::Result<Vec<u8>> {
        let mut socket = UnixStream::connect(&self.socket)?;
        socket.set_read_timeout(Some(patience))?;
        socket.set_write_timeout(Some(patience))?;
        socket.write_all(&[&length(request), request].concat())?;
        let mut size = [0; 4];
        socket.read_exact(&mut size)?;
        let size = u32::from_be_bytes(size) as usize;
        if size > LONGEST {
            return Err(std::io::Error::other(format!("its answer has {size} bytes")));
        }
        let mut answer = vec![0; size];
        socket.read_exact(&mut answer)?;
        Ok(answer)
    }

    fn name(&self) -> String {
        format!("the SSH agent at {}", self.socket.display())
    }

    fn trouble(&self, operation: &str, cause: impl std::fmt::Display) -> Error {
        Error::new(ErrorKind::Unavailable, operation, self.name(), cause)
            .with_hint("start an agent (`eval $(ssh-agent)`, then `ssh-add`), or name a key file with --key")
    }

    fn rubbish(&self, operation: &str) -> Error {
        Error::new(ErrorKind::Failed, operation, self.name(), "its answer is none of the agent protocol")
    }
}

/// The length of what follows, as the protocol writes it.
fn length(of: &[u8]) -> [u8; 4] {
    u32::try_from(of.len()).unwrap_or(u32::MAX).to_be_bytes()
}

/// Takes an answer apart.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn number(&mut self) -> Option<u32> {
        let (number, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*number))
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = self.number()? as usize;
        let (string, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(string)
    }
}
