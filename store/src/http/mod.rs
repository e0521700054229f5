//! The API: requests to calls, results to documents.

mod body;
mod health;
mod nodes;
mod policies;
mod problems;
mod reports;
mod requests;

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};
use axum::{Extension, Router};
use body::BodyLimit;
use converge_protocol::limits;
use problems::Answer;

use crate::app::App;
use crate::error::StoreError;

/// The API over `app`.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/healthz", get(health::healthz))
        .route("/readyz", get(health::readyz))
        .route("/metrics", get(health::metrics))
        .route("/v1/enroll", post(nodes::enroll).layer(Extension(BodyLimit(limits::ENROLL_BYTES))))
        .route("/v1/tokens", post(nodes::make_join_token))
        .route("/v1/node", get(nodes::check_in))
        .route("/v1/node/facts", put(nodes::set_facts))
        .route("/v1/nodes", get(nodes::list))
        .route("/v1/nodes/{name}", get(nodes::show).patch(nodes::change).delete(nodes::forget))
        .route("/v1/blobs/missing", post(policies::missing_blobs))
        .route("/v1/policies", get(policies::list))
        .route("/v1/policies/{policy}/revisions", get(policies::revisions).post(policies::publish))
        .route("/v1/policies/{policy}/revisions/{serial}", get(policies::revision))
        .route("/v1/policies/{policy}/groups/{group}", put(policies::assign))
        .route("/v1/reports", get(reports::list).post(reports::add))
        .route("/v1/reports/{run}", get(reports::show))
        .route("/v1/blobs/{digest}", get(policies::get_blob).put(policies::put_blob))
        .fallback(problems::no_such_route)
        .method_not_allowed_fallback(problems::wrong_method)
        .layer(from_fn_with_state(app.clone(), requests::attend))
        .with_state(app)
}

/// The token that a request carries.
pub(crate) struct Bearer(pub(crate) String);

impl<S: Sync> FromRequestParts<S> for Bearer {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Answer> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok());
        let token = header.and_then(|header| header.strip_prefix("Bearer ")).map(str::to_owned);
        token.map(Bearer).ok_or_else(|| StoreError::unauthorized("the request carries no token").into())
    }
}

/// An operator asks: the request carries the operator's token.
pub(crate) struct Operator;

impl FromRequestParts<Arc<App>> for Operator {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Answer> {
        let Bearer(token) = Bearer::from_request_parts(parts, app).await?;
        app.blocking(move |app| app.check_operator(&token)).await?;
        Ok(Operator)
    }
}
