//! The key that decrypts what is meant for this machine: an age identity in `secrets.key` of the configuration directory.

use converge_model::{Error, ErrorKind, Result};
use converge_system::linux::durable;
use converge_trust::age::{Identity, Recipient};
use zeroize::Zeroizing;

use crate::config::ConfigDir;

/// The longest key file, in bytes.
const LONGEST_FILE: u64 = 64 << 10;

/// The keys of this machine. The first is its own; an administrator may have added others.
#[derive(Debug)]
pub(crate) struct MachineIdentity(Vec<Identity>);

impl MachineIdentity {
    /// The keys in a configuration directory; nothing where there is no file.
    ///
    /// # Errors
    /// Where the file cannot be read, or holds no key.
    pub(crate) fn read(config: &ConfigDir) -> Result<Option<Self>> {
        let file = config.secrets_key_file();
        let Some(bytes) = durable::read(&file, LONGEST_FILE)? else { return Ok(None) };
        let bytes = Zeroizing::new(bytes);
        let text = std::str::from_utf8(&bytes).unwrap_or_default();
        Identity::of_file(text).map(Self).map(Some).map_err(|error| {
            Error::new(ErrorKind::Invalid, "read", file.display(), error.cause).with_hint(
                "remove the file to get another key: what was encrypted for the old one has to be granted anew",
            )
        })
    }

    /// The same; where there is none, a key is made.
    ///
    /// # Errors
    /// Where it cannot be read or written.
    pub(crate) fn read_or_make(config: &ConfigDir) -> Result<Self> {
        if let Some(identity) = Self::read(config)? {
            return Ok(identity);
        }
        config.create()?;
        let made = Identity::generate()?;
        let text = Zeroizing::new(format!(
            "# The key to this machine's secrets: age1… is {}\n{}\n",
            made.recipient()?,
            *made.to_text()
        ));
        durable::write(&config.secrets_key_file(), text.as_bytes(), 0o600)?;
        Ok(Self(vec![made]))
    }

    /// To whom to encrypt what is meant for this machine.
    ///
    /// # Errors
    /// Where its key cannot be used.
    pub(crate) fn own(&self) -> Result<Recipient> {
        let own = self.0.first().map(Identity::recipient);
        own.unwrap_or_else(|| Err(Error::new(ErrorKind::Invalid, "use", "an age key", "there is none")))
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<&Identity> {
        self.0.iter().collect()
    }
}
