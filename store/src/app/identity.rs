//! Who asks: a node by its key, an operator by a token.

use std::sync::Arc;
use std::time::Duration;

use converge_model::Timestamp;
use converge_protocol::authority::OperatorTokenView;
use converge_protocol::problem::{WRONG_CLOCK, WRONG_KEY};
use converge_protocol::{Page, Problem, Role};
use converge_trust::request_token::{Asked, Refusal, RequestToken};

use super::App;
use crate::error::{StoreError, StoreResult};
use crate::persistence::KnownNode;

/// A node that asks.
#[derive(Clone)]
pub(crate) struct Node(pub(crate) Arc<KnownNode>);

/// An operator who asks.
#[derive(Clone)]
pub(crate) struct Operator(pub(crate) Arc<OperatorTokenView>);

/// Who asks for what both may have.
#[derive(Clone)]
pub(crate) enum Asker {
    /// A node.
    Node(Node),
    /// An operator.
    Operator(Operator),
}

impl Asker {
    /// Whether they may look at a policy: a node at its own alone.
    pub(crate) fn may_look_at(&self, policy: &str) -> StoreResult<()> {
        match self {
            Asker::Operator(operator) => operator.may(policy, None),
            Asker::Node(node) if node.0.assignment.policy == policy => Ok(()),
            Asker::Node(_) => Err(StoreError::forbidden("a node may look at its own policy only")),
        }
    }
}

impl Operator {
    /// What the audit log calls them.
    pub(crate) fn who(&self) -> String {
        format!("operator {}", self.0.name)
    }

    /// Whether their role is good for a policy, or for one group of it.
    pub(crate) fn may(&self, policy: &str, group: Option<&str>) -> StoreResult<()> {
        if self.0.scope.has(policy, group) {
            return Ok(());
        }
        let group = group.map(|group| format!(" in group {group}")).unwrap_or_default();
        let who = self.who();
        Err(StoreError::forbidden(format!("the token of {who} is not good for policy {policy}{group}")))
    }

    /// Refuses whoever is limited to policies or groups.
    pub(crate) fn must_have_everything(&self, what: &str) -> StoreResult<()> {
        if self.0.scope.is_everything() {
            return Ok(());
        }
        let who = self.who();
        Err(StoreError::forbidden(format!(
            "to {what} needs a token for all policies and groups, and that of {who} is limited"
        )))
    }

    /// Whether their role is enough.
    pub(crate) fn must_be(&self, role: Role) -> StoreResult<()> {
        if self.0.role >= role {
            return Ok(());
        }
        let (who, own) = (self.who(), self.0.role);
        Err(StoreError::forbidden(format!("this needs the role {role}, and {who} is {own}")))
    }
}

impl App {
    /// The node that signed a request.
    ///
    /// Most of a fleet's requests need no more than one indexed read and a signature. To hand that to another thread costs
    /// more than to do it: it is done here, unless others read so much that it would have to wait.
    pub(crate) async fn node_of(
        self: &Arc<Self>,
        token: RequestToken,
        method: String,
        target: String,
    ) -> StoreResult<Node> {
        match self.database.known_node_now(&token.node) {
            Some(found) => self.is_signed_by(found?, &token, &method, &target),
            None => {
                let signed =
                    move |app: &Self| app.is_signed_by(app.database.known_node(&token.node)?, &token, &method, &target);
                self.blocking(signed).await
            }
        }
    }

    /// Whether the node that was found is the one that signed a request.
    fn is_signed_by(
        &self,
        found: Option<KnownNode>,
        token: &RequestToken,
        method: &str,
        target: &str,
    ) -> StoreResult<Node> {
        let node = found.ok_or_else(|| {
            wrong_key("no node has this name; enrol it again with `converge enroll`, or approve it at the store")
        })?;
        let now = self.time_of_requests();
        let asked = Asked { store: &self.identity, method, target };
        match token.verify(&node.key, asked, now) {
            Ok(()) if token.issued < self.started.0 => {
                return Err(self.wrong_clock("made before the store was started"));
            }
            Ok(()) => {}
            Err(Refusal::Untimely) => return Err(self.wrong_clock("made at another time than the store's")),
            Err(Refusal::Malformed | Refusal::Forged) => {
                return Err(wrong_key("the request is not signed by the node's key, or was changed on the way"));
            }
        }
        if node.revoked {
            let cause = format!("the node {} was revoked; an operator can approve it again", token.node);
            return Err(StoreError::forbidden(cause));
        }
        if !self.replays.is_first(node.id, token.nonce, Duration::from_micros(self.clock.monotonic_micros())) {
            return Err(StoreError::unauthorized("the request was made before: a repetition is not taken"));
        }
        Ok(Node(Arc::new(node)))
    }

    /// A refusal that tells the store's time, so that whoever asks can correct its own.
    fn wrong_clock(&self, cause: &str) -> StoreError {
        let problem = Problem::new(401, WRONG_CLOCK, "The clocks differ");
        let problem =
            problem.with_detail(format!("the request's signature was {cause}; ask again with the store's time"));
        StoreError::Refused(Box::new(Problem { time: Some(self.time_of_requests()), ..problem }))
    }

    /// The time that requests of nodes are held against: when the process started, and what passed since. It may differ from
    /// the machine's clock, which nodes are told like any difference; but it is never set back to where a request would be
    /// good that was forgotten already.
    fn time_of_requests(&self) -> Timestamp {
        let (at, micros) = self.started;
        let passed = self.clock.monotonic_micros().saturating_sub(micros) / 1_000;
        Timestamp(at.0.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX)))
    }
}

fn wrong_key(cause: &str) -> StoreError {
    StoreError::Refused(Box::new(Problem::new(401, WRONG_KEY, "Not the node's key").with_detail(cause)))
}

/// A page of a list, of what `keep` lets through. What is left out makes no page empty that is not the last.
pub(super) fn kept<T>(
    after: &str,
    page: impl Fn(&str) -> StoreResult<Page<T>>,
    keep: impl Fn(&T) -> bool,
) -> StoreResult<Page<T>> {
    let mut after = after.to_owned();
    loop {
        let mut found = page(&after)?;
        found.items.retain(&keep);
        match found.next {
            Some(next) if found.items.is_empty() => after = next,
            _ => return Ok(found),
        }
    }
}
