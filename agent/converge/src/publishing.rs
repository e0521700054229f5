//! Publishing what is in the store already: the next serial, a signature, and another try where somebody else was faster.

use std::path::Path;

use converge_model::{BlobRef, Clock, Error, ErrorKind, Result};
use converge_protocol::policy::MANIFEST_FORMAT;
use converge_protocol::{Manifest, RevisionView, SignedManifest, limits};
use converge_trust::{AllowedSigners, PublicKey, SigningKey, revision};

use crate::cli::AnewArgs;
use crate::client::StoreClient;
use crate::clock::MachineClock;
use crate::console::Console;
use crate::{repository, signing_key};

/// How often somebody else may be faster.
const TRIES: usize = 8;
/// Why nothing is believed but what this author signed.
const ALONE: &str = "this key did not sign it, and no policy repository here says who else is to be believed";

/// What a revision is to hold. For a way back it is what an earlier one held.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    /// The policy.
    pub policy: String,
    /// Its graph.
    pub graph: BlobRef,
    /// The blobs that the graph names, ascending.
    pub blobs: Vec<BlobRef>,
    /// The only groups that it is for, ascending; all where it names none.
    pub groups: Vec<String>,
    /// The commit it was made from.
    pub commit: Option<String>,
}

/// Who publishes.
pub(crate) struct Author {
    /// What he signs with.
    pub key: SigningKey,
    /// Whom the nodes trust, as far as his repository says.
    pub signers: Option<AllowedSigners>,
}

/// A revision as the store gives it, of which only its serial and policy were held against what was asked for.
pub(crate) struct Given {
    /// What it says.
    pub manifest: Manifest,
    signed: SignedManifest,
}

impl Given {
    /// Asks the store for a revision.
    ///
    /// # Errors
    /// Where the store has none, or gives another, or what this software does not understand.
    pub(crate) fn of(store: &StoreClient, policy: &str, serial: u64) -> Result<Self> {
        let signed = store.signed_manifest(policy, serial)?;
        let refuse = |cause| {
            Error::new(ErrorKind::Invalid, "use", format!("revision {serial} of policy {policy}"), cause)
                .with_hint("look who had their hands on the store")
        };
        let manifest = revision::read(&signed.manifest).map_err(refuse)?;
        if manifest.policy != policy || manifest.serial != serial {
            let cause = format!("the store gave revision {} of policy {}", manifest.serial, manifest.policy);
            return Err(refuse(cause));
        }
        Ok(Self { manifest, signed })
    }
}

impl Author {
    /// Who publishes from the directory at hand: with the key that was named, or as the policy repository there says.
    ///
    /// # Errors
    /// Where there is no key to sign with, or a file of the repository cannot be read.
    pub(crate) fn at_hand(named: Option<&Path>) -> Result<Self> {
        let (configured, signers) = repository::signing_around(Path::new("."))?;
        Ok(Self { key: signing_key::find(named.or(configured.as_deref()))?, signers })
    }

    /// Whether what a revision holds may be signed anew: this author signed it, or enough of those whom his repository trusts,
    /// as of now. A store that is under somebody else's control must not choose what is signed.
    ///
    /// # Errors
    /// Where that is not so.
    pub(crate) fn check_anew(&self, given: &Given, threshold: u32) -> Result<()> {
        let Given { manifest, signed } = given;
        let own = self.key.public();
        let is_own = threshold <= 1 && revision::keys(signed).is_ok_and(|keys| keys.contains(&own));
        let checked = match &self.signers {
            _ if is_own => Ok(()),
            Some(signers) => revision::verify(signed, signers, threshold, MachineClock.now()).map(drop),
            None => Err(ALONE.to_owned()),
        };
        checked.map_err(|cause| {
            let subject = format!("what revision {} of policy {} holds", manifest.serial, manifest.policy);
            Error::new(ErrorKind::Denied, "sign anew", subject, cause).with_hint(
                "work in the policy repository, whose allowed_signers says whom to believe; or check out the commit that it \
                 was made from, look at it, and publish that with `converge publish`",
            )
        })
    }

    /// Signs for one group alone what a revision holds that was checked, publishes that, and makes it live there. Says so where
    /// nodes may want more signatures of it than it has.
    ///
    /// # Errors
    /// As [`Author::publish`], and where the store does not make it live.
    pub(crate) fn sign_anew(
        &self,
        store: &StoreClient,
        given: &Given,
        group: &str,
        args: &AnewArgs,
        console: Console,
    ) -> Result<u64> {
        let (held, signatures) = (&given.manifest, given.signed.signatures.len());
        let revision = self.publish(store, &Draft::of(held, group), args.serial)?.serial;
        store.assign(&held.policy, group, revision)?;
        if signatures > 1 || args.threshold > 1 {
            console.note(format_args!(
                "revision {} has {signatures} signatures, and {revision} has one: where nodes want more, the others sign it \
                 with `converge sign {} {revision} --graph {}`",
                held.serial, held.policy, held.graph.digest
            ));
        }
        Ok(revision)
    }

