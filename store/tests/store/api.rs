//! The API over HTTP, against a real store on loopback with a real database and blobs in a directory of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use converge_model::report::{Conclusion, Mode, REPORT_FORMAT};
use converge_model::{BlobRef, Clock, Digest, Outcome, Report, RunId, Timestamp};
use converge_protocol::{
    Assignment, Manifest, MissingBlobs, NodePage, NodeView, Page, Problem, ReportSummary, RevisionView, SignedManifest,
};
use converge_store::{Store, StoreOptions};
use converge_trust::node_key::NodeKey;
use converge_trust::{SigningKey, revision};
use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::running::{Running, Who, manifest_of, options};

pub(crate) fn report(millis: i64, outcome: Outcome) -> Report {
    Report {
        format: REPORT_FORMAT,
        run: RunId::new(millis, 7),
        node: "whatever it says".into(),
        policy: "web".into(),
        revision: Some(1),
        undoes: None,
        mode: Mode::Apply,
        started: Timestamp(millis),
        millis: 12,
        conclusion: if outcome == Outcome::Failed { Conclusion::Failed } else { Conclusion::Succeeded },
        passes: 1,
        counts: BTreeMap::from([(outcome, 3)]),
        resources: vec![],
        notifications: vec![],
        remarks: vec![],
    }
}

