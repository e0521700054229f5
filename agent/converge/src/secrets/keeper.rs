//! The operators' side: who keeps the key to all secrets, and decides who gets which.
//!
//! Nothing that the store says makes a reader of anybody: a recipient is a node's where the node's join string vouches for it,
//! within what that was for, or where an operator granted it by hand.
#![expect(clippy::disallowed_methods, reason = "where a user's own configuration is, only the environment knows")]

use std::path::PathBuf;

use converge_model::{Clock, Error, ErrorKind, Result};
use converge_protocol::secrets::{JoinScope, MoreKeys, RuleChange, RuleKey, RuleNode, RuleView, SecretsDocument};
use converge_system::linux::durable;
use converge_trust::SigningKey;
use converge_trust::age::{Identity, Recipient};
use converge_trust::secrets::{JoinSecret, KeeperKey, open_value, seal_value, wrap};
use zeroize::Zeroizing;

use super::keep_out_of_core_dumps;
use crate::cli::KeeperArgs;
use crate::client::StoreClient;
use crate::clock::MachineClock;

/// The longest key file, in bytes.
const LONGEST: u64 = 4096;

/// Who has the operators' key.
pub(crate) struct Keeper(KeeperKey);

/// Whether a node may have the key of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It gave no recipient yet: it never asked for a secret.
    Silent,
    /// An operator said that it must not.
    Excluded,
    /// Nothing but the store says that the recipient is its own, or that it belongs to the rule.
    Unproven,
    /// It may.
    Good,
}

impl Keeper {
    /// Where the key is.
    pub(crate) fn file(args: &KeeperArgs) -> PathBuf {
        if let Some(file) = &args.keeper {
            return file.clone();
        }
        let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        let config = config.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")));
        config.unwrap_or_else(|| PathBuf::from("/root/.config")).join("converge/keeper.key")
    }

    /// Makes the key. One that is there stays: without it nobody decrypts anything.
    ///
    /// # Errors
    /// Where there is one, or it cannot be written.
    pub(crate) fn make(args: &KeeperArgs) -> Result<PathBuf> {
        let file = Self::file(args);
        if durable::read(&file, LONGEST)?.is_some() {
            let error = Error::new(ErrorKind::Invalid, "make", file.display(), "it is there already");
            return Err(error.with_hint("use it; or move it away, if no secret is encrypted with it any more"));
        }
        let directory = std::path::absolute(&file).ok().and_then(|file| file.parent().map(std::path::Path::to_owned));
        directory.map_or(Ok(()), |directory| durable::create_directory(&directory, 0o700))?;
        durable::write(&file, KeeperKey::generate()?.to_text().as_bytes(), 0o600)?;
        Ok(file)
    }

    /// Who has the key; nothing where it is not there.
    ///
    /// # Errors
    /// Where it cannot be read, or is none.
    pub(crate) fn read(args: &KeeperArgs) -> Result<Option<Self>> {
        let file = Self::file(args);
        let Some(bytes) = durable::read(&file, LONGEST)?.map(Zeroizing::new) else {
            return match &args.keeper {
                Some(file) => Err(Error::new(ErrorKind::Invalid, "read", file.display(), "it is not there")),
                None => Ok(None),
            };
        };
        keep_out_of_core_dumps();
        let key = KeeperKey::from_text(std::str::from_utf8(&bytes).unwrap_or_default());
        key.map(|key| Some(Self(key))).map_err(|error| Error::new(error.kind, "read", file.display(), error.cause))
    }

    /// The same, where it has to be there.
    ///
    /// # Errors
    /// Also where it is not there.
    pub(crate) fn required(args: &KeeperArgs) -> Result<Self> {
        Self::read(args)?.ok_or_else(|| {
            let file = Self::file(args);
            let cause = "it is not there, and without it nobody sets a secret";
            Error::new(ErrorKind::Invalid, "read", file.display(), cause)
                .with_hint("make it with `converge secret init`, or copy that of another operator")
        })
    }

