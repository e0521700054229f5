//! What a node signs its requests with: its key, the next one while it is being changed, and the store's time where the
//! machine's own is wrong.
//!
//! - `node.key` in the configuration directory: the key, for its owner only.
//! - `node.key.next`: the key that is to take its place, until the store has taken it.
//! - `clock.json` in the state directory: by how much the store's clock is ahead.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use converge_model::{Clock, Digest, Error, ErrorKind, Result, Timestamp};
use converge_protocol::Problem;
use converge_protocol::problem::{WRONG_CLOCK, WRONG_KEY};
use converge_system::linux::durable::{self, Durability};
use converge_trust::node_key::NodeKey;
use converge_trust::request_token::{Asked, RequestToken};

use crate::clock::{MachineClock, random};
use crate::config::{ConfigDir, NodeIdentity};
use crate::state::{Loaded, StateDir, load, save};

/// The longest key file, in bytes.
const LONGEST: u64 = 4096;

/// The keys of a node.
#[derive(Debug)]
pub(crate) struct NodeKeys {
    file: PathBuf,
    current: NodeKey,
    next: Option<NodeKey>,
}

impl NodeKeys {
    /// The keys in a configuration directory; nothing where there is none.
    ///
    /// # Errors
    /// Where one cannot be read, or is none.
    pub(crate) fn read(config: &ConfigDir) -> Result<Option<Self>> {
        let file = config.key_file();
        let Some(current) = read_key(&file)? else { return Ok(None) };
        let next = read_key(&next_file(&file))?;
        Ok(Some(Self { file, current, next }))
    }

    /// The same; where there is none, one is made.
    ///
    /// # Errors
    /// Where one cannot be read or written.
    pub(crate) fn read_or_make(config: &ConfigDir) -> Result<Self> {
        if let Some(keys) = Self::read(config)? {
            return Ok(keys);
        }
        config.create()?;
        let keys = Self { file: config.key_file(), current: NodeKey::generate()?, next: None };
        durable::write(&keys.file, keys.current.to_text().as_bytes(), 0o600)?;
        Ok(keys)
    }

    /// The key.
    pub(crate) fn current(&self) -> &NodeKey {
        &self.current
    }

    /// The key that is to take its place: the one that was begun with, or a new one. It is on disk before it is anywhere
    /// else, so that whatever becomes of the request, the node has the key that the store knows.
    ///
    /// # Errors
    /// Where it cannot be made or written.
    pub(crate) fn prepare_next(&mut self) -> Result<&NodeKey> {
        // One that became the key already is no next one: only its file was not taken away.
        let next = match self.next.take().filter(|next| next.public() != self.current.public()) {
            Some(next) => next,
            None => {
                let next = NodeKey::generate()?;
                durable::write(&next_file(&self.file), next.to_text().as_bytes(), 0o600)?;
                next
            }
        };
        Ok(self.next.insert(next))
    }

    /// Makes the next key the key, as the store did.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn promote(&mut self) -> Result<()> {
        if let Some(next) = self.next.take() {
            durable::write(&self.file, next.to_text().as_bytes(), 0o600)?;
            durable::remove(&next_file(&self.file))?;
            self.current = next;
        }
        Ok(())
    }

    /// Takes over what another process has made of the key meanwhile, and says whether it is another one.
    fn follow(&mut self) -> bool {
        match read_key(&self.file) {
            Ok(Some(current)) if current.public() != self.current.public() => {
                self.current = current;
                // A next one that was begun with is that key by now, or another process's to go on with.
                self.next = None;
                true
            }
            // What was wrong is still what the store says: without another key there is nothing to add.
            Ok(_) | Err(_) => false,
        }
    }
}

fn next_file(file: &Path) -> PathBuf {
    file.with_extension("key.next")
}

fn read_key(file: &Path) -> Result<Option<NodeKey>> {
    let Some(bytes) = durable::read(file, LONGEST)? else { return Ok(None) };
    let key = NodeKey::from_text(&String::from_utf8_lossy(&bytes));
    key.map(Some).map_err(|error| {
        Error::new(ErrorKind::Invalid, "read", file.display(), error.cause)
            .with_hint("remove the file and enrol again with `converge enroll --again`; an operator has to approve it")
    })
}

/// What a node signs requests with.
pub(crate) struct Signer {
    store: String,
    name: String,
    clock_file: PathBuf,
    changing: Mutex<Changing>,
}

struct Changing {
    keys: NodeKeys,
    /// Whether to sign with the next key: the store took it, and the answer was lost.
    with_next: bool,
    /// By how many milliseconds the store's clock is ahead.
    ahead: i64,
}

