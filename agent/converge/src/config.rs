//! What the agent is told by files in its configuration directory, and by its environment.
//!
//! - `agent.toml`: what an operator sets. All of it is optional.
//! - `node.toml`: who this node is at its store. Written by `converge enroll`.
//! - `node.key`: the key that it is; see [`crate::identity`].
//! - `secrets.key`: the key to the secrets that are meant for this machine; see [`crate::secrets`].
//! - `join.key`: what is secret of the join string that this node came with.
//! - `allowed_signers`: whose signatures make a revision one that this node runs, in the format of ssh-keygen(1).

use std::path::{Path, PathBuf};

use converge_model::{Digest, Error, ErrorKind, Result, Span};
use converge_system::linux::durable;
use converge_trust::AllowedSigners;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

/// The longest configuration file that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// `agent.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct AgentConfig {
    /// How often the daemon converges.
    pub interval: Span,
    /// After how long a run begins no more resources, and ends with a whole report.
    pub deadline: Option<Span>,
    /// How long after it was read a file is read again although its inode says that nobody wrote to it. Zero: at every run.
    pub reread_files: Span,
    /// How many bytes of reports are kept for a store that cannot be reached.
    pub spool_bytes: u64,
    /// How many reports are kept for it.
    pub spool_reports: usize,
    /// How many of its own reports the machine keeps at least; at most half as many more.
    pub keep_reports: usize,
    /// Of how many runs that changed something `converge undo` can put back what they overwrote; 0 keeps nothing.
    pub undo_runs: usize,
    /// How many bytes of what was overwritten are kept, of one run and of all of them together.
    pub undo_bytes: u64,
    /// The longest file that is kept when it is overwritten, in bytes. A longer one cannot be put back.
    pub undo_file_bytes: u64,
    /// How many trusted signers must have signed a revision.
    pub signatures: u32,
    /// The only group that the store may put this node in; any where it does not say.
    pub group: Option<String>,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            interval: Span::seconds(30 * 60),
            deadline: None,
            reread_files: Span::seconds(24 * 60 * 60),
            spool_bytes: 64 << 20,
            spool_reports: 10_000,
            keep_reports: 50,
            undo_runs: 50,
            undo_bytes: 256 << 20,
            undo_file_bytes: 16 << 20,
            signatures: 1,
            group: None,
        }
    }
}

/// `node.toml`: who this node is at its store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NodeIdentity {
    /// The store's address.
    pub store: String,
    /// The node's name.
    pub name: String,
    /// The policy that it enrolled for: the store cannot move it to another.
    pub policy: String,
    /// The identity of the store, which requests are bound to.
    pub store_identity: String,
    /// The digest of the certificate of the store's authority; without it, whom the system trusts is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<Digest>,
    /// How many of the trusted signers must have signed a revision, where agent.toml does not ask for more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u32>,
}

/// The configuration directory.
#[derive(Clone, Debug)]
pub(crate) struct ConfigDir(PathBuf);

impl ConfigDir {
    /// The directory at `path`, which need not exist.
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// Where the admin's own facts are.
    pub(crate) fn facts_directory(&self) -> PathBuf {
        self.0.join("facts.d")
    }

    /// Where the node's identity is.
    pub(crate) fn node_file(&self) -> PathBuf {
        self.0.join("node.toml")
    }

    /// Where the signers are whom this node trusts.
    pub(crate) fn signers_file(&self) -> PathBuf {
        self.0.join("allowed_signers")
    }