    /// Publishes a draft whose blobs are all in the store, under the next serial, or under `serial`. What is equal to the newest
    /// revision is not published again.
    ///
    /// # Errors
    /// Where the store does not take it, or what it calls the newest revision is not to be believed.
    pub(crate) fn publish(&self, store: &StoreClient, draft: &Draft, serial: Option<u64>) -> Result<RevisionView> {
        let mut tried = 0;
        loop {
            let newest = store.newest_revision(&draft.policy)?;
            if let (Some(newest), None) = (&newest, serial) {
                self.check_newest(store, newest)?;
                if newest.signatures > 0 && draft.is_in(&newest.manifest) {
                    return Ok(newest.clone());
                }
            }
            let before = newest.map_or(0, |newest| newest.serial);
            let next = serial.unwrap_or(before.saturating_add(1));
            if next > limits::SERIAL {
                let cause = format!("the serial {next} is higher than any may be");
                return Err(Error::new(ErrorKind::Invalid, "publish", format!("policy {}", draft.policy), cause));
            }
            let signed = revision::sign(&draft.manifest(next), &self.key)?;
            match store.publish(&draft.policy, &signed) {
                Ok(published) => return Ok(published),
                Err(error) => {
                    tried += 1;
                    let now = store.newest_revision(&draft.policy)?.map_or(0, |newest| newest.serial);
                    // Somebody else took the serial meanwhile.
                    if serial.is_some() || now == before || tried == TRIES {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// Whether the nodes would take what this author signs, as far as his repository says.
    pub(crate) fn is_trusted(&self) -> bool {
        let now = MachineClock.now();
        self.signers.as_ref().is_none_or(|signers| signers.who(&self.key.public(), revision::NAMESPACE, now).is_ok())
    }

    /// A store that is under somebody else's control must not choose the serial: nodes would never again take a lower one.
    /// Where no repository says whom to believe, this author believes himself alone.
    fn check_newest(&self, store: &StoreClient, newest: &RevisionView) -> Result<()> {
        let signed = store.signed_manifest(&newest.policy, newest.serial)?;
        let believed = revision::keys(&signed).and_then(|keys| {
            let manifest = revision::read(&signed.manifest)?;
            if (&manifest.policy, manifest.serial) != (&newest.policy, newest.serial) {
                return Err("it is another revision's".to_owned());
            }
            // Who was trusted when it was published.
            let own = self.key.public();
            let known = |key: &PublicKey| {
                let is_trusted =
                    |signers: &AllowedSigners| signers.who(key, revision::NAMESPACE, manifest.published).is_ok();
                *key == own || self.signers.as_ref().is_some_and(is_trusted)
            };
            match &self.signers {
                _ if keys.iter().any(known) => Ok(()),
                Some(_) => Err("nobody signed it whom allowed_signers trusts".to_owned()),
                None => Err(ALONE.to_owned()),
            }
        });
        believed.map_err(|cause| {
            let subject = format!("revision {} of policy {}", newest.serial, newest.policy);
            Error::new(ErrorKind::Denied, "build on", subject, cause).with_hint(
                "look who had their hands on the store; if you know better which serial is next, say it with --serial; \
                 allowed_signers in the policy repository says who else is to be believed",
            )
        })
    }
}

impl Draft {
    /// What an earlier revision holds, for one group alone.
    pub(crate) fn of(held: &Manifest, group: &str) -> Self {
        let Manifest { policy, graph, blobs, commit, .. } = held.clone();
        Self { policy, graph, blobs, groups: vec![group.to_owned()], commit }
    }

    /// Whether a manifest holds the same, wherever that was made from.
    fn is_in(&self, manifest: &Manifest) -> bool {
        let Self { policy, graph, blobs, groups, commit: _ } = self;
        (policy, graph, blobs, groups) == (&manifest.policy, &manifest.graph, &manifest.blobs, &manifest.groups)
    }

    fn manifest(&self, serial: u64) -> Manifest {
        Manifest {
            format: MANIFEST_FORMAT,
            policy: self.policy.clone(),
            serial,
            groups: self.groups.clone(),
            graph: self.graph,
            blobs: self.blobs.clone(),
            commit: self.commit.clone(),
            published: MachineClock.now(),
        }
    }
}