impl Signer {
    /// The signer of a node.
    ///
    /// # Errors
    /// Where its key cannot be read, or is not there.
    pub(crate) fn new(identity: &NodeIdentity, config: &ConfigDir, state: &StateDir) -> Result<Self> {
        let keys = NodeKeys::read(config)?.ok_or_else(|| {
            let cause = "it is not there, though this machine is a node";
            Error::new(ErrorKind::Invalid, "read", config.key_file().display(), cause)
                .with_hint("enrol again with `converge enroll --again`; an operator has to approve it")
        })?;
        let clock_file = state.path("clock.json");
        let ahead = match load(&clock_file) {
            Loaded::Whole(ahead) => ahead,
            // Without it, the store says again what its time is.
            Loaded::Absent | Loaded::Broken(_) => 0,
        };
        let changing = Mutex::new(Changing { keys, with_next: false, ahead });
        Ok(Self { store: identity.store_identity.clone(), name: identity.name.clone(), clock_file, changing })
    }

    /// The name of the node.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The identity of its store.
    pub(crate) fn store(&self) -> &str {
        &self.store
    }

    /// The value of the header that authorizes a request.
    ///
    /// # Errors
    /// Where the kernel has no randomness to give.
    pub(crate) fn sign(&self, method: &str, target: &str, body: &[u8]) -> Result<String> {
        let mut nonce = [0; 16];
        random(&mut nonce).map_err(|error| Error::new(ErrorKind::Unavailable, "sign", "a request", error))?;
        let changing = self.changing();
        let key = changing.keys.next.as_ref().filter(|_| changing.with_next).unwrap_or(&changing.keys.current);
        let now = Timestamp(MachineClock.now().0.saturating_add(changing.ahead));
        let asked = Asked { store: &self.store, method, target };
        Ok(RequestToken::sign(key, &self.name, asked, Digest::of(body), now, nonce).header())
    }

    /// Learns from a refusal, and says whether asking again is worth it.
    pub(crate) fn learn(&self, refusal: &Problem) -> bool {
        let mut guard = self.changing();
        let changing = &mut *guard;
        match (refusal.kind.as_str(), refusal.time) {
            (WRONG_CLOCK, Some(time)) => {
                changing.ahead = time.0.saturating_sub(MachineClock.now().0);
                // Without the file, the store says so again the next time.
                let _ = save(&self.clock_file, &changing.ahead, Durability::Soon);
                true
            }
            (WRONG_KEY, _) if changing.keys.next.is_some() && !changing.with_next => {
                changing.with_next = true;
                true
            }
            (WRONG_KEY, _) => changing.keys.follow(),
            _ => false,
        }
    }

    /// A request was taken: where it was signed with the next key, that is the key from now on.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn was_taken(&self) -> Result<()> {
        let mut changing = self.changing();
        if std::mem::take(&mut changing.with_next) { changing.keys.promote() } else { Ok(()) }
    }

    /// Does something with the keys.
    pub(crate) fn with_keys<T>(&self, work: impl FnOnce(&mut NodeKeys) -> T) -> T {
        work(&mut self.changing().keys)
    }

    fn changing(&self) -> MutexGuard<'_, Changing> {
        self.changing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_the_store_may_have_taken_is_never_lost() {
        let directory = tempfile::tempdir().unwrap();
        let config = ConfigDir::new(directory.path());
        let mut keys = NodeKeys::read_or_make(&config).unwrap();
        let first = keys.current().public();
        let next = keys.prepare_next().unwrap().public();
        // A process that ends here leaves both; the next one goes on with the same.
        let mut keys = NodeKeys::read_or_make(&config).unwrap();
        assert_eq!((keys.current().public(), keys.prepare_next().unwrap().public()), (first, next));
        keys.promote().unwrap();
        let keys = NodeKeys::read(&config).unwrap().unwrap();
        assert_eq!((keys.current().public(), keys.next.is_none()), (next, true));
        let mode = std::os::unix::fs::PermissionsExt::mode(&config.key_file().metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_run_goes_on_with_the_key_that_another_process_made_meanwhile() {
        let directory = tempfile::tempdir().unwrap();
        let config = ConfigDir::new(directory.path());
        let mut keys = NodeKeys::read_or_make(&config).unwrap();
        let identity = NodeIdentity {
            store: "https://store.example".into(),
            name: "web-1".into(),
            policy: "web".into(),
            store_identity: "store".into(),
            authority: None,
            threshold: None,
        };
        let signer = Signer::new(&identity, &config, &StateDir::open(directory.path()).unwrap()).unwrap();
        let refusal = Problem::new(401, WRONG_KEY, "Not the node's key");
        assert!(!signer.learn(&refusal), "there is no other key");
        let next = keys.prepare_next().unwrap().public();
        keys.promote().unwrap();
        assert!(signer.learn(&refusal));
        let token = RequestToken::parse(&signer.sign("GET", "/v1/node", b"").unwrap()).unwrap();
        let asked = Asked { store: "store", method: "GET", target: "/v1/node" };
        assert_eq!(token.verify(&next, asked, MachineClock.now()), Ok(()));
        assert!(!signer.learn(&refusal), "once for each key");
    }
}
