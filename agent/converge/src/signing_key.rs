//! The key that an author signs with: a file, or what his SSH agent has. Nothing of a private key is ever printed.
#![expect(clippy::disallowed_methods, reason = "where a user's agent and home are, only the environment knows")]

use std::path::{Path, PathBuf};

use converge_model::{Error, ErrorKind, Result};
use converge_system::linux::durable;
use converge_trust::{KeyFile, PublicKey, SigningKey, SshAgent};

/// The longest key file that is read, in bytes.
const LONGEST: u64 = 64 << 10;

/// The key in the file that was named, or the only one of the agent.
///
/// # Errors
/// Where the file holds no key, or it needs an agent that does not have it; where no file was named, and the agent does not
/// have exactly one key.
pub(crate) fn find(named: Option<&Path>) -> Result<SigningKey> {
    let Some(named) = named else { return only_one(&agent()?) };
    let path = at_home(named);
    let wrong =
        |cause: String| Error::new(ErrorKind::Invalid, "sign with", format!("the key in {}", path.display()), cause);
    let bytes = durable::read(&path, LONGEST)?;
    let bytes = bytes.ok_or_else(|| wrong("there is no such file".to_owned()).with_hint(MAKE_ONE))?;
    match KeyFile::parse(&bytes).map_err(|cause| wrong(cause).with_hint(MAKE_ONE))? {
        KeyFile::Open(key) => Ok(key),
        KeyFile::Locked(key) => held_by_agent(&key).map_err(|why| {
            wrong(format!("it is protected by a password, and {why}"))
                .with_hint(format!("let an agent ask for the password: ssh-add {}", path.display()))
        }),
        KeyFile::Public(key) => held_by_agent(&key).map_err(|why| {
            wrong(format!("it is a public key or that of hardware, and {why}"))
                .with_hint("give the private key to the agent with `ssh-add`, or name its file")
        }),
    }
}

const MAKE_ONE: &str = "name a private key of OpenSSH's; `ssh-keygen -t ed25519 -f FILE` makes one";

fn held_by_agent(key: &PublicKey) -> Result<SigningKey, String> {
    let agent = agent().map_err(|error| error.cause)?;
    let keys = agent.keys().map_err(|error| error.to_string())?;
    if keys.iter().any(|held| held.key == *key) {
        Ok(SigningKey::at_agent(agent, key.clone()))
    } else {
        Err(format!("the agent has no key {key}"))
    }
}

fn only_one(agent: &SshAgent) -> Result<SigningKey> {
    let keys = agent.keys()?;
    if let [only] = keys.as_slice() {
        return Ok(SigningKey::at_agent(agent.clone(), only.key.clone()));
    }
    let cause = if keys.is_empty() {
        "the SSH agent has no key".to_owned()
    } else {
        let names: Vec<String> = keys.iter().map(|key| format!("{} {}", key.key, key.comment)).collect();
        format!("the SSH agent has {} keys: {}", keys.len(), names.join(", "))
    };
    Err(no_key(cause))
}

fn agent() -> Result<SshAgent> {
    let socket = std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty());
    let socket =
        socket.ok_or_else(|| no_key("no key was named, and no SSH agent runs (SSH_AUTH_SOCK is not set)".into()))?;
    Ok(SshAgent::at(Path::new(&socket)))
}

fn no_key(cause: String) -> Error {
    Error::new(ErrorKind::Invalid, "find", "the key to sign with", cause)
        .with_hint("name it with --key FILE or `signing_key` in converge.toml: a private key, or the public one of a key that the agent has")
}

/// A path that may begin with `~/`, wherever that stands in a repository.
fn at_home(path: &Path) -> PathBuf {
    let text = path.to_string_lossy();
    match (text.rsplit_once("~/"), std::env::var_os("HOME")) {
        (Some((before, rest)), Some(home)) if before.is_empty() || before.ends_with('/') => Path::new(&home).join(rest),
        _ => path.to_owned(),
    }
}
