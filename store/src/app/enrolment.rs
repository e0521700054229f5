//! How machines become nodes, change their keys, and are nodes no more.

use converge_protocol::authority::{Approval, KeyRotation, WaitingMachine};
use converge_protocol::limits::check_name;
use converge_protocol::{EnrollRequest, EnrollResponse, Page};
use converge_trust::node_key::{NodePublicKey, Purpose, enrolment_message, rotation_message, signature_from_text};

use super::identity::{Node, Operator, kept};
use super::tokens::hash_of;
use super::{App, Changed};
use crate::error::{StoreError, StoreResult};
use crate::persistence::{Candidate, Deed};

impl App {
    /// Makes a machine a node; or has it wait, where the name is another key's.
    pub(crate) fn enroll(&self, request: &EnrollRequest, deed: &Deed) -> StoreResult<EnrollResponse> {
        check_name("node", &request.name).map_err(StoreError::invalid)?;
        let key: NodePublicKey = request.key.parse().map_err(StoreError::invalid)?;
        let message = enrolment_message(&request.token, &request.name, &key);
        check_proof(&key, Purpose::Enroll, &message, &request.proof)?;
        let machine = Candidate { name: &request.name, key, join_token: hash_of(&request.token), deed };
        let admission = self.database.enroll(&machine, self.now())?;
        let (node, fingerprint, peer) = (&request.name, key.fingerprint(), &deed.peer);
        if admission.waiting {
            tracing::warn!(node, fingerprint, peer, "a machine waits to take a node's place");
        } else {
            tracing::info!(node, fingerprint, policy = admission.policy, group = admission.group, "node enrolled");
        }
        Ok(EnrollResponse {
            store: self.identity.clone(),
            name: request.name.clone(),
            policy: admission.policy,
            group: admission.group,
            waiting: admission.waiting,
        })
    }

    /// Gives a node its next key, which it has to have.
    pub(crate) fn rotate_key(&self, node: &Node, request: &KeyRotation) -> StoreResult<()> {
        let next: NodePublicKey = request.next.parse().map_err(StoreError::invalid)?;
        let name = &node.0.assignment.name;
        let message = rotation_message(&self.identity, name, &next);
        check_proof(&next, Purpose::Rotate, &message, &request.proof)?;
        self.database.rotate_key(node.0.id, &node.0.key, &next)?;
        tracing::info!(node = name, fingerprint = next.fingerprint(), "node key rotated");
        Ok(())
    }

    /// A page of the machines that wait, as far as an operator may approve them.
    pub(crate) fn waiting(&self, by: &Operator, after: &str, limit: usize) -> StoreResult<Page<WaitingMachine>> {
        let page = |after: &str| self.database.waiting(after, limit);
        kept(after, page, |machine| by.0.scope.has(&machine.policy, Some(&machine.group)))
    }

    /// Makes a waiting machine the node, and gives its fingerprint.
    pub(crate) fn approve(&self, by: &Operator, name: &str, approval: &Approval) -> StoreResult<String> {
        self.may_admit(by, name)?;
        let fingerprint = self.database.approve(name, approval.fingerprint.as_deref())?;
        self.tell_held_requests(Changed::Node(name));
        tracing::info!(node = name, fingerprint, "waiting machine approved");
        Ok(fingerprint)
    }

    /// Refuses a node's requests from now on, also those that are held; or takes them again.
    pub(crate) fn set_revoked(&self, by: &Operator, name: &str, revoked: bool) -> StoreResult<()> {
        self.may_admit(by, name)?;
        self.database.set_revoked(name, revoked.then(|| self.now()))?;
        self.tell_held_requests(Changed::Node(name));
        tracing::info!(node = name, revoked, "node revoked or taken again");
        Ok(())
    }

    fn may_admit(&self, by: &Operator, name: &str) -> StoreResult<()> {
        self.node_for(by, name).map(drop)
    }
}

fn check_proof(key: &NodePublicKey, purpose: Purpose, message: &[u8], proof: &str) -> StoreResult<()> {
    let signature = signature_from_text(proof);
    if signature.is_some_and(|signature| key.verifies(purpose, message, &signature)) {
        return Ok(());
    }
    Err(StoreError::unauthorized("whoever asks has not shown to have the key: the proof is not signed by it"))
}
