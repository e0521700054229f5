//! Requests about operator tokens.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use converge_protocol::Page;
use converge_protocol::authority::{OperatorToken, OperatorTokenRequest, OperatorTokenView};

use super::authority::Operator;
use super::body::Body;
use super::nodes::{PageQuery, page_limit};
use super::problems::{Answer, Asked, Named, Said};
use crate::app::App;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    _: Operator,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<OperatorTokenView>>, Answer> {
    let limit = page_limit(query.limit);
    Ok(Json(app.blocking(move |app| app.operators(&query.after, limit)).await?))
}

pub(super) async fn make(
    State(app): State<Arc<App>>,
    by: Operator,
    Body(request): Body<OperatorTokenRequest>,
) -> Result<(Extension<Said>, Json<OperatorToken>), Answer> {
    let said = format!("operator {}, {}", request.name, request.role);
    let made = app.blocking(move |app| app.make_operator(&by, &request)).await?;
    Ok((Extension(Said(said)), Json(made)))
}

pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    by: Operator,
    Named(name): Named<String>,
) -> Result<StatusCode, Answer> {
    app.blocking(move |app| app.revoke_operator(&by, &name)).await?;
    Ok(StatusCode::NO_CONTENT)
}
