//! What a store forgets by itself, and what it does not.

use std::time::Duration;

use converge_model::{BlobRef, Outcome, RunId};
use converge_protocol::{MissingBlobs, NodeView, Page, ReportSummary};
use converge_store::Upkeep;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::api::report;
use crate::running::{Running, manifest_of};

const DAY: u32 = 24 * 60 * 60 * 1_000;
/// How often the store of the test looks, and how often the test does.
const OFTEN: Duration = Duration::from_millis(50);

/// Waits until `found` gives what is wanted.
async fn until<T: PartialEq + std::fmt::Debug>(wanted: T, found: impl AsyncFn() -> T) {
    for _ in 0..200 {
        if found().await == wanted {
            return;
        }
        tokio::time::sleep(OFTEN).await;
    }
    panic!("it stayed at {:?}, and not {wanted:?}", found().await);
}

#[tokio::test]
async fn old_reports_go_and_the_last_of_a_node_stays() {
    let store = Running::start_with(Upkeep { every: OFTEN, reports_of_node: 3, ..Upkeep::default() }).await;
    store.publish(b"graph").await;
    let (_, node) = store.enroll("web-1", 1).await;
    for number in 0..8 {
        let report =
            converge_model::Report { run: RunId::new(1_000 + number, 7), ..report(1_000 + number, Outcome::Updated) };
        let sent = store.ask(Method::POST, "/v1/reports", &node).json(&report).send().await.unwrap();
        assert_eq!(sent.status(), StatusCode::NO_CONTENT);
    }
    let left = async || {
        let answer = store.ask(Method::GET, "/v1/reports", &store.operator).send().await.unwrap();
        let page = answer.json::<Page<ReportSummary>>().await.unwrap();
        page.items.iter().map(|report| report.started.0).collect::<Vec<_>>()
    };
    until(vec![1_007, 1_006, 1_005], left).await;
    store.clock.pass(DAY * 31);
    store.clock.pass(DAY * 31);
    assert_eq!(left().await.len(), 3, "62 days are not too old");
    store.clock.pass(DAY * 31);
    until(vec![1_007], left).await;
    let shown = store.ask(Method::GET, "/v1/nodes/web-1", &store.operator).send().await.unwrap();
    assert_eq!(shown.json::<NodeView>().await.unwrap().last_run.map(|run| run.started.0), Some(1_007));
}

#[tokio::test]
async fn blobs_that_no_revision_needs_go_and_a_publication_that_is_under_way_is_safe() {
    let store = Running::start_with(Upkeep { every: OFTEN, ..Upkeep::default() }).await;
    let needed = store.publish(b"needed").await.manifest.graph;
    let [idle, asked] = [store.put_blob(b"idle").await, store.put_blob(b"asked").await];
    let missing = async |blobs: &[BlobRef]| {
        let question = json!({ "digests": blobs.iter().map(|blob| blob.digest).collect::<Vec<_>>() });
        let answer =
            store.ask(Method::POST, "/v1/blobs/missing", &store.operator).json(&question).send().await.unwrap();
        answer.json::<MissingBlobs>().await.unwrap().digests
    };
    let is_there = async |blob: &BlobRef| {
        let path = format!("/v1/blobs/{}", blob.digest);
        store.ask(Method::GET, &path, &store.operator).send().await.unwrap().status() == StatusCode::OK
    };
    store.clock.pass(DAY / 2);
    assert!(missing(&[asked]).await.is_empty(), "an author asks, to publish it next");
    store.clock.pass(DAY / 4 * 3);
    until(false, async || is_there(&idle).await).await;
    assert!(is_there(&needed).await && is_there(&asked).await);
    assert_eq!(missing(&[idle, asked, needed]).await, [idle.digest], "what is gone is asked for again");
    let signed = store.signed(&manifest_of("web", 2, asked));
    let published =
        store.ask(Method::POST, "/v1/policies/web/revisions", &store.operator).json(&signed).send().await.unwrap();
    assert_eq!(published.status(), StatusCode::OK);
    store.clock.pass(DAY * 3);
    tokio::time::sleep(OFTEN * 6).await;
    assert!(is_there(&asked).await, "a revision needs it");
}
