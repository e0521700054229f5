//! Errors as RFC 9457 problem documents.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use converge_model::Digest;
use converge_protocol::Problem;
use converge_protocol::problem::PROBLEM_JSON;
use serde::de::DeserializeOwned;

use crate::error::StoreError;

/// An error on its way out.
pub(crate) struct Answer(StoreError);

impl From<StoreError> for Answer {
    fn from(error: StoreError) -> Self {
        Self(error)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut random = [0_u8; 32];
        // Without random bytes the request has the name of all zeros, and is answered all the same.
        let _ = getrandom::fill(&mut random);
        let request = Digest::from_bytes(random).short();
        let mut problem = match self.0 {
            StoreError::Refused(problem) => {
                tracing::debug!(request, status = problem.status, detail = problem.detail, "request refused");
                problem
            }
            StoreError::Trouble(error) => {
                tracing::error!(request, "{error}");
                Problem::new(500, "trouble", "The store is in trouble")
                    .with_detail(format!("the store could not do it; its log says why under request {request}"))
            }
        };
        problem.request = Some(request);
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, [(header::CONTENT_TYPE, PROBLEM_JSON)], Json(problem)).into_response()
    }
}

/// A JSON body, whose faults are problem documents too.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Answer;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Answer> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(body)) => Ok(Body(body)),
            Err(JsonRejection::BytesRejection(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
                Err(StoreError::too_large(rejection.body_text()).into())
            }
            Err(rejection) => Err(StoreError::invalid(rejection.body_text()).into()),
        }
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
