//! Requests about secrets. All that goes over the wire of a value or a key is encrypted before.

use converge_model::{Cancel, Error, ErrorKind, Result};
use converge_protocol::secrets::{MoreKeys, NodeSecrets, RecipientNotice, RuleChange, RuleView};
use reqwest::Method;

use super::{ANSWER, StoreClient, checked};

impl StoreClient {
    /// The rules that an operator may look at.
    pub(crate) fn secret_rules(&self) -> Result<Vec<RuleView>> {
        self.exchange::<(), _>("list secrets at", Method::GET, "/v1/secrets", None)
    }

    /// One rule.
    ///
    /// # Errors
    /// Where there is none, or the store does not give it.
    pub(crate) fn secret_rule(&self, rule: &str) -> Result<RuleView> {
        let path = format!("/v1/secrets?rule={}", checked("rule", rule)?);
        let found: Vec<RuleView> = self.exchange::<(), _>("look for a rule at", Method::GET, &path, None)?;
        found.into_iter().next().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, "look for a rule at", self.base(), format!("there is no rule {rule}"))
                .with_hint(format!("make it: `converge secret rule {rule} --policy POLICY`"))
        })
    }

    /// Keeps a rule's document from now on.
    pub(crate) fn set_secret_rule(&self, rule: &str, change: &RuleChange) -> Result<()> {
        self.command("set secrets at", Method::PUT, &format!("/v1/secrets/{}", checked("rule", rule)?), change)
    }

    /// Adds keys of a rule.
    pub(crate) fn add_secret_keys(&self, rule: &str, more: &MoreKeys) -> Result<()> {
        let path = format!("/v1/secrets/{}/keys", checked("rule", rule)?);
        self.command("add keys to secrets at", Method::POST, &path, more)
    }

    /// Forgets a rule, with its secrets.
    pub(crate) fn forget_secret_rule(&self, rule: &str) -> Result<()> {
        self.command("remove secrets at", Method::DELETE, &format!("/v1/secrets/{}", checked("rule", rule)?), &())
    }

    /// Says to whom to encrypt what is meant for this node.
    pub(crate) fn set_recipient(&self, notice: &RecipientNotice) -> Result<()> {
        self.command("tell this node's recipient to", Method::PUT, "/v1/node/recipient", notice)
    }

    /// What this node may read. `join` is the recipient of the join string that it came with.
    pub(crate) fn node_secrets(&self, join: Option<&str>) -> Result<NodeSecrets> {
        let operation = "get secrets from";
        let join: Vec<(&str, &str)> = join.map(|join| ("join", join)).into_iter().collect();
        let request = self.request(Method::GET, "/v1/node/secrets").query(&join).timeout(ANSWER);
        self.unless(Cancel::is_asked, operation, async {
            let response = self.send(operation, request).await?;
            self.document(operation, response).await
        })
    }
}
