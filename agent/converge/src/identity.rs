//! What a node signs its requests with: its key, the next one while it is being changed, and the store's time where the
//! machine's own is wrong.
//!
//! - `node.key` in the configuration directory: the key, for its owner only.
//! - `node.key.next`: the key that is to take its place, until the store has taken it.
//! - `node.key.previous`: the key that was before it. A store that was restored from a copy of an earlier day knows that one, and
//!   whoever answered for the store when the key was changed may have told it nothing.
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
    previous: Option<NodeKey>,
}

impl NodeKeys {
    /// The keys in a configuration directory; nothing where there is none.
    ///
    /// # Errors
    /// Where one cannot be read, or is none.
    pub(crate) fn read(config: &ConfigDir) -> Result<Option<Self>> {
        let file = config.key_file();
        let Some(current) = read_key(&file)? else { return Ok(None) };
        let (next, previous) = (read_key(&next_file(&file))?, read_key(&previous_file(&file))?);
        Ok(Some(Self { file, current, next, previous }))
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
        let keys = Self { file: config.key_file(), current: NodeKey::generate()?, next: None, previous: None };
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
            durable::write(&previous_file(&self.file), self.current.to_text().as_bytes(), 0o600)?;
            durable::write(&self.file, next.to_text().as_bytes(), 0o600)?;
            durable::remove(&next_file(&self.file))?;
            self.previous = Some(std::mem::replace(&mut self.current, next));
        }
        Ok(())
    }

    /// Makes the previous key the key again, as it is the one that the store knows. The other may be the next one still.
    ///
    /// # Errors
    /// Where it cannot be written.
    fn go_back(&mut self) -> Result<()> {
        if let Some(previous) = self.previous.take() {
            durable::write(&next_file(&self.file), self.current.to_text().as_bytes(), 0o600)?;
            durable::write(&self.file, previous.to_text().as_bytes(), 0o600)?;
            durable::remove(&previous_file(&self.file))?;
            self.next = Some(std::mem::replace(&mut self.current, previous));
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
                self.previous = None;
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

fn previous_file(file: &Path) -> PathBuf {
    file.with_extension("key.previous")
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
    with: With,
    /// By how many milliseconds the store's clock is ahead.
    ahead: i64,
}

/// Which key to sign with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum With {
    #[default]
    Current,
    /// The store may have taken it, and the answer was lost.
    Next,
    /// The store may never have heard of the one after it.
    Previous,
}

impl Changing {
    /// The key to sign with.
    fn key(&self) -> &NodeKey {
        let NodeKeys { current, next, previous, .. } = &self.keys;
        let other = match self.with {
            With::Current => None,
            With::Next => next.as_ref(),
            With::Previous => previous.as_ref(),
        };
        other.unwrap_or(current)
    }

    /// Signs with another key than the one that was refused, and says whether there is one that was not tried since the last
    /// request that was taken.
    fn try_another(&mut self) -> bool {
        self.with = match self.with {
            With::Current if self.keys.next.is_some() => With::Next,
            With::Current | With::Next if self.keys.previous.is_some() => With::Previous,
            // The next request begins anew.
            With::Current | With::Next | With::Previous => {
                self.with = With::Current;
                return self.keys.follow();
            }
        };
        true
    }
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
        let changing = Mutex::new(Changing { keys, with: With::Current, ahead });
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
        let now = Timestamp(MachineClock.now().0.saturating_add(changing.ahead));
        let asked = Asked { store: &self.store, method, target };
        Ok(RequestToken::sign(changing.key(), &self.name, asked, Digest::of(body), now, nonce).header())
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
            (WRONG_KEY, _) => changing.try_another(),
            _ => false,
        }
    }

    /// A request was taken: where it was signed with the next key, or the previous one, that is the key from now on.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn was_taken(&self) -> Result<()> {
        let mut changing = self.changing();
        match std::mem::take(&mut changing.with) {
            With::Current => Ok(()),
            With::Next => changing.keys.promote(),
            With::Previous => changing.keys.go_back(),
        }
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
    fn a_store_that_never_heard_of_the_new_key_is_asked_with_the_one_before() {
        let (directory, signer, first) = signer();
        let config = ConfigDir::new(directory.path());
        let next = signer.with_keys(|keys| keys.prepare_next().unwrap().public());
        signer.with_keys(NodeKeys::promote).unwrap();
        let refusal = Problem::new(401, WRONG_KEY, "Not the node's key");
        let verifies = |key: &converge_trust::node_key::NodePublicKey| {
            let token = RequestToken::parse(&signer.sign("GET", "/v1/node", b"").unwrap()).unwrap();
            let asked = Asked { store: "store", method: "GET", target: "/v1/node" };
            token.verify(key, asked, MachineClock.now()).is_ok()
        };
        assert!(verifies(&next) && signer.learn(&refusal) && verifies(&first));
        assert!(!signer.learn(&refusal) && verifies(&next), "each was tried, and the next request begins anew");
        assert!(signer.learn(&refusal) && signer.was_taken().is_ok() && verifies(&first));
        // The other one is still tried where this one is not the store's any more, by any process.
        let mut keys = NodeKeys::read(&config).unwrap().unwrap();
        assert_eq!((keys.current().public(), keys.prepare_next().unwrap().public()), (first, next));
        assert!(signer.learn(&refusal) && verifies(&next));
    }

    fn signer() -> (tempfile::TempDir, Signer, converge_trust::node_key::NodePublicKey) {
        let directory = tempfile::tempdir().unwrap();
        let config = ConfigDir::new(directory.path());
        let first = NodeKeys::read_or_make(&config).unwrap().current().public();
        let identity = NodeIdentity {
            store: "https://store.example".into(),
            name: "web-1".into(),
            policy: "web".into(),
            store_identity: "store".into(),
            authority: None,
            threshold: None,
        };
        let signer = Signer::new(&identity, &config, &StateDir::open(directory.path()).unwrap()).unwrap();
        (directory, signer, first)
    }

    #[test]
    fn a_run_goes_on_with_the_key_that_another_process_made_meanwhile() {
        let (directory, signer, _) = signer();
        let mut keys = NodeKeys::read_or_make(&ConfigDir::new(directory.path())).unwrap();
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
