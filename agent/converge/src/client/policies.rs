//! Requests about policies: their revisions, and where those are live.

use converge_model::digest::Hasher;
use converge_model::{BlobRef, Cancel, Error, ErrorKind, Result};
use converge_protocol::{GroupAssignment, NewSignature, Page, RevisionView, SignedManifest, WasLive};
use reqwest::Method;

use super::pages::Pages;
use super::{ANSWER, StoreClient, checked};

impl StoreClient {
    /// Publishes a revision of a policy.
    pub(crate) fn publish(&self, policy: &str, signed: &SignedManifest) -> Result<RevisionView> {
        let path = format!("/v1/policies/{policy}/revisions");
        self.exchange("publish to", Method::POST, &path, Some(signed))
    }

    /// The newest revision of a policy; nothing where it has none.
    pub(crate) fn newest_revision(&self, policy: &str) -> Result<Option<RevisionView>> {
        let path = format!("/v1/policies/{policy}/revisions?limit=1");
        let page = self.exchange::<(), Page<RevisionView>>("look for revisions at", Method::GET, &path, None);
        match page {
            Ok(page) => Ok(page.items.into_iter().next()),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A revision as it was signed.
    pub(crate) fn signed_manifest(&self, policy: &str, serial: u64) -> Result<SignedManifest> {
        let operation = "get a revision from";
        let request = self.request(Method::GET, &format!("/v1/policies/{policy}/revisions/{serial}/signed"));
        self.unless(Cancel::is_asked, operation, async {
            let response = self.send(operation, request.timeout(ANSWER)).await?;
            self.document(operation, response).await
        })
    }

    /// Adds a signature to a revision.
    pub(crate) fn add_signature(&self, policy: &str, serial: u64, signature: String) -> Result<()> {
        let path = format!("/v1/policies/{policy}/revisions/{serial}/signatures");
        self.command("sign a revision at", Method::POST, &path, &NewSignature { signature })
    }

    /// Makes a revision live in a group.
    pub(crate) fn assign(&self, policy: &str, group: &str, serial: u64) -> Result<()> {
        let path = format!("/v1/policies/{policy}/groups/{group}");
        self.command("make a revision live at", Method::PUT, &path, &GroupAssignment { serial })
    }

    /// One revision of a policy.
    pub(crate) fn revision(&self, policy: &str, serial: u64) -> Result<RevisionView> {
        let path = format!("/v1/policies/{}/revisions/{serial}", checked("policy", policy)?);
        self.exchange::<(), _>("get a revision from", Method::GET, &path, None)
    }

    /// The newest `wanted` entries of what was live in a group, newest first: the first is live now.
    pub(crate) fn was_live(&self, policy: &str, group: &str, wanted: usize) -> Result<Vec<WasLive>> {
        let path = format!("/v1/policies/{}/groups/{}", checked("policy", policy)?, checked("group", group)?);
        let limit = wanted.to_string();
        self.list("ask what was live at", &path, &[("limit", limit.as_str())], wanted)
    }

    /// The revisions of a policy up to the one with this serial, newest first, page by page.
    pub(crate) fn revisions<'a>(
        &'a self,
        policy: &'a str,
        newest: u64,
    ) -> Pages<'a, impl FnMut(Option<&str>) -> Result<Page<RevisionView>> + use<'a>> {
        let operation = "list revisions at";
        let page = move |after: Option<&str>| {
            let after = after.map_or_else(|| newest.saturating_add(1).to_string(), str::to_owned);
            let path = format!("/v1/policies/{policy}/revisions?limit=20&after={after}");
            self.exchange::<(), Page<RevisionView>>(operation, Method::GET, &path, None)
        };
        self.pages(operation, page)
    }

    /// The bytes of a blob of at most `most` bytes, which are what its digest says.
    ///
    /// # Errors
    /// Where the store does not give them, or gives others.
    pub(crate) fn blob_bytes(&self, blob: &BlobRef, most: u64) -> Result<Vec<u8>> {
        let wrong = |cause: String| {
            Error::new(ErrorKind::Denied, "get", format!("blob {} from {}", blob.digest.short(), self.base()), cause)
        };
        if blob.size > most {
            return Err(wrong(format!("it has {} bytes, and {most} are looked at", blob.size)));
        }
        let mut bytes = Vec::new();
        let mut hasher = Hasher::new();
        self.blob(blob, &mut |chunk| {
            hasher.update(chunk);
            bytes.extend_from_slice(chunk);
            Ok(())
        })?;
        if hasher.finish() != blob.digest {
            return Err(wrong("what came is not what its digest says".to_owned()));
        }
        Ok(bytes)
    }
}
