//! Bodies of requests: each within a limit and within a time, and all together within what they may take of memory.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body as RawBody, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use converge_model::Digest;
use converge_protocol::limits;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::authority::SignedBody;
use super::problems::Answer;
use crate::app::App;
use crate::error::{StoreError, StoreResult};

/// How long a body may be silent.
const SILENCE: Duration = Duration::from_secs(10);
/// How long a body may take, beside [`SLOWEST`].
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that must come each second beyond that.
const SLOWEST: f64 = 16_384.0;

/// How many bytes the bodies of a route may have, where that is not [`limits::BODY_BYTES`].
#[derive(Clone, Copy)]
pub(super) struct BodyLimit(pub(super) usize);

/// A JSON body, whose faults are problem documents too.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Body<T> {
    type Rejection = Answer;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Answer> {
        if !is_json(request.headers()) {
            return Err(StoreError::unsupported("the body must be JSON: send `content-type: application/json`").into());
        }
        let limit = request.extensions().get::<BodyLimit>().map_or(limits::BODY_BYTES, |limit| limit.0);
        let too_large = || StoreError::too_large(format!("the body may have {limit} bytes"));
        let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        if length.is_some_and(|length: usize| length > limit) {
            return Err(too_large().into());
        }
        let signed = request.extensions().get::<SignedBody>().copied();
        let mut arrival = Arrival::new(request.into_body());
        let mut body = Vec::new();
        let mut places = Vec::new();
        while let Some(chunk) = arrival.next().await? {
            if body.len() + chunk.len() > limit {
                return Err(too_large().into());
            }
            places.push(app.admission().memory_for(chunk.len()).await?);
            body.extend_from_slice(&chunk);
        }
        if signed.is_some_and(|signed| signed.0 != Digest::of(&body)) {
            return Err(StoreError::unauthorized("the body is not the one that was signed").into());
        }
        let body = serde_json::from_slice(&body).map_err(|error| StoreError::invalid(format!("the body: {error}")))?;
        Ok(Body(body))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let media = headers.get(CONTENT_TYPE).and_then(|media| media.to_str().ok()).unwrap_or_default();
    let media = media.split(';').next().unwrap_or_default().trim();
    media.eq_ignore_ascii_case("application/json")
}

/// A body that comes in, from a client that may be slow, but not endlessly so.
pub(super) struct Arrival {
    chunks: axum::body::BodyDataStream,
    began: Instant,
    received: usize,
}

impl Arrival {
    pub(super) fn new(body: RawBody) -> Self {
        Self { chunks: body.into_data_stream(), began: Instant::now(), received: 0 }
    }

    /// The next bytes; nothing at the end.
    pub(super) async fn next(&mut self) -> StoreResult<Option<Bytes>> {
        // By what has come, not by what was announced: a trickle does not buy time.
        let latest = self.began + PATIENCE + Duration::from_secs_f64(self.received as f64 / SLOWEST);
        let deadline = latest.min(Instant::now() + SILENCE);
        match tokio::time::timeout_at(deadline, self.chunks.next()).await {
            Ok(None) => Ok(None),
            Ok(Some(Ok(chunk))) => {
                self.received += chunk.len();
                Ok(Some(chunk))
            }
            Ok(Some(Err(error))) => Err(StoreError::invalid(format!("the body broke off: {error}"))),
            Err(_) => Err(StoreError::too_slow(format!("the body came too slowly: {} bytes so far", self.received))),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    type Chunk = Result<Bytes, std::io::Error>;

    async fn refusal(body: RawBody) -> (u16, Duration) {
        let began = Instant::now();
        let mut arrival = Arrival::new(body);
        loop {
            match arrival.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it came whole"),
                Err(StoreError::Refused(problem)) => return (problem.status, began.elapsed()),
                Err(StoreError::Trouble(error)) => panic!("{error}"),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_silent_or_trickles_is_not_waited_for() {
        let silent = RawBody::from_stream(stream::pending::<Chunk>());
        assert_eq!(refusal(silent).await, (408, SILENCE));
        let trickle = stream::unfold((), |()| async {
            tokio::time::sleep(SILENCE / 2).await;
            Some((Chunk::Ok(Bytes::from_static(b"x")), ()))
        });
        let (status, waited) = refusal(RawBody::from_stream(trickle)).await;
        assert!(status == 408 && waited < PATIENCE + SILENCE, "{status} after {waited:?}");
    }
}
