//! Requests about the audit log.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use converge_protocol::authority::AuditFilter;
use converge_protocol::{AuditEntry, Page};

use super::authority::Operator;
use super::nodes::page_limit;
use super::problems::{Answer, Asked};
use crate::app::App;

pub(super) async fn list(
    State(app): State<Arc<App>>,
    by: Operator,
    Asked(filter): Asked<AuditFilter>,
) -> Result<Json<Page<AuditEntry>>, Answer> {
    let limit = page_limit(filter.limit);
    Ok(Json(app.blocking(move |app| app.audit(&by, &filter, limit)).await?))
}
