//! Every route of the API, and what it needs of who asks. What is not in this table is not answered.

use std::sync::Arc;

use axum::Extension;
use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use converge_protocol::authority::{
    Approval, AuditFilter, JoinTokenView, KeyRotation, OperatorToken, OperatorTokenRequest, OperatorTokenView,
    WaitingMachine,
};
use converge_protocol::secrets::{MoreKeys, NodeSecrets, RecipientNotice, RuleChange, RuleView};
use converge_protocol::{
    self as protocol, Assignment, AuditEntry, EnrollRequest, EnrollResponse, GroupAssignment, JoinTokenRequest,
    MissingBlobs, NewSignature, NodeChange, NodeFilter, NodePage, NodeView, Page, PolicyView, ReportFilter,
    ReportSummary, RevisionView, Role, SignedManifest, WasLive, limits,
};

use super::authority::{Need, Route};
use super::body::BodyLimit;
use super::document::Told;
use super::nodes::{CheckInQuery, PageQuery};
use super::policies::RevisionsQuery;
use super::{audit, document, health, nodes, operators, policies, reports, secrets, tokens};
use crate::app::App;

/// What a report is.
const REPORT: &str = "A report, as `converge report RUN --json` prints it.";

/// The table.
pub(super) fn table() -> Vec<Route> {
    use Need::{JoinToken, NodeKey, NodeKeyOr, Role as May};
    use Role::Viewer;
    let enroll = post(nodes::enroll).layer(Extension(BodyLimit(limits::ENROLL_BYTES)));
    let mut routes = for_watchers();
    routes.extend([
        // Enrolling writes its own entry, together with what it does.
        does(Method::POST, "/v1/enroll", JoinToken, enroll)
            .unrecorded()
            .says("A machine becomes a node, or waits to take a node's place. Twice is once.")
            .takes::<EnrollRequest>()
            .at_most(limits::ENROLL_BYTES as u64)
            .gives::<EnrollResponse>(),
        asks("/v1/node", NodeKey, get(nodes::check_in))
            .says("What the node should run. With `If-None-Match`, 304 where that is unchanged; with `wait` too, held until it changes.")
            .asked::<CheckInQuery>()
            .gives::<Assignment>(),
        does(Method::PUT, "/v1/node/facts", NodeKey, put(nodes::set_facts))
            .unrecorded()
            .says("The node's facts.")
            .takes_what("The facts, as `converge facts --json` prints them."),
        does(Method::POST, "/v1/node/key", NodeKey, post(nodes::rotate_key))
            .says("The node's key from now on.")
            .takes::<KeyRotation>(),
        does(Method::POST, "/v1/reports", NodeKey, post(reports::add))
            .unrecorded()
            .says("The report of a run. Twice is once.")
            .takes_what(REPORT),
        asks("/v1/blobs/{digest}", NodeKeyOr(Viewer), get(policies::get_blob)).says("The bytes of a blob.").gives_blob(),
        asks("/v1/nodes", May(Viewer), get(nodes::list))
            .says("Nodes, by name. What is said must all hold.")
            .asked::<NodeFilter>()
            .gives::<NodePage>(),
        asks("/v1/nodes/{name}", May(Viewer), get(nodes::show)).says("One node, with its facts.").gives::<NodeView>(),
        asks("/v1/policies", May(Viewer), get(policies::list))
            .says("Policies, by name.")
            .asked::<PageQuery>()
            .gives::<Page<PolicyView>>(),
        asks("/v1/policies/{policy}/revisions", NodeKeyOr(Viewer), get(policies::revisions))
            .says("The revisions of a policy, newest first. A node may ask for its own policy.")
            .asked::<RevisionsQuery>()
            .gives::<Page<RevisionView>>(),
        asks("/v1/policies/{policy}/revisions/{serial}", May(Viewer), get(policies::revision))
            .says("One revision.")
            .gives::<RevisionView>(),
        asks("/v1/policies/{policy}/revisions/{serial}/signed", NodeKeyOr(Viewer), get(policies::signed))
            .says("A revision as it was signed, byte for byte.")
            .gives::<SignedManifest>(),
        asks("/v1/policies/{policy}/groups/{group}", May(Viewer), get(policies::was_live))
            .says("What was live in a group, newest first: the first is live now.")
            .asked::<RevisionsQuery>()
            .gives::<Page<WasLive>>(),
        asks("/v1/reports", May(Viewer), get(reports::list))
            .says("Summaries of runs, newest first.")
            .asked::<ReportFilter>()
            .gives::<Page<ReportSummary>>(),
        asks("/v1/openapi.json", May(Viewer), get(document::show)).says("This document.").gives_what("OpenAPI 3.1."),
        asks("/v1/reports/{run}", May(Viewer), get(reports::show)).says("One report.").gives_what(REPORT),
    ]);
    routes.extend(for_changes());
    routes.extend(for_secrets());
    routes
}

/// The routes of whoever watches the store.
fn for_watchers() -> Vec<Route> {
    vec![
        asks("/healthz", Need::Nothing, get(health::healthz)).says("The process lives.").gives_text(),
        asks("/readyz", Need::Nothing, get(health::readyz)).says("The store can do its work.").gives_text(),
        asks("/metrics", Need::Nothing, get(health::metrics)).says("What is counted, for Prometheus.").gives_text(),
    ]
}

