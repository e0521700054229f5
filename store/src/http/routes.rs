//! Every route of the API, and what it needs of who asks. What is not in this table is not answered.

use std::sync::Arc;

use axum::Extension;
use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use converge_protocol::{Role, limits};

use super::authority::{Need, Route};
use super::body::BodyLimit;
use super::{audit, health, nodes, operators, policies, reports, tokens};
use crate::app::App;

/// The table.
pub(super) fn table() -> Vec<Route> {
    use Need::{JoinToken, NodeKey, NodeKeyOr, Nothing, Role as May};
    use Role::{Admin, Author, Deployer, Viewer};
    let enroll = post(nodes::enroll).layer(Extension(BodyLimit(limits::ENROLL_BYTES)));
    vec![
        asks("/healthz", Nothing, get(health::healthz)),
        asks("/readyz", Nothing, get(health::readyz)),
        asks("/metrics", Nothing, get(health::metrics)),
        // Enrolling writes its own entry, together with what it does.
        does(Method::POST, "/v1/enroll", JoinToken, enroll).unrecorded(),
        asks("/v1/node", NodeKey, get(nodes::check_in)),
        does(Method::PUT, "/v1/node/facts", NodeKey, put(nodes::set_facts)).unrecorded(),
        does(Method::POST, "/v1/node/key", NodeKey, post(nodes::rotate_key)),
        does(Method::POST, "/v1/reports", NodeKey, post(reports::add)).unrecorded(),
        asks("/v1/blobs/{digest}", NodeKeyOr(Viewer), get(policies::get_blob)),
        asks("/v1/nodes", May(Viewer), get(nodes::list)),
        asks("/v1/nodes/{name}", May(Viewer), get(nodes::show)),
        asks("/v1/policies", May(Viewer), get(policies::list)),
        asks("/v1/policies/{policy}/revisions", NodeKeyOr(Viewer), get(policies::revisions)),
        asks("/v1/policies/{policy}/revisions/{serial}", May(Viewer), get(policies::revision)),
        asks("/v1/policies/{policy}/revisions/{serial}/signed", NodeKeyOr(Viewer), get(policies::signed)),
        asks("/v1/policies/{policy}/groups/{group}", May(Viewer), get(policies::was_live)),
        asks("/v1/reports", May(Viewer), get(reports::list)),
        asks("/v1/reports/{run}", May(Viewer), get(reports::show)),
        does(Method::PUT, "/v1/policies/{policy}/groups/{group}", May(Deployer), put(policies::assign)),
        does(Method::PATCH, "/v1/nodes/{name}", May(Deployer), patch(nodes::change)),
        asks("/v1/tokens", May(Deployer), get(tokens::list)),
        does(Method::POST, "/v1/tokens", May(Deployer), post(tokens::make)),
        does(Method::DELETE, "/v1/tokens/{id}", May(Deployer), delete(tokens::revoke)),
        // A question, though it has a body.
        does(Method::POST, "/v1/blobs/missing", May(Author), post(policies::missing_blobs)).unrecorded(),
        does(Method::PUT, "/v1/blobs/{digest}", May(Author), put(policies::put_blob)),
        does(Method::POST, "/v1/policies/{policy}/revisions", May(Author), post(policies::publish)),
        does(Method::POST, "/v1/policies/{policy}/revisions/{serial}/signatures", May(Author), post(policies::sign)),
        does(Method::DELETE, "/v1/nodes/{name}", May(Admin), delete(nodes::forget)),
        asks("/v1/waiting", May(Admin), get(nodes::waiting)),
        does(Method::POST, "/v1/nodes/{name}/approval", May(Admin), post(nodes::approve)),
        does(Method::PUT, "/v1/nodes/{name}/revocation", May(Admin), put(nodes::set_revoked::<true>)),
        does(Method::DELETE, "/v1/nodes/{name}/revocation", May(Admin), delete(nodes::set_revoked::<false>)),
        asks("/v1/operators", May(Admin), get(operators::list)),
        does(Method::POST, "/v1/operators", May(Admin), post(operators::make)),
        does(Method::DELETE, "/v1/operators/{name}", May(Admin), delete(operators::revoke)),
        asks("/v1/audit", May(Admin), get(audit::list)),
    ]
}

/// A route that changes nothing.
fn asks(path: &'static str, need: Need, handler: MethodRouter<Arc<App>>) -> Route {
    Route { method: Method::GET, path, need, recorded: false, handler }
}

/// A route that changes something, and is written to the audit log.
fn does(method: Method, path: &'static str, need: Need, handler: MethodRouter<Arc<App>>) -> Route {
    Route { method, path, need, recorded: true, handler }
}

impl Route {
    /// The same, but not in the audit log.
    fn unrecorded(self) -> Self {
        Self { recorded: false, ..self }
    }
}
