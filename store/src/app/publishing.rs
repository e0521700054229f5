//! Publishing: blobs, revisions, and where they are live.

use std::collections::BTreeMap;
use std::fs::File;

use converge_model::{BlobRef, Digest};
use converge_protocol::limits::{self, check_name};
use converge_protocol::{MissingBlobs, Page, PolicyView, RevisionView, SignedManifest, WasLive};
use converge_trust::revision;

use super::identity::{Asker, Operator, kept};
use super::{App, Changed};
use crate::blobs::Incoming;
use crate::error::{StoreError, StoreResult};

impl App {
    /// Which of these blobs are not there.
    pub(crate) fn missing_blobs(&self, question: MissingBlobs) -> StoreResult<MissingBlobs> {
        if question.digests.len() > limits::MISSING_DIGESTS {
            return Err(StoreError::invalid(format!("at most {} digests may be asked for", limits::MISSING_DIGESTS)));
        }
        let mut missing = Vec::new();
        for digest in question.digests {
            if !self.blobs.has(&digest, self.now())? {
                missing.push(digest);
            }
        }
        Ok(MissingBlobs { digests: missing })
    }

    /// A blob's file and size.
    pub(crate) fn blob(&self, digest: &Digest) -> StoreResult<(File, u64)> {
        let file = self.blobs.open_blob(digest)?.ok_or_else(|| StoreError::unknown("blob", digest))?;
        let size = self.blobs.size(digest)?.ok_or_else(|| StoreError::unknown("blob", digest))?;
        Ok((file, size))
    }

    /// Begins to take in a blob.
    pub(crate) fn receive_blob(&self) -> StoreResult<Incoming> {
        Ok(self.blobs.receive()?)
    }

    /// Keeps a blob that came whole, if it is what it should be.
    pub(crate) fn keep_blob(&self, incoming: Incoming, digest: &Digest) -> StoreResult<BlobRef> {
        if incoming.digest() != *digest {
            let found = incoming.digest();
            return Err(StoreError::invalid(format!("what came has the digest {found}, not {digest}")));
        }
        Ok(self.blobs.keep(incoming, self.now())?)
    }

    /// Publishes a revision that is signed, and whose blobs are all there. Who signed it is for the nodes to judge.
    pub(crate) fn publish(&self, by: &Operator, policy: &str, signed: &SignedManifest) -> StoreResult<RevisionView> {
        check_name("policy", policy).map_err(StoreError::invalid)?;
        by.may(policy, None)?;
        let manifest = revision::read(&signed.manifest).map_err(StoreError::invalid)?;
        if manifest.policy != policy {
            return Err(StoreError::invalid(format!(
                "the manifest is of policy {:?}, not {policy:?}",
                manifest.policy
            )));
        }
        if revision::keys(signed).map_err(StoreError::invalid)?.is_empty() {
            return Err(StoreError::invalid("the manifest carries no signature, and no node would take it"));
        }
        let mut sizes = BTreeMap::new();
        for blob in std::iter::once(&manifest.graph).chain(&manifest.blobs) {
            // What is asked for now is not swept away before the revision is there that needs it.
            let is_there = self.blobs.has(&blob.digest, self.now())?;
            let size = if is_there { self.blobs.size(&blob.digest)? } else { None };
            let size = size.ok_or_else(|| StoreError::conflict(format!("put blob {} first", blob.digest)))?;
            if size != blob.size || sizes.insert(blob.digest, size).is_some_and(|other| other != size) {
                let cause = format!("blob {} has {size} bytes, and the manifest says {}", blob.digest, blob.size);
                return Err(StoreError::invalid(cause));
            }
        }
        let published = self.database.publish(&manifest, signed, &by.who(), self.now())?;
        tracing::info!(policy, serial = published.serial, "revision published");
        Ok(published)
    }

    /// A revision as it was signed.
    pub(crate) fn signed_manifest(&self, by: &Asker, policy: &str, serial: u64) -> StoreResult<SignedManifest> {
        by.may_look_at(policy)?;
        let signed = self.database.signed_manifest(policy, serial)?;
        signed.ok_or_else(|| StoreError::unknown("revision", format_args!("{serial} of policy {policy}")))
    }

    /// Adds a signature to a revision, and tells the nodes that wait. A key that signed it already adds nothing.
    pub(crate) fn sign(&self, by: &Operator, policy: &str, serial: u64, signature: &str) -> StoreResult<()> {
        by.may(policy, None)?;
        let count = self.database.sign(policy, serial, |signed| {
            let wrong = |cause: String| StoreError::invalid(cause);
            let before = revision::keys(signed).map_err(wrong)?;
            let mut signatures = signed.signatures.clone();
            signatures.push(signature.to_owned());
            let all = SignedManifest { manifest: signed.manifest.clone(), signatures };
            let key = revision::keys(&all).map_err(wrong)?.pop();
            let is_new = key.is_some_and(|key| !before.contains(&key));
            Ok(if is_new { all.signatures } else { signed.signatures.clone() })
        })?;
        tracing::info!(policy, serial, signatures = count, "revision signed");
        self.tell_held_requests(Changed::Policy(policy));
        Ok(())
    }

    /// Makes a revision live in a group, and tells the nodes that wait.
    pub(crate) fn assign(&self, by: &Operator, policy: &str, group: &str, serial: u64) -> StoreResult<()> {
        check_name("group", group).map_err(StoreError::invalid)?;
        by.may(policy, Some(group))?;
        self.database.assign(policy, group, serial, &by.who(), self.now())?;
        tracing::info!(policy, group, serial, "revision made live");
        self.tell_held_requests(Changed::Group(policy, group));
        Ok(())
    }

    /// A page of the policies that an operator may look at, by name.
    pub(crate) fn policies(&self, by: &Operator, after: &str, limit: usize) -> StoreResult<Page<PolicyView>> {
        kept(after, |after| self.database.policies(after, limit), |policy| by.0.scope.has(&policy.name, None))
    }

    /// A page of a policy's revisions, newest first.
    pub(crate) fn revisions(
        &self,
        by: &Asker,
        policy: &str,
        before: Option<u64>,
        limit: usize,
    ) -> StoreResult<Page<RevisionView>> {
        by.may_look_at(policy)?;
        if !self.database.has_policy(policy)? {
            return Err(StoreError::unknown("policy", policy));
        }
        let mut page = self.database.revisions(policy, before.unwrap_or(u64::MAX), limit)?;
        if matches!(by, Asker::Node(_)) {
            // Who works at the store is nothing that a node needs to know.
            page.items.iter_mut().for_each(|revision| revision.by = None);
        }
        Ok(page)
    }

    /// A page of what was live in a group, newest first.
    pub(crate) fn was_live(
        &self,
        by: &Operator,
        policy: &str,
        group: &str,
        before: Option<u64>,
        limit: usize,
    ) -> StoreResult<Page<WasLive>> {
        by.may(policy, Some(group))?;
        if !self.database.has_policy(policy)? {
            return Err(StoreError::unknown("policy", policy));
        }
        self.database.was_live(policy, group, before, limit)
    }

    /// One revision.
    pub(crate) fn revision(&self, by: &Operator, policy: &str, serial: u64) -> StoreResult<RevisionView> {
        by.may(policy, None)?;
        let revision = self.database.revision(policy, serial)?;
        revision.ok_or_else(|| StoreError::unknown("revision", format_args!("{serial} of policy {policy}")))
    }
}