    /// What is secret of a new join string.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn new_join(&self, policy: &str, group: &str, tags: &[String]) -> Result<JoinSecret> {
        self.0.new_join(policy, group, tags)
    }

    /// The document of a rule, if somebody with this key made it.
    ///
    /// # Errors
    /// Where nobody did.
    pub(crate) fn open(&self, view: &RuleView) -> Result<SecretsDocument> {
        self.0.open(&view.signed)
    }

    /// The key of a rule, and whom to encrypt its values to.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub(crate) fn key_of(&self, rule: &str, epoch: u64) -> Result<(Identity, Recipient)> {
        let key = self.0.rule(rule, epoch)?;
        let recipient = key.recipient()?;
        Ok((key, recipient))
    }

    /// Whether a node may have the key of a rule.
    pub(crate) fn standing(&self, document: &SecretsDocument, excluded: &[String], node: &RuleNode) -> Standing {
        let Some(recipient) = &node.recipient else { return Standing::Silent };
        if document.excluded.contains(recipient) || excluded.contains(&node.node) {
            return Standing::Excluded;
        }
        let is_granted = document.granted.get(&node.node) == Some(recipient);
        let is_vouched = || {
            node.voucher.as_ref().is_some_and(|voucher| {
                let JoinScope { policy, group, tags, .. } = &voucher.join;
                document.nodes.means(policy, group, tags) && self.0.is_vouched(&node.node, recipient, voucher)
            })
        };
        if is_granted || is_vouched() { Standing::Good } else { Standing::Unproven }
    }

    /// The rule's key for the nodes that may have it; `all` of them, or those that lack it.
    ///
    /// # Errors
    /// Where one cannot be encrypted.
    pub(crate) fn keys_for_nodes(
        &self,
        document: &SecretsDocument,
        view: &RuleView,
        all: bool,
        excluded: &[String],
    ) -> Result<Vec<RuleKey>> {
        let (key, _) = self.key_of(&document.rule, document.epoch)?;
        let good =
            |node: &&RuleNode| (all || !node.has_key) && self.standing(document, excluded, node) == Standing::Good;
        let recipients = view.nodes.iter().filter(good).filter_map(|node| node.recipient.as_deref()?.parse().ok());
        recipients.map(|recipient| wrap(&key, recipient)).collect()
    }

    /// The rule's key for who joins with these strings, as far as they are for nodes that the rule means.
    ///
    /// # Errors
    /// Where one cannot be encrypted.
    pub(crate) fn keys_for_joins<'j>(
        &self,
        document: &SecretsDocument,
        joins: impl Iterator<Item = &'j JoinScope>,
    ) -> Result<Vec<RuleKey>> {
        let (key, _) = self.key_of(&document.rule, document.epoch)?;
        let meant = joins.filter(|join| document.nodes.means(&join.policy, &join.group, &join.tags));
        meant.map(|join| wrap(&key, self.0.join(join)?.identity()?.recipient()?)).collect()
    }

    /// Gives who joins with a string the keys of the rules that mean them. Says for how many rules.
    ///
    /// # Errors
    /// Where the store does not take one, or has a rule that nobody made who has this key.
    pub(crate) fn admit_join(&self, store: &StoreClient, join: &JoinScope) -> Result<usize> {
        let mut count = 0;
        for view in store.secret_rules()? {
            let document = self.open(&view)?;
            let keys = self.keys_for_joins(&document, std::iter::once(join))?;
            if !keys.is_empty() {
                store.add_secret_keys(&document.rule, &MoreKeys { epoch: document.epoch, keys })?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// Makes a document the next one, and gives the serial that it had.
    pub(crate) fn begin_next(document: &mut SecretsDocument) -> u64 {
        let before = document.serial;
        document.made = MachineClock.now();
        document.serial = Self::next(before);
        before
    }

    /// What comes after a serial or an epoch. They grow with the time, so that what follows a store's older copy, or a rule
    /// that was removed, is newer than all that there was before.
    pub(crate) fn next(before: u64) -> u64 {
        let seconds = u64::try_from(MachineClock.now().0 / 1_000).unwrap_or_default();
        (before + 1).max(seconds)
    }

    /// Encrypts the values of a document anew, for the key of its next epoch.
    ///
    /// # Errors
    /// Where one cannot be decrypted or encrypted.
    pub(crate) fn rotate(&self, document: &mut SecretsDocument) -> Result<()> {
        let (old, _) = self.key_of(&document.rule, document.epoch)?;
        let epoch = Self::next(document.epoch);
        let (_, to) = self.key_of(&document.rule, epoch)?;
        let names: Vec<String> = document.secrets.keys().cloned().collect();
        for name in names {
            let value = open_value(&old, document, &name)?;
            if let Some(secret) = document.secrets.get_mut(&name) {
                secret.sealed = seal_value(to, &document.rule, &name, document.serial, &value)?;
                secret.serial = document.serial;
            }
        }
        document.epoch = epoch;
        document.recipient = to.to_string();
        Ok(())
    }

    /// Signs a document and has the store keep it, with keys, where that still has the serial `after`.
    ///
    /// # Errors
    /// Where it cannot be signed, or the store does not take it.
    pub(crate) fn publish(
        &self,
        store: &StoreClient,
        (document, after): (&mut SecretsDocument, u64),
        keys: Vec<RuleKey>,
        key: &SigningKey,
    ) -> Result<()> {
        let signed = self.0.publish(document, key)?;
        store.set_secret_rule(&document.rule, &RuleChange { after, signed, keys })
    }
}
