//! Secrets of a policy that comes from this machine's disk: files of its repository that are encrypted for this machine.
//!
//! The secret `db/password` is what `secrets/db/password.age` holds, but for one newline at its end; where there is no such
//! file, it is `password` in the TOML document that `secrets/db.age` holds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use converge_model::{Error, ErrorKind, Result};
use converge_system::linux::durable;
use converge_trust::age;
use zeroize::Zeroizing;

use super::{LONGEST, MachineIdentity, Values, text_of, unknown};
use crate::config::ConfigDir;

/// The longest file, in bytes.
const LONGEST_FILE: u64 = 1 << 20;
/// Where in a policy repository they are.
const DIRECTORY: &str = "secrets";

/// Secrets below a directory.
pub(crate) struct LocalSecrets {
    directory: PathBuf,
    config: ConfigDir,
}

impl LocalSecrets {
    /// Those of the policy repository or compiled policy in `root`.
    pub(crate) fn new(root: &Path, config: ConfigDir) -> Self {
        Self { directory: root.join(DIRECTORY), config }
    }

    /// The values of these secrets.
    pub(crate) fn read<'n>(&self, names: impl Iterator<Item = &'n String>) -> Values {
        let identity = MachineIdentity::read(&self.config).and_then(|identity| {
            let file = self.config.secrets_key_file();
            identity.ok_or_else(|| {
                Error::new(
                    ErrorKind::NotFound,
                    "read",
                    file.display(),
                    "it is not there, and without it nothing is decrypted",
                )
                .with_hint("`converge secret recipient` makes it, and says whom to encrypt to")
            })
        });
        let mut documents = BTreeMap::new();
        let values = names.map(|name| {
            let value = match &identity {
                Ok(identity) => self.value(name, identity, &mut documents),
                Err(error) => Err(error.clone()),
            };
            (name.clone(), value)
        });
        values.collect()
    }

    fn value(
        &self,
        name: &str,
        identity: &MachineIdentity,
        documents: &mut BTreeMap<String, Option<toml::Table>>,
    ) -> Result<Zeroizing<String>> {
        if let Some(bytes) = self.decrypt(name, identity)? {
            return text_of(name, bytes.strip_suffix(b"\n").unwrap_or(&bytes));
        }
        let nowhere = || {
            let cause = format!("there is no {}", self.file(name).display());
            unknown(name, &cause)
                .with_hint(format!("encrypt it there, with `age -r RECIPIENT` (at most {LONGEST} bytes)"))
        };
        let (document, keys) = name.split_once('/').ok_or_else(nowhere)?;
        if !documents.contains_key(document) {
            let read = self.decrypt(document, identity)?.map(|bytes| self.table(document, &bytes)).transpose()?;
            documents.insert(document.to_owned(), read);
        }
        let table = documents.get(document).and_then(Option::as_ref).ok_or_else(nowhere)?;
        let mut words = keys.split('/');
        let first = words.next().and_then(|word| table.get(word));
        match words.fold(first, |found, word| found.and_then(|found| found.get(word))) {
            Some(toml::Value::String(value)) => text_of(name, value.as_bytes()),
            Some(_) => Err(unknown(name, &format!("in {} it is not text", self.file(document).display()))),
            None => Err(unknown(name, &format!("{} does not have it", self.file(document).display()))),
        }
    }

    fn decrypt(&self, name: &str, identity: &MachineIdentity) -> Result<Option<Zeroizing<Vec<u8>>>> {
        let file = self.file(name);
        let Some(sealed) = durable::read(&file, LONGEST_FILE)? else { return Ok(None) };
        let opened = age::decrypt(&identity.all(), &sealed);
        opened.map(Some).map_err(|error| {
            Error::new(error.kind, "decrypt", file.display(), error.cause)
                .with_hint("encrypt it for this machine too: `converge secret recipient` says whom to encrypt to")
        })
    }

    /// A document of several secrets. What is wrong with it is not quoted: it holds secrets.
    fn table(&self, name: &str, bytes: &[u8]) -> Result<toml::Table> {
        let text = std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok());
        let file = self.file(name);
        text.ok_or_else(|| {
            Error::new(ErrorKind::Invalid, "read", file.display(), "what it holds is not a TOML document")
        })
    }

    /// Names are words with slashes between them, so that none leads out of the directory.
    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.age"))
    }
}
