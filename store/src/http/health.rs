//! Requests of those who watch the store.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::problems::Answer;
use crate::app::App;
use crate::metrics;

/// The process lives: it should not be restarted.
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// The store can do its work: requests may be sent to it.
pub(super) async fn readyz(State(app): State<Arc<App>>) -> Result<&'static str, Answer> {
    app.blocking(App::check_ready).await?;
    Ok("ready\n")
}

pub(super) async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Answer> {
    let text = app.blocking(App::metrics_text).await?;
    Ok(([(header::CONTENT_TYPE, metrics::MEDIA)], text).into_response())
}
