//! The secrets of a run: read before the policy is bound, only where it names some, held in memory, and nowhere else in clear.

pub(crate) mod given;
mod identity;
mod keeper;
mod local;

use std::collections::BTreeMap;

use converge_model::{Error, ErrorKind, Graph, Result};
use converge_policy::expression::{SecretReader, Secrets};
use nix::sys::resource::{Resource, setrlimit};
use zeroize::Zeroizing;

pub(crate) use identity::MachineIdentity;
pub(crate) use keeper::{Keeper, Standing};
pub(crate) use local::LocalSecrets;

/// The longest secret, in bytes.
pub(crate) const LONGEST: usize = 64 << 10;

/// The values of secrets, or why there is none. Wiped when they go.
pub(crate) type Values = BTreeMap<String, Result<Zeroizing<String>>>;

/// Secrets that were read.
struct Held(Values);

impl SecretReader for Held {
    fn read(&self, name: &str) -> Result<String> {
        match self.0.get(name) {
            Some(Ok(value)) => Ok(value.to_string()),
            Some(Err(error)) => Err(error.clone()),
            // The compiler lists every name that can be asked for.
            None => Err(unknown(name, "the policy was compiled without it")),
        }
    }
}

/// What expressions of `graph` see as secrets, of the values that `read` gives for the names that it uses. Where it uses none,
/// nothing is read.
pub(crate) fn of_graph(graph: &Graph, read: impl FnOnce() -> Values) -> Secrets {
    if graph.secrets.is_empty() {
        return Secrets::default();
    }
    keep_out_of_core_dumps();
    Secrets::of(std::sync::Arc::new(Held(read())))
}

/// What was in memory when this process crashes is written nowhere.
pub(crate) fn keep_out_of_core_dumps() {
    // Who is not root would lose the way to its own open files under /proc with the first, which goes for dumps through a
    // pipe too; and what it starts inherits the second.
    let kept = match nix::unistd::geteuid().is_root() {
        true => nix::sys::prctl::set_dumpable(false),
        false => setrlimit(Resource::RLIMIT_CORE, 0, 0),
    };
    if let Err(error) = kept {
        tracing::warn!(%error, "this process may leave secrets in a core dump");
    }
}

/// That a secret is not to be had.
pub(crate) fn unknown(name: &str, cause: &str) -> Error {
    Error::new(ErrorKind::NotFound, "read", format!("the secret {name}"), cause)
}

/// A value as text.
pub(crate) fn text_of(name: &str, bytes: &[u8]) -> Result<Zeroizing<String>> {
    let wrong = |cause: &str| Error::new(ErrorKind::Invalid, "use", format!("the secret {name}"), cause);
    if bytes.len() > LONGEST {
        return Err(wrong(&format!("it has {} bytes, and {LONGEST} are allowed", bytes.len())));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| {
        wrong("it is not text").with_hint("keep it as Base64, and write `secret(\"…\") | b64decode` where that is text")
    })?;
    Ok(Zeroizing::new(text.to_owned()))
}