    /// Where its key is.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.0.join("node.key")
    }

    /// Where the key to its secrets is.
    pub(crate) fn secrets_key_file(&self) -> PathBuf {
        self.0.join("secrets.key")
    }

    /// Where that is which was secret of its join string.
    pub(crate) fn join_file(&self) -> PathBuf {
        self.0.join("join.key")
    }

    /// Makes the directory, where it is not there.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn create(&self) -> Result<()> {
        durable::create_directory(&self.0, 0o755)
    }

    /// Where it is remembered which revisions this node ran, beside the state that may be deleted.
    pub(crate) fn highest_file(&self) -> PathBuf {
        self.0.join("highest.json")
    }

    /// The signers whom this node trusts.
    ///
    /// # Errors
    /// Where the file is not there, or says what cannot be understood: without it nothing is run that a store gives.
    pub(crate) fn signers(&self) -> Result<AllowedSigners> {
        let path = self.signers_file();
        match read_signers(&path)? {
            Some(signers) => Ok(signers),
            None => {
                let cause = "it is not there, and without it this node trusts nobody";
                Err(Error::new(ErrorKind::NotFound, "read", path.display(), cause).with_hint(
                    "put the signers of the policy there, as ssh-keygen(1) describes them under ALLOWED SIGNERS, or enrol \
                     with a join string that names them",
                ))
            }
        }
    }

    /// Writes down whom this node trusts.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn write_signers(&self, text: &str) -> Result<()> {
        self.create()?;
        durable::write(&self.signers_file(), text.as_bytes(), 0o644)
    }

    /// What `agent.toml` says; the defaults where there is none.
    ///
    /// # Errors
    /// Where it cannot be read, or says what it must not.
    pub(crate) fn agent(&self) -> Result<AgentConfig> {
        let path = self.0.join("agent.toml");
        let config: AgentConfig = read_toml(&path)?.unwrap_or_default();
        if config.signatures == 0 {
            let cause = "`signatures` is 0: a revision that nobody signed is never run";
            return Err(Error::new(ErrorKind::Invalid, "read", path.display(), cause).with_hint("say 1 or more"));
        }
        Ok(config)
    }

    /// Who this node is; nothing where it never enrolled.
    ///
    /// # Errors
    /// Where `node.toml` cannot be read, or is not one.
    pub(crate) fn node(&self) -> Result<Option<NodeIdentity>> {
        read_toml(&self.node_file())
    }

    /// The error that this machine is no node.
    pub(crate) fn not_a_node(&self) -> Error {
        let cause = format!("this machine is no node of a store ({} is not there)", self.node_file().display());
        Error::new(ErrorKind::Invalid, "find", "the policy of this machine", cause)
            .with_hint("enrol it with `converge enroll`, or name a policy with --policy")
    }

    /// Writes who this node is, readable for root only.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn write_node(&self, identity: &NodeIdentity) -> Result<()> {
        let body = toml::to_string(identity)
            .map_err(|error| Error::new(ErrorKind::Failed, "write", self.node_file().display(), error))?;
        let text = format!("# Written by `converge enroll`.\n{body}");
        self.create()?;
        durable::write(&self.node_file(), text.as_bytes(), 0o600)
    }
}

/// The signers in a file; nothing where there is none.
///
/// # Errors
/// Where it cannot be read or understood.
pub(crate) fn read_signers(path: &Path) -> Result<Option<AllowedSigners>> {
    durable::read(path, LONGEST)?.map(|bytes| parse_signers(&bytes, path)).transpose()
}

fn parse_signers(bytes: &[u8], path: &Path) -> Result<AllowedSigners> {
    let text = std::str::from_utf8(bytes);
    let text = text.map_err(|error| Error::new(ErrorKind::Invalid, "read", path.display(), error))?;
    AllowedSigners::parse(text, &TimeZone::system(), &path.display().to_string())
}

/// A TOML file as a value; nothing where there is none.
///
/// # Errors
/// Where it cannot be read, or does not hold a `T`.
pub(crate) fn read_toml<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(bytes) = durable::read(path, LONGEST)? else { return Ok(None) };
    let wrong = |cause: String| {
        Error::new(ErrorKind::Invalid, "read", path.display(), cause).with_hint("mend the file, or remove it")
    };
    let text = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
    toml::from_str(&text).map(Some).map_err(|error| wrong(error.to_string().trim_end().to_owned()))
}
