//! Requests of nodes, and about them.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use converge_model::Value;
use converge_protocol::{
    EnrollRequest, EnrollResponse, JoinToken, JoinTokenRequest, NodeChange, NodeFilter, NodePage, NodeView, limits,
};
use serde::Deserialize;

use super::body::Body;
use super::problems::{Answer, Asked, Named};
use super::{Bearer, Operator};
use crate::app::App;

/// The query of a check-in.
#[derive(Deserialize)]
pub(super) struct CheckInQuery {
    wait: Option<u64>,
}

/// How many items a page has of those that were asked for.
pub(super) fn page_limit(limit: Option<usize>) -> usize {
    limit.unwrap_or(limits::PAGE_ITEMS).clamp(1, limits::PAGE_ITEMS)
}

pub(super) async fn enroll(
    State(app): State<Arc<App>>,
    Body(request): Body<EnrollRequest>,
) -> Result<Json<EnrollResponse>, Answer> {
    Ok(Json(app.blocking(move |app| app.enroll(&request)).await?))
}

pub(super) async fn make_join_token(
    State(app): State<Arc<App>>,
    _: Operator,
    Body(request): Body<JoinTokenRequest>,
) -> Result<Json<JoinToken>, Answer> {
    Ok(Json(app.blocking(move |app| app.make_join_token(&request)).await?))
}

pub(super) async fn check_in(
    State(app): State<Arc<App>>,
    Bearer(token): Bearer,
    Asked(query): Asked<CheckInQuery>,
    headers: HeaderMap,
) -> Result<Response, Answer> {
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    let patience = Duration::from_secs(query.wait.unwrap_or(0).min(limits::WAIT_SECONDS));
    let (assignment, tag) = app.check_in_held(&token, known, patience).await?;
    let tagged = [(header::ETAG, tag.clone())];
    Ok(if known == Some(tag.as_str()) {
        (StatusCode::NOT_MODIFIED, tagged).into_response()
    } else {
        (tagged, Json(assignment)).into_response()
    })
}

pub(super) async fn set_facts(
    State(app): State<Arc<App>>,
    Bearer(token): Bearer,
    Body(facts): Body<Value>,
) -> Result<StatusCode, Answer> {
    app.blocking(move |app| app.set_facts(&token, &facts)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    _: Operator,
    Asked(filter): Asked<NodeFilter>,
) -> Result<Json<NodePage>, Answer> {
    let limit = page_limit(filter.limit);
    Ok(Json(app.blocking(move |app| app.nodes(&filter, limit)).await?))
}

pub(super) async fn change(
    State(app): State<Arc<App>>,
    _: Operator,
    Named(name): Named<String>,
    Body(change): Body<NodeChange>,
) -> Result<Json<NodeView>, Answer> {
    Ok(Json(app.blocking(move |app| app.change_node(&name, &change)).await?))
}

pub(super) async fn forget(
    State(app): State<Arc<App>>,
    _: Operator,
    Named(name): Named<String>,
) -> Result<StatusCode, Answer> {
    app.blocking(move |app| app.forget_node(&name)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    _: Operator,
    Named(name): Named<String>,
) -> Result<Json<NodeView>, Answer> {
    Ok(Json(app.blocking(move |app| app.node(&name)).await?))
}
