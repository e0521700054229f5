//! What is done for every request: it gets a name, is counted and timed, and told to the log.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::Response;

use crate::app::App;

/// The header that carries the request's name.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    /// The name of the request that a task answers.
    static REQUEST: RequestId;
}

/// The name of a request: the same in the answer, in a problem document and in the log.
#[derive(Clone)]
pub(crate) struct RequestId(String);

impl RequestId {
    /// The name of the request that is being answered.
    pub(crate) fn current() -> String {
        REQUEST.try_with(|id| id.0.clone()).unwrap_or_default()
    }

    /// A new one: where this process began to count is random, so that no two processes use the same ones.
    fn next() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        static FIRST: std::sync::LazyLock<u64> = std::sync::LazyLock::new(|| {
            let mut bytes = [0; 8];
            // Without random bytes requests are still told apart within this process.
            let _ = getrandom::fill(&mut bytes);
            u64::from_le_bytes(bytes)
        });
        let number = FIRST.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let mut name = String::with_capacity(16);
        // Writing to a string does not fail.
        let _ = write!(name, "{number:016x}");
        Self(name)
    }
}

/// Answers a request, and notes how it went.
pub(super) async fn attend(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let id = RequestId::next();
    let began = Instant::now();
    let method = word(request.method());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let path = request.uri().path().to_owned();
    let under_way = app.metrics().begins();
    let mut response = REQUEST.scope(id.clone(), next.run(request)).await;
    drop(under_way);
    let took = began.elapsed();
    let status = response.status().as_u16();
    app.metrics().ended(method, route, status, took);
    let (request, millis) = (id.0.as_str(), took.as_millis());
    // What changes something is told, and what fails; a fleet that asks for news is not news.
    if status >= 500 {
        tracing::warn!(request, method, path, status, millis, "request failed");
    } else if status >= 400 || !matches!(method, "GET" | "HEAD") {
        tracing::info!(request, method, path, status, millis, "request");
    } else {
        tracing::debug!(request, method, path, status, millis, "request");
    }
    if let Ok(name) = HeaderValue::from_str(&id.0) {
        response.headers_mut().insert(REQUEST_ID, name);
    }
    response
}

/// Carries `work` on to its end though whoever waits for it goes away. It answers the request that is being answered.
pub(super) async fn carry_on<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    let id = RequestId(RequestId::current());
    tokio::spawn(REQUEST.scope(id, work)).await
}

/// A method as a label: methods that nobody knows are one.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
