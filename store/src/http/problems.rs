//! Errors as RFC 9457 problem documents.

use axum::Json;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use converge_protocol::Problem;
use converge_protocol::problem::PROBLEM_JSON;
use serde::de::DeserializeOwned;

use super::requests::RequestId;
use crate::error::StoreError;

/// What the audit log says of an answer: in the extensions of the response.
#[derive(Clone, Debug)]
pub(crate) struct Said(pub(crate) String);

/// An error on its way out.
pub(crate) struct Answer(StoreError);

impl From<StoreError> for Answer {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let request = RequestId::current();
        let mut problem = match self.0 {
            StoreError::Refused(problem) => {
                tracing::debug!(request, status = problem.status, detail = problem.detail, "request refused");
                problem
            }
            StoreError::Trouble(error) => {
                tracing::error!(request, "{error}");
                let problem = Problem::new(500, "trouble", "The store is in trouble");
                let detail = format!("the store could not do it; its log says why under request {request}");
                Box::new(problem.with_detail(detail))
            }
        };
        problem.request = Some(request);
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry = problem.retry_after.map(HeaderValue::from);
        let said = Said(problem.detail.clone().unwrap_or_else(|| problem.title.clone()));
        let mut response = (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], Json(problem)).into_response();
        response.extensions_mut().insert(said);
        if let Some(retry) = retry {
            response.headers_mut().insert(header::RETRY_AFTER, retry);
        }
        response
    }
}

/// What a request asks for after the `?`, whose faults are problem documents too.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Answer> {
        let asked = Query::<T>::from_request_parts(parts, state).await;
        asked.map(|Query(asked)| Asked(asked)).map_err(|wrong| StoreError::invalid(wrong.body_text()).into())
    }
}

/// What a path names, whose faults are problem documents too.
pub(crate) struct Named<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Answer;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Answer> {
        let named = Path::<T>::from_request_parts(parts, state).await;
        named.map(|Path(named)| Named(named)).map_err(|wrong| StoreError::invalid(wrong.body_text()).into())
    }
}

/// A path that the API does not have.
pub(crate) async fn no_such_route(method: Method, uri: Uri) -> Answer {
    StoreError::unknown("route", format_args!("{method} {}", uri.path())).into()
}

/// A path that the API has, but not for this method.
pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Answer {
    StoreError::wrong_method(format!("{} takes no {method}", uri.path())).into()
}
