//! Requests about join tokens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use converge_protocol::authority::JoinTokenView;
use converge_protocol::{JoinToken, JoinTokenRequest, Page};

use super::authority::Operator;
use super::body::Body;
use super::nodes::{PageQuery, page_limit};
use super::problems::{Answer, Asked, Named, Said};
use crate::app::App;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    by: Operator,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<JoinTokenView>>, Answer> {
    let limit = page_limit(query.limit);
    Ok(Json(app.blocking(move |app| app.join_tokens(&by, &query.after, limit)).await?))
}

pub(super) async fn make(
    State(app): State<Arc<App>>,
    by: Operator,
    Body(request): Body<JoinTokenRequest>,
) -> Result<(Extension<Said>, Json<JoinToken>), Answer> {
    let uses = request.uses.map_or_else(|| "any number of".to_owned(), |uses| uses.to_string());
    let scope = format!("for {uses} nodes of policy {} in group {}", request.policy, request.group);
    let replaces = request.replaces.as_ref().map(|node| format!(", in place of node {node}")).unwrap_or_default();
    let made = app.blocking(move |app| app.make_join_token(&by, &request)).await?;
    let said = format!("{} {scope}{replaces}", crate::app::tokens::holder_of(&made.token));
    Ok((Extension(Said(said)), Json(made)))
}

pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    by: Operator,
    Named(id): Named<String>,
) -> Result<StatusCode, Answer> {
    app.blocking(move |app| app.revoke_join_token(&by, &id)).await?;
    Ok(StatusCode::NO_CONTENT)
}