#[tokio::test]
async fn that_a_node_was_heard_of_is_written_down_soon_after() {
    let store = Running::start().await;
    store.publish(b"graph 1").await;
    let (_, node) = store.enroll("web-1", 1).await;
    let heard = async || {
        let answer = store.ask(Method::GET, "/v1/nodes/web-1", &store.operator).send().await.unwrap();
        answer.json::<NodeView>().await.unwrap().last_contact
    };
    assert_eq!(heard().await, None);
    let before = store.clock.now();
    assert_eq!(store.ask(Method::GET, "/v1/node", &node).send().await.unwrap().status(), StatusCode::OK);
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let found = loop {
        match heard().await {
            Some(found) => break found,
            None => assert!(std::time::Instant::now() < deadline, "it was never written down"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(found >= before, "{found:?} is before {before:?}");
}

#[tokio::test]
async fn a_policy_is_published_assigned_and_its_node_reports() {
    let store = Running::start().await;
    let first = store.publish(b"graph 1").await;
    assert_eq!((first.serial, first.signatures), (1, 1));
    let (token, node) = store.enroll("web-1", 1).await;
    assert_eq!((node.answer.policy.as_str(), node.answer.group.as_str()), ("web", "dev"));
    let other = NodeKey::generate().unwrap();
    assert_eq!(store.try_enroll(&token.token, "web-2", &other).await.status(), StatusCode::UNAUTHORIZED, "used up");

    let answer = store.ask(Method::GET, "/v1/node", &node).send().await.unwrap();
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(answer.json::<Assignment>().await.unwrap().revision, None, "nothing is live yet");

    // Held until something is live, and answered at once then.
    let held = store.ask(Method::GET, "/v1/node?wait=30", &node).header("if-none-match", &tag).send();
    let (answer, ()) = tokio::join!(held, async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        store.assign(1).await;
    });
    let answer = answer.unwrap();
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let revision = answer.json::<Assignment>().await.unwrap().revision.unwrap();
    assert_eq!((revision.serial, revision.signatures), (1, 1));
    let signed = store.ask(Method::GET, "/v1/policies/web/revisions/1/signed", &node).send().await.unwrap();
    let signed: SignedManifest = signed.json().await.unwrap();
    assert_eq!(revision.manifest, Digest::of(signed.manifest.as_bytes()));
    assert_eq!(revision::keys(&signed), Ok(vec![store.author.public()]));
    let graph = revision::read(&signed.manifest).unwrap().graph;
    assert_eq!(graph, BlobRef::of(b"graph 1"));

    let unchanged = store.ask(Method::GET, "/v1/node", &node).header("if-none-match", &tag).send().await.unwrap();
    assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(unchanged.bytes().await.unwrap().len(), 0);

    let path = format!("/v1/blobs/{}", graph.digest);
    let listed = store.ask(Method::GET, "/v1/policies/web/revisions?limit=1", &node).send().await.unwrap();
    let listed: Page<RevisionView> = listed.json().await.unwrap();
    assert_eq!(listed.items.len(), 1, "a node sees the revisions of its own policy");
    let graph = store.ask(Method::GET, &path, &node).send().await.unwrap();
    assert_eq!(graph.bytes().await.unwrap().as_ref(), b"graph 1");

    for report in [report(1000, Outcome::Updated), report(2000, Outcome::UpToDate), report(1000, Outcome::Updated)] {
        let answer = store.ask(Method::POST, "/v1/reports", &node).json(&report).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    }
    let facts = json!({ "os": { "id": "debian" } });
    store.ask(Method::PUT, "/v1/node/facts", &node).json(&facts).send().await.unwrap();

    store.enroll("web-9", 9).await;
    let list = |query: &str| store.ask(Method::GET, &format!("/v1/reports{query}"), &store.operator).send();
    let all: Page<ReportSummary> = list("?node=web-1").await.unwrap().json().await.unwrap();
    assert_eq!(all.items.iter().map(|report| report.started.0).collect::<Vec<_>>(), [2000, 1000], "twice is once");
    let page: Page<ReportSummary> = list("?limit=1").await.unwrap().json().await.unwrap();
    let rest: Page<ReportSummary> =
        list(&format!("?limit=1&after={}", page.next.unwrap())).await.unwrap().json().await.unwrap();
    assert_eq!((rest.items[0].started.0, rest.next), (1000, None));
    let eventful: Page<ReportSummary> = list("?eventful=true").await.unwrap().json().await.unwrap();
    assert_eq!(eventful.items.len(), 1);
    let path = format!("/v1/reports/{}", all.items[0].run);
    let one: Report = store.ask(Method::GET, &path, &store.operator).send().await.unwrap().json().await.unwrap();
    assert_eq!((one.node.as_str(), one.count(Outcome::UpToDate)), ("web-1", 3));

    let node: NodeView =
        store.ask(Method::GET, "/v1/nodes/web-1", &store.operator).send().await.unwrap().json().await.unwrap();
    assert_eq!((node.wanted_revision, node.run_revision), (Some(1), Some(1)));
    assert_eq!(node.facts.unwrap().lookup("os.id").unwrap().to_string(), "debian");
    let nodes: Page<NodeView> =
        store.ask(Method::GET, "/v1/nodes", &store.operator).send().await.unwrap().json().await.unwrap();
    assert_eq!(nodes.items.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["web-1", "web-9"]);
    assert_eq!(nodes.items[0].last_run.as_ref().unwrap().started.0, 2000);
}

#[tokio::test]
async fn what_must_not_be_is_refused_with_a_problem_document() {
    let store = Running::start().await;
    store.publish(b"graph").await;
    let (token, node) = store.enroll("web-1", 9).await;
    let absent = BlobRef::of(b"never put");
    let signed = |policy: &str, serial, graph: BlobRef| json!(store.signed(&manifest_of(policy, serial, graph)));
    let graph = BlobRef::of(b"graph");
    let bare = |text: &str| json!({ "manifest": text, "signatures": [] });
    let unsigned = bare(signed("web", 2, graph)["manifest"].as_str().unwrap());
    let mut altered = signed("web", 2, graph);
    altered["manifest"] = signed("web", 3, graph)["manifest"].clone();
    let mut strange = signed("web", 1, graph);
    strange["signature"] = altered["signatures"][0].clone();
    let wrong_size = BlobRef { size: 1, ..BlobRef::of(b"graph") };
    let blob = format!("/v1/blobs/{}", BlobRef::of(b"x").digest);
    let mut future = report(1, Outcome::Failed);
    future.format = 999;
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    let (node, operator, nobody) = (Who::Node(&node), Who::Token(&store.operator), Who::Token(""));
    let key = NodeKey::generate().unwrap().public().to_string();
    let machine = |name: &str| json!({ "token": token.token, "name": name, "key": key, "proof": "x" });
    let cases: Vec<(Method, &str, Who<'_>, Json, u16, &str)> = vec![
        (get.clone(), "/v1/node", Who::Token("a guess"), json!(null), 401, "no operator has this token"),
        (get.clone(), "/v1/node", operator, json!(null), 403, "for nodes only"),
        (get.clone(), "/v1/nodes", node, json!(null), 403, "for operators only"),
        (post.clone(), "/v1/enroll", nobody, machine("x"), 401, "not signed by it"),
        (post.clone(), "/v1/enroll", nobody, machine("../x"), 422, "not the name of a node"),
        (post.clone(), "/v1/enroll", nobody, json!({ "name": "x" }), 422, "missing field `token`"),
        (post.clone(), "/v1/tokens", operator, json!({ "policy": "none", "group": "dev" }), 404, "no policy none"),
        (post.clone(), "/v1/policies/web/revisions", operator, signed("web", 2, absent), 409, "first"),
        (post.clone(), "/v1/policies/web/revisions", operator, signed("web", 2, wrong_size), 422, "has 5 bytes"),
        (post.clone(), "/v1/policies/web/revisions", operator, signed("db", 1, absent), 422, "of policy \"db\""),
        (post.clone(), "/v1/policies/web/revisions", operator, unsigned, 422, "carries no signature"),
        (post.clone(), "/v1/policies/web/revisions", operator, altered, 422, "was altered"),
        (post.clone(), "/v1/policies/web/revisions", operator, bare("{}"), 422, "not a manifest"),
        (post.clone(), "/v1/policies/web/revisions", operator, signed("web", 1, graph), 409, "the next one is 2"),
        (post.clone(), "/v1/policies/web/revisions", operator, signed("web", 1 << 30, graph), 409, "the next one is 2"),
        (post.clone(), "/v1/policies/web/revisions", operator, signed("web", 1 << 60, graph), 422, "the serial"),
        (post.clone(), "/v1/policies/web/revisions/1/signatures", operator, strange, 422, "signature 2: "),
        (get.clone(), "/v1/policies/web/revisions/9/signed", operator, json!(null), 404, "no revision 9"),
        (get.clone(), "/v1/policies/db/revisions/1/signed", node, json!(null), 403, "its own policy only"),
        (post.clone(), "/v1/policies/web/revisions/1/signatures", node, json!({}), 403, "for operators only"),
        (put.clone(), "/v1/policies/web/groups/dev", operator, json!({ "serial": 9 }), 404, "no revision 9"),
        (put.clone(), &blob, operator, json!("not x"), 422, "what came has the digest"),
        (put.clone(), "/v1/blobs/..%2f..%2fetc", operator, json!(null), 422, "not a SHA-256 digest"),
        (get.clone(), &blob, node, json!(null), 404, "no blob"),
        (post.clone(), "/v1/reports", node, serde_json::to_value(&future).unwrap(), 422, "upgrade the store"),
        (post.clone(), "/v1/reports", node, json!("rubbish"), 422, "expected"),
        (put.clone(), "/v1/node/facts", node, json!([1]), 422, "facts are a map"),
        (get.clone(), "/v1/nodes?limit=x", operator, json!(null), 422, "limit"),
        (get.clone(), "/v1/policies/web/revisions/x", operator, json!(null), 422, "x"),
        // A node may ask for the revisions of its own policy, and no other.
        (get.clone(), "/v1/policies/db/revisions", node, json!(null), 403, "its own policy only"),
        (get.clone(), "/v1/nonsense", operator, json!(null), 404, "GET /v1/nonsense"),
        (Method::DELETE, "/v1/policies", operator, json!(null), 405, "takes no DELETE"),
        (post.clone(), "/v1/enroll", nobody, json!({ "token": "x".repeat(70_000), "name": "x" }), 413, "65536 bytes"),
        (get.clone(), "/v1/nodes?where=facts.", operator, json!(null), 422, "the expression"),
        (get.clone(), "/v1/nodes?where=attr.x.y", operator, json!(null), 422, "sees `facts` and `node`"),
        (get.clone(), "/v1/nodes?state=fine", operator, json!(null), 422, "is no state"),
        (Method::PATCH, "/v1/nodes/web-9", operator, json!({ "add_tags": ["a"] }), 404, "no node web-9"),
        (Method::PATCH, "/v1/nodes/web-1", operator, json!({ "add_tags": ["a b"] }), 422, "not the name of a tag"),
        (Method::PATCH, "/v1/nodes/web-1", operator, json!({ "set": { "nginx": { "workers": 1 } } }), 409, "nothing"),
        (Method::PATCH, "/v1/nodes/web-1", operator, json!({ "tags": ["a"] }), 422, "unknown field"),
        (Method::DELETE, "/v1/nodes/web-9", operator, json!(null), 404, "no node web-9"),
    ];
    for (method, path, who, body, status, part) in cases {
        let answer = store.ask(method.clone(), path, who).json(&body).send().await.unwrap();
        let found = answer.status().as_u16();
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{method} {path}");
        let request = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let problem: Problem = answer.json().await.unwrap();
        assert_eq!((found, problem.status), (status, status), "{method} {path}: {problem:?}");
        assert!(problem.detail.as_deref().unwrap_or_default().contains(part), "{method} {path}: {problem:?}");
        assert_eq!(problem.request.as_deref(), Some(request.as_str()));
    }
    let plain = store.ask(post.clone(), "/v1/reports", node).body("text").send().await.unwrap();
    assert_eq!(
        (plain.status().as_u16(), plain.json::<Problem>().await.unwrap().kind),
        (415, "unsupported-media-type".into())
    );
    let missing = json!({ "digests": [absent.digest, BlobRef::of(b"graph").digest] });
    let answer = store.ask(post, "/v1/blobs/missing", operator).json(&missing).send().await.unwrap();
    assert_eq!(answer.json::<MissingBlobs>().await.unwrap().digests, [absent.digest]);
}

#[tokio::test]
async fn a_revision_is_signed_by_others_and_no_group_goes_back() {
    let store = Running::start().await;
    store.publish_policy("web", 7, b"graph 7").await;
    let (_, node) = store.enroll("web-1", 1).await;
    let path = "/v1/policies/web/revisions/7/signed";
    let signed = || async {
        let answer = store.ask(Method::GET, path, &store.operator).send().await.unwrap();
        answer.json::<SignedManifest>().await.unwrap()
    };
    let manifest = signed().await.manifest;
    store.assign(7).await;
    let answer = store.ask(Method::GET, "/v1/node", &node).send().await.unwrap();
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    // A node that waits for another signature hears of it at once; who signed already adds nothing.
    let held = store.ask(Method::GET, "/v1/node?wait=30", &node).header("if-none-match", &tag).send();
    let second = SigningKey::generate("second").unwrap();
    let sign = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        for key in [&store.author, &second, &second] {
            let signature = key.sign(revision::NAMESPACE, manifest.as_bytes()).unwrap();
            let path = "/v1/policies/web/revisions/7/signatures";
            let answer = store.ask(Method::POST, path, &store.operator).json(&json!({ "signature": signature }));
            assert_eq!(answer.send().await.unwrap().status(), StatusCode::NO_CONTENT);
        }
    };
    let (answer, ()) = tokio::join!(held, sign);
    let assigned: Assignment = answer.unwrap().json().await.unwrap();
    assert_eq!(assigned.revision.unwrap().signatures, 2);
    assert_eq!(revision::keys(&signed().await), Ok(vec![store.author.public(), second.public()]));
    assert_eq!(signed().await.manifest, manifest, "byte for byte");

    store.publish_policy("web", 8, b"graph 8").await;
    store.assign(8).await;
    let back = store.ask(Method::PUT, "/v1/policies/web/groups/dev", &store.operator).json(&json!({ "serial": 7 }));
    let back = back.send().await.unwrap();
    assert_eq!(back.status(), StatusCode::CONFLICT);
    assert!(back.text().await.unwrap().contains("as a new revision"));

    // There may be a gap, where a store lost some. What was signed for some groups is live in no other.
    let prod = Manifest { groups: vec!["prod".into()], ..manifest_of("web", 20, BlobRef::of(b"graph 8")) };
    let prod = store.signed(&prod);
    let publish = store.ask(Method::POST, "/v1/policies/web/revisions", &store.operator).json(&prod);
    assert_eq!(publish.send().await.unwrap().status(), StatusCode::OK);
    for (group, status) in [("dev", StatusCode::CONFLICT), ("prod", StatusCode::NO_CONTENT)] {
        let path = format!("/v1/policies/web/groups/{group}");
        let answer =
            store.ask(Method::PUT, &path, &store.operator).json(&json!({ "serial": 20 })).send().await.unwrap();
        assert_eq!(answer.status(), status, "{group}");
    }
}

#[tokio::test]
async fn a_second_store_on_the_same_data_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let options = options(data.path());
    let first = Store::open(&options).await.unwrap();
    let error = Store::open(&options).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("another store runs"), "{error}");
    drop(first);
    Store::open(&options).await.unwrap();
}