/// The routes with which operators change something, and look at who may.
fn for_changes() -> Vec<Route> {
    use Need::Role as May;
    use Role::{Admin, Author, Deployer};
    vec![
        does(Method::PUT, "/v1/policies/{policy}/groups/{group}", May(Deployer), put(policies::assign))
            .says("Makes a revision live in a group.")
            .takes::<GroupAssignment>(),
        does(Method::PATCH, "/v1/nodes/{name}", May(Deployer), patch(nodes::change))
            .says("Changes what is kept of a node. What is not said stays.")
            .takes::<NodeChange>()
            .gives::<NodeView>(),
        asks("/v1/tokens", May(Deployer), get(tokens::list))
            .says("Join tokens, without what is secret of them.")
            .asked::<PageQuery>()
            .gives::<Page<JoinTokenView>>(),
        does(Method::POST, "/v1/tokens", May(Deployer), post(tokens::make))
            .says("Makes a join token.")
            .takes::<JoinTokenRequest>()
            .gives::<protocol::JoinToken>(),
        does(Method::DELETE, "/v1/tokens/{id}", May(Deployer), delete(tokens::revoke))
            .says("Makes a join token good for nothing."),
        // A question, though it has a body.
        does(Method::POST, "/v1/blobs/missing", May(Author), post(policies::missing_blobs))
            .unrecorded()
            .says("Which of these blobs are not there. Those that are stay for a while, so that they can be published.")
            .takes::<MissingBlobs>()
            .gives::<MissingBlobs>(),
        does(Method::PUT, "/v1/blobs/{digest}", May(Author), put(policies::put_blob))
            .says("Puts a blob.")
            .takes_blob()
            .at_most(limits::BLOB_BYTES)
            .gives_what("The blob's `digest` and `size`."),
        does(Method::POST, "/v1/policies/{policy}/revisions", May(Author), post(policies::publish))
            .says("Publishes a revision. Its blobs must be there, and its serial higher than all before.")
            .takes::<SignedManifest>()
            .gives::<RevisionView>(),
        does(Method::POST, "/v1/policies/{policy}/revisions/{serial}/signatures", May(Author), post(policies::sign))
            .says("Adds a signature to a revision. Twice is once.")
            .takes::<NewSignature>(),
        does(Method::DELETE, "/v1/nodes/{name}", May(Admin), delete(nodes::forget))
            .says("Forgets a node, with its reports."),
        asks("/v1/waiting", May(Admin), get(nodes::waiting))
            .says("Machines that wait to take a node's place.")
            .asked::<PageQuery>()
            .gives::<Page<WaitingMachine>>(),
        does(Method::POST, "/v1/nodes/{name}/approval", May(Admin), post(nodes::approve))
            .says("Makes a waiting machine the node.")
            .takes::<Approval>()
            .gives::<Approval>(),
        does(Method::PUT, "/v1/nodes/{name}/revocation", May(Admin), put(nodes::set_revoked::<true>))
            .says("Refuses all requests of a node from now on."),
        does(Method::DELETE, "/v1/nodes/{name}/revocation", May(Admin), delete(nodes::set_revoked::<false>))
            .says("Takes requests of a node again."),
        asks("/v1/operators", May(Admin), get(operators::list))
            .says("Operator tokens, without what is secret of them.")
            .asked::<PageQuery>()
            .gives::<Page<OperatorTokenView>>(),
        does(Method::POST, "/v1/operators", May(Admin), post(operators::make))
            .says("Makes an operator token.")
            .takes::<OperatorTokenRequest>()
            .gives::<OperatorToken>(),
        does(Method::DELETE, "/v1/operators/{name}", May(Admin), delete(operators::revoke))
            .says("Makes an operator token good for nothing."),
        asks("/v1/audit", May(Admin), get(audit::list))
            .says("The audit log, newest first.")
            .asked::<AuditFilter>()
            .gives::<Page<AuditEntry>>(),
    ]
}

/// The routes of secrets. All that goes over them of a value or a key is encrypted.
fn for_secrets() -> Vec<Route> {
    use Need::{NodeKey, Role as May};
    use Role::{Author, Deployer, Viewer};
    vec![
        does(Method::PUT, "/v1/node/recipient", NodeKey, put(secrets::set_recipient))
            .says("To whom to encrypt what is meant for the node.")
            .takes::<RecipientNotice>(),
        asks("/v1/node/secrets", NodeKey, get(secrets::of_node))
            .says("The rules of secrets that mean the node, with their keys for it.")
            .asked::<secrets::ReadQuery>()
            .gives::<NodeSecrets>(),
        asks("/v1/secrets", May(Viewer), get(secrets::list))
            .says("Rules of secrets, by name, with the nodes that each means.")
            .asked::<secrets::RulesQuery>()
            .gives::<Vec<RuleView>>(),
        does(Method::POST, "/v1/secrets/{rule}/keys", May(Deployer), post(secrets::add_keys))
            .says("Adds keys of a rule: for nodes and join strings that came later.")
            .takes::<MoreKeys>(),
        does(Method::PUT, "/v1/secrets/{rule}", May(Author), put(secrets::set))
            .says("Keeps what was signed of a rule. With another epoch, the keys until then go.")
            .takes::<RuleChange>(),
        does(Method::DELETE, "/v1/secrets/{rule}", May(Author), delete(secrets::forget))
            .says("Forgets a rule, with its secrets."),
    ]
}

/// A route that changes nothing.
fn asks(path: &'static str, need: Need, handler: MethodRouter<Arc<App>>) -> Route {
    Route { method: Method::GET, path, need, recorded: false, handler, told: Told::default() }
}

/// A route that changes something, and is written to the audit log.
fn does(method: Method, path: &'static str, need: Need, handler: MethodRouter<Arc<App>>) -> Route {
    Route { method, path, need, recorded: true, handler, told: Told::default() }
}

impl Route {
    /// The same, but not in the audit log.
    fn unrecorded(self) -> Self {
        Self { recorded: false, ..self }
    }
}
