//! Requests about policies, and the blobs that they consist of.

use std::sync::Arc;

use axum::body::Body as RawBody;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use converge_model::{BlobRef, Digest};
use converge_protocol::{
    GroupAssignment, MissingBlobs, NewSignature, Page, PolicyView, RevisionView, SignedManifest, WasLive, limits,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::io::AsyncReadExt;

use super::authority::{Asker, Operator};
use super::body::{Arrival, Body};
use super::nodes::{PageQuery, page_limit};
use super::problems::{Answer, Asked, Named, Said};
use crate::app::App;
use crate::error::StoreError;

/// Bytes of a blob that are read or written at a time.
const CHUNK: usize = 256 << 10;

/// The query of a list by number, newest first.
#[derive(Deserialize, JsonSchema)]
pub(super) struct RevisionsQuery {
    /// Only those after this place, as the page before said.
    after: Option<u64>,
    /// At most so many.
    limit: Option<usize>,
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    by: Operator,
    Asked(query): Asked<PageQuery>,
) -> Result<Json<Page<PolicyView>>, Answer> {
    let limit = page_limit(query.limit);
    Ok(Json(app.blocking(move |app| app.policies(&by, &query.after, limit)).await?))
}

pub(super) async fn publish(
    State(app): State<Arc<App>>,
    by: Operator,
    Named(policy): Named<String>,
    Body(signed): Body<SignedManifest>,
) -> Result<(Extension<Said>, Json<RevisionView>), Answer> {
    let published = app.blocking(move |app| app.publish(&by, &policy, &signed)).await?;
    Ok((Extension(Said(format!("revision {}", published.serial))), Json(published)))
}

/// An operator may ask for any policy's within their scope, a node for those of its own.
pub(super) async fn revisions(
    State(app): State<Arc<App>>,
    by: Asker,
    Named(policy): Named<String>,
    Asked(query): Asked<RevisionsQuery>,
) -> Result<Json<Page<RevisionView>>, Answer> {
    let limit = page_limit(query.limit);
    Ok(Json(app.blocking(move |app| app.revisions(&by, &policy, query.after, limit)).await?))
}

/// A revision as it was signed: for operators, and for the nodes of that policy.
pub(super) async fn signed(
    State(app): State<Arc<App>>,
    by: Asker,
    Named((policy, serial)): Named<(String, u64)>,
) -> Result<Json<SignedManifest>, Answer> {
    Ok(Json(app.blocking(move |app| app.signed_manifest(&by, &policy, serial)).await?))
}

pub(super) async fn sign(
    State(app): State<Arc<App>>,
    by: Operator,
    Named((policy, serial)): Named<(String, u64)>,
    Body(new): Body<NewSignature>,
) -> Result<StatusCode, Answer> {
    app.blocking(move |app| app.sign(&by, &policy, serial, &new.signature)).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn revision(
    State(app): State<Arc<App>>,
    by: Operator,
    Named((policy, serial)): Named<(String, u64)>,
) -> Result<Json<RevisionView>, Answer> {
    Ok(Json(app.blocking(move |app| app.revision(&by, &policy, serial)).await?))
}

pub(super) async fn was_live(
    State(app): State<Arc<App>>,
    by: Operator,
    Named((policy, group)): Named<(String, String)>,
    Asked(query): Asked<RevisionsQuery>,
) -> Result<Json<Page<WasLive>>, Answer> {
    let limit = page_limit(query.limit);
    Ok(Json(app.blocking(move |app| app.was_live(&by, &policy, &group, query.after, limit)).await?))
}

pub(super) async fn assign(
    State(app): State<Arc<App>>,
    by: Operator,
    Named((policy, group)): Named<(String, String)>,
    Body(assignment): Body<GroupAssignment>,
) -> Result<(Extension<Said>, StatusCode), Answer> {
    app.blocking(move |app| app.assign(&by, &policy, &group, assignment.serial)).await?;
    Ok((Extension(Said(format!("revision {}", assignment.serial))), StatusCode::NO_CONTENT))
}

pub(super) async fn missing_blobs(
    State(app): State<Arc<App>>,
    Body(question): Body<MissingBlobs>,
) -> Result<Json<MissingBlobs>, Answer> {
    Ok(Json(app.blocking(move |app| app.missing_blobs(question)).await?))
}

/// Any node, and any operator, may have any blob whose digest they know.
pub(super) async fn get_blob(State(app): State<Arc<App>>, Named(digest): Named<String>) -> Result<Response, Answer> {
    let digest: Digest = digest.parse().map_err(StoreError::invalid)?;
    let (file, size) = app.blocking(move |app| app.blob(&digest)).await?;
    let file = tokio::fs::File::from_std(file);
    let chunks = futures_util::stream::unfold(file, |mut file| async move {
        let mut chunk = vec![0; CHUNK];
        match file.read(&mut chunk).await {
            Ok(0) => None,
            Ok(count) => {
                chunk.truncate(count);
                Some((Ok(chunk), file))
            }
            Err(error) => Some((Err(error), file)),
        }
    });
    let headers =
        [(header::CONTENT_LENGTH, size.to_string()), (header::CONTENT_TYPE, "application/octet-stream".into())];
    Ok((headers, RawBody::from_stream(chunks)).into_response())
}

pub(super) async fn put_blob(
    State(app): State<Arc<App>>,
    Named(digest): Named<String>,
    body: RawBody,
) -> Result<Json<BlobRef>, Answer> {
    let digest: Digest = digest.parse().map_err(StoreError::invalid)?;
    let mut incoming = app.blocking(|app| app.receive_blob()).await?;
    let mut arrival = Arrival::new(body);
    while let Some(chunk) = arrival.next().await? {
        if incoming.size() + chunk.len() as u64 > limits::BLOB_BYTES {
            return Err(StoreError::too_large(format!("a blob may have {} bytes", limits::BLOB_BYTES)).into());
        }
        incoming = app
            .blocking(move |_| {
                incoming.write(&chunk)?;
                Ok(incoming)
            })
            .await?;
    }
    Ok(Json(app.blocking(move |app| app.keep_blob(incoming, &digest)).await?))
}
