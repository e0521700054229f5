//! Requests about who may do what: enrolling, keys, tokens, the audit log.

use converge_model::{Cancel, Result};
use converge_protocol::authority::{
    Approval, AuditFilter, JoinTokenView, KeyRotation, OperatorToken, OperatorTokenRequest, OperatorTokenView,
    WaitingMachine,
};
use converge_protocol::{AuditEntry, EnrollRequest, EnrollResponse, JoinToken, JoinTokenRequest, Page};
use reqwest::Method;
use serde::de::DeserializeOwned;

use super::{ANSWER, StoreClient, checked, node_path};

impl StoreClient {
    /// Becomes a node, or waits to be one.
    pub(crate) fn enroll(&self, request: &EnrollRequest) -> Result<EnrollResponse> {
        self.exchange("enrol at", Method::POST, "/v1/enroll", Some(request))
    }

    /// Has the store take this node's next key.
    pub(crate) fn rotate_key(&self, rotation: &KeyRotation) -> Result<()> {
        self.command("change the node's key at", Method::POST, "/v1/node/key", rotation)
    }

    /// Makes a join token.
    pub(crate) fn join_token(&self, request: &JoinTokenRequest) -> Result<JoinToken> {
        self.exchange("make a join token at", Method::POST, "/v1/tokens", Some(request))
    }

    /// All join tokens.
    pub(crate) fn join_tokens(&self) -> Result<Vec<JoinTokenView>> {
        self.list("list join tokens at", "/v1/tokens", &[], usize::MAX)
    }

    /// Makes a join token good for nothing.
    pub(crate) fn revoke_join_token(&self, id: &str) -> Result<()> {
        let path = format!("/v1/tokens/{}", checked("join token", id)?);
        self.command("revoke a join token at", Method::DELETE, &path, &())
    }

    /// Makes an operator token.
    pub(crate) fn operator_token(&self, request: &OperatorTokenRequest) -> Result<OperatorToken> {
        self.exchange("make an operator token at", Method::POST, "/v1/operators", Some(request))
    }

    /// All operator tokens.
    pub(crate) fn operators(&self) -> Result<Vec<OperatorTokenView>> {
        self.list("list operators at", "/v1/operators", &[], usize::MAX)
    }

    /// Makes an operator's token good for nothing.
    pub(crate) fn revoke_operator(&self, name: &str) -> Result<()> {
        let path = format!("/v1/operators/{}", checked("operator", name)?);
        self.command("revoke an operator at", Method::DELETE, &path, &())
    }

    /// All machines that wait to take a node's place.
    pub(crate) fn waiting(&self) -> Result<Vec<WaitingMachine>> {
        self.list("list waiting machines at", "/v1/waiting", &[], usize::MAX)
    }

    /// Makes a waiting machine the node, and gives its fingerprint.
    pub(crate) fn approve(&self, name: &str, approval: &Approval) -> Result<Approval> {
        let path = format!("{}/approval", node_path(name)?);
        self.exchange("approve a node at", Method::POST, &path, Some(approval))
    }

    /// Has the store refuse a node's requests, or take them again.
    pub(crate) fn set_revoked(&self, name: &str, revoked: bool) -> Result<()> {
        let method = if revoked { Method::PUT } else { Method::DELETE };
        self.command("revoke a node at", method, &format!("{}/revocation", node_path(name)?), &())
    }

    /// The newest `wanted` entries of the audit log.
    pub(crate) fn audit(&self, filter: &AuditFilter, wanted: usize) -> Result<Vec<AuditEntry>> {
        let limit = wanted.to_string();
        let mut query = vec![("limit", limit.as_str())];
        query.extend(filter.denied.then_some(("denied", "true")));
        query.extend(filter.who.as_deref().map(|who| ("who", who)));
        self.list("read the audit log of", "/v1/audit", &query, wanted)
    }

    /// The first `wanted` items of a list.
    pub(super) fn list<T: DeserializeOwned>(
        &self,
        operation: &'static str,
        path: &str,
        query: &[(&str, &str)],
        wanted: usize,
    ) -> Result<Vec<T>> {
        let page = |after: Option<&str>| -> Result<Page<T>> {
            let after: Vec<(&str, &str)> = after.map(|after| ("after", after)).into_iter().collect();
            let request = self.request(Method::GET, path).query(query).query(&after).timeout(ANSWER);
            self.unless(Cancel::is_now, operation, async {
                let response = self.send(operation, request).await?;
                self.document(operation, response).await
            })
        };
        self.pages(operation, page).gather(wanted)
    }
}