#[tokio::test]
async fn a_second_store_on_the_same_address_is_refused() {
    let store = Running::start().await;
    let data = tempfile::tempdir().unwrap();
    let listen = store.base.trim_start_matches("https://").parse().unwrap();
    let options = StoreOptions { listen, ..options(data.path()) };
    let error = Store::open(&options).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("in use"), "{error}");
}

#[tokio::test]
async fn nodes_are_found_by_what_they_are_and_changed_and_forgotten() {
    let store = Running::start().await;
    let attribute = |ty: &str, settable: bool| json!({ "type": ty, "node_settable": settable, "at": [0, 1, 1] });
    let attributes = json!({ "workers": attribute("integer", true), "user": attribute("string", false) });
    let cookbook = json!({ "name": "nginx", "version": "1.0.0", "attributes": attributes });
    let format = converge_model::graph::FORMAT;
    let graph = json!({
        "format": format, "policy": "web", "sources": ["cookbook.toml"], "cookbooks": [cookbook], "recipes": [],
    });
    store.publish(graph.to_string().as_bytes()).await;
    store.assign(1).await;
    for (name, os, outcome) in [
        ("web-1", Some("debian"), Some(Outcome::Updated)),
        ("web-2", Some("fedora"), Some(Outcome::Failed)),
        ("web-3", None, None),
    ] {
        let (_, node) = store.enroll(name, 1).await;
        if let Some(os) = os {
            let facts = json!({ "os": { "id": os } });
            store.ask(Method::PUT, "/v1/node/facts", &node).json(&facts).send().await.unwrap();
        }
        if let Some(outcome) = outcome {
            let mut report = report(1000, outcome);
            report.run = RunId::new(1000, name.bytes().map(u128::from).sum());
            store.ask(Method::POST, "/v1/reports", &node).json(&report).send().await.unwrap();
        }
    }
    let change = |body: Json| store.ask(Method::PATCH, "/v1/nodes/web-1", &store.operator).json(&body).send();
    let answer = change(json!({ "add_tags": ["edge", "b"], "set": { "nginx": { "workers": 4 } } })).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{}", answer.text().await.unwrap());
    for (wrong, part) in [
        (json!({ "nginx": { "workers": "many" } }), "expected an integer"),
        (json!({ "nginx": { "user": "x" } }), "node_settable"),
        (json!({ "nginx": { "worker": 1 } }), "declares none"),
        (json!({ "apache": { "workers": 1 } }), "no cookbook apache"),
    ] {
        let problem: Problem = change(json!({ "set": wrong })).await.unwrap().json().await.unwrap();
        assert!(problem.detail.as_deref().unwrap_or_default().contains(part), "{problem:?}");
    }
    let node: NodeView = change(json!({ "remove_tags": ["b"] })).await.unwrap().json().await.unwrap();
    assert_eq!((node.tags, node.attributes["nginx"]["workers"].to_string().as_str()), (vec!["edge".to_owned()], "4"));

    let found = async |query: &[(&str, &str)]| {
        let request = store.ask(Method::GET, "/v1/nodes", &store.operator).query(query);
        let page: NodePage = request.send().await.unwrap().json().await.unwrap();
        (page.items.into_iter().map(|node| node.name).collect::<Vec<_>>().join(" "), page.undecided, page.next)
    };
    for (query, names, undecided) in [
        (("policy", "web"), "web-1 web-2 web-3", 0),
        (("policy", "db"), "", 0),
        (("group", "prod"), "", 0),
        (("tag", "edge"), "web-1", 0),
        (("state", "good"), "web-1", 0),
        (("state", "failing"), "web-2", 0),
        (("state", "never-ran"), "web-3", 0),
        (("state", "behind"), "web-3", 0),
        (("where", "facts.os.id == 'debian'"), "web-1", 1),
        (("where", "'edge' not in node.tags"), "web-2 web-3", 0),
    ] {
        assert_eq!(found(&[query]).await, (names.to_owned(), undecided, None), "{query:?}");
    }
    assert_eq!(found(&[("limit", "2")]).await, ("web-1 web-2".to_owned(), 0, Some("web-2".to_owned())));
    assert_eq!(found(&[("limit", "2"), ("after", "web-2")]).await, ("web-3".to_owned(), 0, None));

    let forgotten = store.ask(Method::DELETE, "/v1/nodes/web-2", &store.operator).send().await.unwrap();
    assert_eq!(forgotten.status(), StatusCode::NO_CONTENT);
    assert_eq!(found(&[]).await.0, "web-1 web-3");
    let reports: Page<ReportSummary> =
        store.ask(Method::GET, "/v1/reports", &store.operator).send().await.unwrap().json().await.unwrap();
    assert_eq!(reports.items.len(), 1, "its reports went with it");
}

#[tokio::test]
async fn whoever_watches_the_store_sees_how_it_is() {
    let store = Running::start().await;
    store.publish(b"graph").await;
    store.enroll("web-1", 1).await;
    store.ask(Method::GET, "/v1/nonsense/x", "").send().await.unwrap();
    let text = async |path: &str| {
        let answer = store.http.get(format!("{}{path}", store.base)).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        answer.text().await.unwrap()
    };
    assert_eq!((text("/healthz").await.as_str(), text("/readyz").await.as_str()), ("ok\n", "ready\n"));
    let metrics = text("/metrics").await;
    for line in [
        "converge_store_requests_total{method=\"POST\",route=\"/v1/enroll\",status=\"200\"} 1",
        "converge_store_requests_total{method=\"GET\",route=\"none\",status=\"404\"} 1",
        "converge_store_request_duration_seconds_count{route=\"/v1/enroll\"} 1",
        "converge_store_nodes{state=\"all\"} 1",
        "converge_store_requests_under_way 1",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
}
