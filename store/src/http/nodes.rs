//! Requests of nodes, and about them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use converge_model::Value;
use converge_protocol::authority::{Approval, KeyRotation, WaitingMachine};
use converge_protocol::{EnrollRequest, EnrollResponse, NodeChange, NodeFilter, NodePage, NodeView, Page, limits};
use schemars::JsonSchema;
use serde::Deserialize;

use super::authority::{Node, Operator};
use super::body::Body;
use super::problems::{Answer, Asked, Named, Said};
use crate::app::App;
use crate::app::tokens::holder_of;
use crate::persistence::Deed;

/// The query of a check-in.
#[derive(Deserialize, JsonSchema)]
pub(super) struct CheckInQuery {
    /// For how many seconds to hold the request until something changes.
    wait: Option<u64>,
}

/// The query of a list by name.
#[derive(Deserialize, JsonSchema)]
pub(super) struct PageQuery {
    /// Only those after this place, as the page before said.
    #[serde(default)]
    pub(super) after: String,
    /// At most so many.
    pub(super) limit: Option<usize>,
}

/// How many items a page has of those that were asked for.
pub(super) fn page_limit(limit: Option<usize>) -> usize {
    limit.unwrap_or(limits::PAGE_ITEMS).clamp(1, limits::PAGE_ITEMS)
}

pub(super) async fn enroll(
    State(app): State<Arc<App>>,
    deed: Deed,
    Body(request): Body<EnrollRequest>,
) -> Result<Json<EnrollResponse>, Answer> {
    let deed = Deed { who: holder_of(&request.token), ..deed };
    Ok(Json(app.blocking(move |app| app.enroll(&request, &deed)).await?))
}

pub(super) async fn check_in(
    State(app): State<Arc<App>>,
    node: Node,
    Asked(query): Asked<CheckInQuery>,
    headers: HeaderMap,
) -> Result<Response, Answer> {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    let patience = Duration::from_secs(query.wait.unwrap_or(0).min(limits::WAIT_SECONDS));
    let (assignment, tag) = app.check_in_held(node, known, patience).await?;
    let tagged = [(header::ETAG, tag.clone())];
    Ok(if known == Some(tag.as_str()) {
        (StatusCode::NOT_MODIFIED, tagged).into_response()
    } else {
        (tagged, Json(assignment)).into_response()
    })
}

pub(super) async fn set_facts(
    State(app): State<Arc<App>>,
    node: Node,
    Body(facts): Body<Value>,
) -> Result<StatusCode, Answer> {
    app.blocking(move |app| app.set_facts(&node, &facts)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn rotate_key(
    State(app): State<Arc<App>>,
    node: Node,
    Body(request): Body<KeyRotation>,
) -> Result<StatusCode, Answer> {
    app.blocking(move |app| app.rotate_key(&node, &request)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn waiting(
    State(app): State<Arc<App>>,
    by: Operator,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<WaitingMachine>>, Answer> {
    let limit = page_limit(query.limit);
    Ok(Json(app.blocking(move |app| app.waiting(&by, &query.after, limit)).await?))
}

pub(super) async fn approve(
    State(app): State<Arc<App>>,
    by: Operator,
    Named(name): Named<String>,
    Body(approval): Body<Approval>,
) -> Result<(Extension<Said>, Json<Approval>), Answer> {
    let fingerprint = app.blocking(move |app| app.approve(&by, &name, &approval)).await?;
    let said = Said(format!("the node has the key {fingerprint}"));
    Ok((Extension(said), Json(Approval { fingerprint: Some(fingerprint) })))
}

pub(super) async fn set_revoked<const REVOKED: bool>(
    State(app): State<Arc<App>>,
    by: Operator,
    Named(name): Named<String>,
) -> Result<StatusCode, Answer> {
    app.blocking(move |app| app.set_revoked(&by, &name, REVOKED)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    by: Operator,
    Asked(filter): Asked<NodeFilter>,
) -> Result<Json<NodePage>, Answer> {
    let limit = page_limit(filter.limit);
    Ok(Json(app.blocking(move |app| app.nodes(&by, &filter, limit)).await?))
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    by: Operator,
    Named(name): Named<String>,
    Body(change): Body<NodeChange>,
) -> Result<(Extension<Said>, Json<NodeView>), Answer> {
    let said = Said(change_in_words(&change));
    let node = app.blocking(move |app| app.change_node(&by, &name, &change)).await?;
    Ok((Extension(said), Json(node)))
}

/// What a change says, without the values of attributes: those may be nobody's business who reads the audit log.
fn change_in_words(change: &NodeChange) -> String {
    let NodeChange { policy, group, add_tags, remove_tags, set, unset } = change;
    let moved = |what: &str, to: &Option<String>| to.as_ref().map(|to| format!("{what} {to}"));
    let tags = |what: &str, tags: &[String]| (!tags.is_empty()).then(|| format!("{what} {}", tags.join(", ")));
    let set = set.iter().flat_map(|(cookbook, values)| values.keys().map(move |name| format!("set {cookbook}.{name}")));
    let unset = unset.iter().flat_map(|(book, names)| names.iter().map(move |name| format!("unset {book}.{name}")));
    let first =
        [moved("policy", policy), moved("group", group), tags("tagged", add_tags), tags("untagged", remove_tags)];
    first.into_iter().flatten().chain(set).chain(unset).collect::<Vec<_>>().join("; ")
}

pub(super) async fn forget(
    State(app): State<Arc<App>>,
    by: Operator,
    Named(name): Named<String>,
) -> Result<StatusCode, Answer> {
    app.blocking(move |app| app.forget_node(&by, &name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    by: Operator,
    Named(name): Named<String>,
) -> Result<Json<NodeView>, Answer> {
    Ok(Json(app.blocking(move |app| app.node_for(&by, &name)).await?))
}
