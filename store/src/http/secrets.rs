//! Requests about secrets.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::{Extension, Json};
use converge_protocol::secrets::{MoreKeys, NodeSecrets, RecipientNotice, RuleChange, RuleView};
use schemars::JsonSchema;
use serde::Deserialize;

use super::authority::{Node, Operator};
use super::body::Body;
use super::problems::{Answer, Asked, Named, Said};
use crate::app::App;

/// The query of a list of rules.
#[derive(Deserialize, JsonSchema)]
pub(super) struct RulesQuery {
    /// Only this one.
    rule: Option<String>,
}

/// The query of a node that reads.
#[derive(Deserialize, JsonSchema)]
pub(super) struct ReadQuery {
    /// The age recipient of the join string that the node came with.
    join: Option<String>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    by: Operator,
    Asked(query): Asked<RulesQuery>,
) -> Result<Json<Vec<RuleView>>, Answer> {
    Ok(Json(app.blocking(move |app| app.secret_rules(&by, query.rule.as_deref())).await?))
}

pub(super) async fn set(
    State(app): State<Arc<App>>,
    by: Operator,
    Named(rule): Named<String>,
    Body(change): Body<RuleChange>,
) -> Result<(Extension<Said>, StatusCode), Answer> {
    let said = app.blocking(move |app| app.set_secret_rule(&by, &rule, &change)).await?;
    Ok((Extension(Said(said)), StatusCode::NO_CONTENT))
}

pub(super) async fn add_keys(
    State(app): State<Arc<App>>,
    by: Operator,
    Named(rule): Named<String>,
    Body(more): Body<MoreKeys>,
) -> Result<(Extension<Said>, StatusCode), Answer> {
    let said = more.keys.iter().map(|key| key.holder.as_str()).collect::<Vec<_>>().join(", ");
    app.blocking(move |app| app.add_secret_keys(&by, &rule, &more)).await?;
    Ok((Extension(Said(format!("for {said}"))), StatusCode::NO_CONTENT))
}

pub(super) async fn forget(
    State(app): State<Arc<App>>,
    by: Operator,
    Named(rule): Named<String>,
) -> Result<StatusCode, Answer> {
    app.blocking(move |app| app.forget_secret_rule(&by, &rule)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn set_recipient(
    State(app): State<Arc<App>>,
    node: Node,
    Body(notice): Body<RecipientNotice>,
) -> Result<(Extension<Said>, StatusCode), Answer> {
    let said = notice.recipient.clone();
    app.blocking(move |app| app.set_recipient(&node, &notice)).await?;
    Ok((Extension(Said(said)), StatusCode::NO_CONTENT))
}

pub(super) async fn of_node(
    State(app): State<Arc<App>>,
    node: Node,
    Asked(query): Asked<ReadQuery>,
) -> Result<Json<NodeSecrets>, Answer> {
    Ok(Json(app.blocking(move |app| app.secrets_of(&node, query.join.as_deref())).await?))
}
