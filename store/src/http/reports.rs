//! Requests about reports.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use converge_model::{Report, RunId};
use converge_protocol::{Page, ReportFilter, ReportSummary};

use super::authority::{Node, Operator};
use super::body::Body;
use super::nodes::page_limit;
use super::problems::{Answer, Asked, Named};
use crate::app::App;
use crate::error::StoreError;

pub(super) async fn add(
    State(app): State<Arc<App>>,
    node: Node,
    Body(report): Body<Report>,
) -> Result<StatusCode, Answer> {
    app.blocking(move |app| app.add_report(&node, report)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    by: Operator,
    Asked(filter): Asked<ReportFilter>,
) -> Result<Json<Page<ReportSummary>>, Answer> {
    let limit = page_limit(filter.limit);
    Ok(Json(app.blocking(move |app| app.reports(&by, &filter, limit)).await?))
}

pub(super) async fn show(
    State(app): State<Arc<App>>,
    by: Operator,
    Named(run): Named<String>,
) -> Result<Json<Report>, Answer> {
    let run: RunId = run.parse().map_err(StoreError::invalid)?;
    Ok(Json(app.blocking(move |app| app.report(&by, run)).await?))
}
