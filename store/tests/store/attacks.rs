//! What somebody tries who is not whom they say, or asks what was not asked: each is refused, with a reason.

use std::time::Duration;

use converge_model::{Clock, Digest, Timestamp};
use converge_protocol::authority::{OperatorToken, WaitingMachine};
use converge_protocol::problem::{WRONG_CLOCK, WRONG_KEY};
use converge_protocol::{AuditEntry, EnrollResponse, Page};
use converge_store::Store;
use converge_trust::node_key::{NodeKey, Purpose, rotation_message, signature_text};
use futures_util::{StreamExt, stream};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::running::{Running, TestClock, TestNode, Who, options, refusal, target};

async fn started() -> (Running, TestNode) {
    let store = Running::start().await;
    store.publish(b"graph").await;
    let (_, node) = store.enroll("web-1", 1).await;
    (store, node)
}

/// What the store says to a check-in with this header.
async fn check_in(store: &Running, header: &str) -> Result<(), (u16, String)> {
    let answer = store.ask(Method::GET, "/v1/node", "").header("authorization", header).send().await.unwrap();
    if answer.status().is_success() {
        return Ok(());
    }
    let (status, problem) = refusal(answer).await;
    Err((status, problem.kind))
}

#[tokio::test]
async fn a_request_that_is_repeated_is_refused() {
    let (store, node) = started().await;
    let (http, request) = store.ask(Method::PUT, "/v1/node/facts", &node).json(&json!({ "a": 1 })).build();
    let again = request.try_clone().unwrap();
    assert_eq!(http.execute(request).await.unwrap().status(), StatusCode::NO_CONTENT);
    let (status, problem) = refusal(http.execute(again).await.unwrap()).await;
    assert_eq!(status, 401);
    assert!(problem.detail.unwrap().contains("made before"));
}

#[tokio::test]
async fn a_request_that_was_altered_on_the_way_is_refused() {
    let (store, node) = started().await;
    let good = || store.ask(Method::PUT, "/v1/node/facts", &node).json(&json!({ "a": 1 })).build();
    let sent = async |alter: &dyn Fn(&mut reqwest::Request)| {
        let (http, mut request) = good();
        alter(&mut request);
        refusal(http.execute(request).await.unwrap()).await.0
    };
    // Another body; none; another path; another query; another method; the header of another request.
    assert_eq!(sent(&|request| *request.body_mut() = Some("{\"a\":2}".into())).await, 401);
    assert_eq!(sent(&|request| *request.body_mut() = None).await, 401);
    assert_eq!(sent(&|request| request.url_mut().set_path("/v1/reports")).await, 405, "no such method there");
    assert_eq!(sent(&|request| request.url_mut().set_query(Some("x=1"))).await, 401);
    assert_eq!(
        sent(&|request| {
            *request.method_mut() = Method::POST;
            request.url_mut().set_path("/v1/reports");
        })
        .await,
        401
    );
    let held = node.sign("GET", "/v1/node?wait=1", b"", TestClock::default().now());
    assert_eq!(check_in(&store, &held).await, Err((401, WRONG_KEY.to_owned())), "another query");
    let (_, request) = good();
    assert_eq!(target(&request), "/v1/node/facts");
    let other = request.headers()[AUTHORIZATION].to_str().unwrap().to_owned();
    assert_eq!(check_in(&store, &other).await, Err((401, WRONG_KEY.to_owned())));
}

#[tokio::test]
async fn a_request_of_another_time_is_told_the_stores_time_and_taken_with_it() {
    let (store, node) = started().await;
    let hour = 3_600_000;
    for wrong_by in [hour, -hour, 50 * 365 * 24 * hour, -50 * 365 * 24 * hour] {
        let at = Timestamp(store.clock.now().0 + wrong_by);
        let header = node.sign("GET", "/v1/node", b"", at);
        let (status, problem) = store.ask(Method::GET, "/v1/node", "").header("authorization", &header).refusal().await;
        assert_eq!((status, problem.kind.as_str()), (401, WRONG_CLOCK), "{wrong_by}");
        let told = problem.time.unwrap();
        assert!(told.0.abs_diff(store.clock.now().0) < 5_000, "{told:?}");
        let header = node.sign("GET", "/v1/node", b"", told);
        assert_eq!(check_in(&store, &header).await, Ok(()), "{wrong_by}");
    }
}

#[tokio::test]
async fn a_store_whose_clock_is_set_takes_no_request_again_and_locks_no_node_out() {
    let (store, node) = started().await;
    let (minutes, day) = (600_000, 24 * 3_600_000);
    let taken = node.sign("GET", "/v1/node", b"", store.clock.now());
    assert_eq!(check_in(&store, &taken).await, Ok(()));
    // So long after that it is forgotten, the clock is back where the request was good.
    store.clock.pass(minutes);
    store.clock.turn(-i64::from(minutes));
    assert_eq!(check_in(&store, &taken).await, Err((401, WRONG_CLOCK.to_owned())));
    for turned in [-day, 400 * day] {
        store.clock.turn(turned);
        let asked = store.ask(Method::GET, "/v1/node", "").header("authorization", &taken);
        let header = node.sign("GET", "/v1/node", b"", asked.refusal().await.1.time.unwrap());
        assert_eq!(check_in(&store, &header).await, Ok(()), "{turned}");
    }
}

#[tokio::test]
async fn a_request_made_before_the_store_started_could_be_a_repetition() {
    let (store, node) = started().await;
    let before = Timestamp(store.clock.now().0 - 30_000);
    let header = node.sign("GET", "/v1/node", b"", before);
    assert_eq!(check_in(&store, &header).await, Err((401, WRONG_CLOCK.to_owned())));
}

#[tokio::test]
async fn a_key_is_good_for_its_node_and_its_store_alone() {
    let (store, node) = started().await;
    let (_, other) = store.enroll("web-2", 1).await;
    let now = TestClock::default().now();
    let as_another = TestNode { key: NodeKey::from_text(&other.key.to_text()).unwrap(), answer: node.answer.clone() };
    let header = as_another.sign("GET", "/v1/node", b"", now);
    assert_eq!(check_in(&store, &header).await, Err((401, WRONG_KEY.to_owned())), "another node's key");
    let nobody = EnrollResponse { name: "web-9".into(), ..node.answer.clone() };
    let nobody = TestNode { key: NodeKey::generate().unwrap(), answer: nobody };
    assert_eq!(check_in(&store, &nobody.sign("GET", "/v1/node", b"", now)).await, Err((401, WRONG_KEY.to_owned())));
    let elsewhere = EnrollResponse { store: "another store".into(), ..node.answer.clone() };
    let elsewhere = TestNode { key: NodeKey::from_text(&node.key.to_text()).unwrap(), answer: elsewhere };
    let header = elsewhere.sign("GET", "/v1/node", b"", now);
    assert_eq!(check_in(&store, &header).await, Err((401, WRONG_KEY.to_owned())), "signed for another store");
    let cut = node.sign("GET", "/v1/node", b"", now);
    assert_eq!(check_in(&store, &cut[..cut.len() - 1]).await, Err((401, "unauthorized".to_owned())));
}

#[tokio::test]
async fn a_revoked_node_is_refused_at_once_also_where_it_waits() {
    let (store, node) = started().await;
    let tag = store.ask(Method::GET, "/v1/node", &node).send().await.unwrap();
    let tag = tag.headers()["etag"].to_str().unwrap().to_owned();
    let held = store.ask(Method::GET, "/v1/node?wait=30", &node).header("if-none-match", &tag).send();
    let (held, revoked) = tokio::join!(held, async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        store.ask(Method::PUT, "/v1/nodes/web-1/revocation", &store.operator).json(&()).send().await.unwrap()
    });
    assert_eq!((revoked.status(), held.unwrap().status()), (StatusCode::NO_CONTENT, StatusCode::FORBIDDEN));
    let (status, problem) = store.ask(Method::GET, "/v1/node", &node).refusal().await;
    assert_eq!(status, 403);
    assert!(problem.detail.unwrap().contains("was revoked"));
    // With a good join token, a revoked key gets no further than another's.
    let token = store.join_token(json!({ "policy": "web", "group": "dev" })).await;
    let again: EnrollResponse = store.try_enroll(&token.token, "web-1", &node.key).await.json().await.unwrap();
    assert!(again.waiting);
    assert_eq!(store.ask(Method::GET, "/v1/node", &node).refusal().await.0, 403);
    store.ask(Method::DELETE, "/v1/nodes/web-1/revocation", &store.operator).json(&()).send().await.unwrap();
    assert_eq!(store.ask(Method::GET, "/v1/node", &node).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn the_body_of_who_may_not_ask_is_not_waited_for() {
    let (store, node) = started().await;
    let wish = json!({ "name": "vera", "role": "viewer" });
    let viewer = store.ask(Method::POST, "/v1/operators", &store.operator).json(&wish).send().await.unwrap();
    let viewer = viewer.json::<OperatorToken>().await.unwrap().token;
    let stranger = TestNode { key: NodeKey::generate().unwrap(), answer: node.answer.clone() };
    let blob = format!("/v1/blobs/{}", Digest::of(b"never comes"));
    let (guess, viewer) = (Who::Token("converge_operator_guess"), Who::Token(&viewer));
    for (who, method, path, expected) in [
        (Who::Token(""), Method::PUT, blob.as_str(), 401),
        (guess, Method::PUT, blob.as_str(), 401),
        (viewer, Method::PUT, blob.as_str(), 403),
        (Who::Node(&node), Method::PUT, blob.as_str(), 403),
        (Who::Token(""), Method::POST, "/v1/reports", 401),
        (Who::Node(&stranger), Method::POST, "/v1/reports", 401),
        (viewer, Method::POST, "/v1/policies/web/revisions", 403),
        (Who::Node(&stranger), Method::PUT, "/v1/node/facts", 401),
    ] {
        // A beginning, and then nothing more for as long as the connection is open.
        let begun = stream::iter([Ok::<_, std::io::Error>("{")]).chain(stream::pending());
        let asked = store.ask(method.clone(), path, who).header("content-type", "application/json");
        let asked = asked.body(reqwest::Body::wrap_stream(begun)).refusal();
        let (status, problem) = tokio::time::timeout(Duration::from_secs(5), asked)
            .await
            .unwrap_or_else(|_| panic!("{method} {path}: the body was waited for"));
        assert_eq!(status, expected, "{method} {path}: {problem:?}");
    }
}

#[tokio::test]
async fn join_tokens_are_counted_expire_and_are_for_what_they_say() {
    let (store, _) = started().await;
    let key = NodeKey::generate().unwrap();
    let refused = async |token: &str, name: &str, key: &NodeKey| {
        let (status, problem) = refusal(store.try_enroll(token, name, key).await).await;
        (status, problem.detail.unwrap_or_default())
    };
    let counted = store.join_token(json!({ "policy": "web", "group": "dev", "uses": 1 })).await.token;
    assert_eq!(store.try_enroll(&counted, "db-1", &key).await.status(), StatusCode::OK);
    assert_eq!(
        store.try_enroll(&counted, "db-1", &key).await.status(),
        StatusCode::OK,
        "its answer may have been lost"
    );
    let other = NodeKey::generate().unwrap();
    let (status, detail) = refused(&counted, "db-2", &other).await;
    assert!(status == 401 && detail.contains("used up"), "{status} {detail}");
    let (status, detail) = refused("converge_join_0", "db-2", &other).await;
    assert!(status == 401 && detail.contains("not known"), "{status} {detail}");
    let short = store.join_token(json!({ "policy": "web", "group": "dev", "valid_seconds": 60 })).await.token;
    store.clock.turn(61_000);
    let (status, detail) = refused(&short, "db-2", &other).await;
    assert!(status == 401 && detail.contains("expired"), "{status} {detail}");
    let place = store.join_token(json!({ "policy": "web", "group": "dev", "replaces": "db-1" })).await.token;
    let (status, detail) = refused(&place, "db-2", &other).await;
    assert!(status == 403 && detail.contains("for the node db-1 alone"), "{status} {detail}");
    // A key that is a node's already is no second node's.
    let any = store.join_token(json!({ "policy": "web", "group": "dev" })).await.token;
    assert_eq!(refused(&any, "db-3", &key).await.0, 409);
    let taken: EnrollResponse = store.try_enroll(&place, "db-1", &other).await.json().await.unwrap();
    assert!(!taken.waiting, "the token says so");
}

#[tokio::test]
async fn a_taken_name_waits_for_one_approval_and_the_old_key_is_good_no_more() {
    let (store, node) = started().await;
    let token = store.join_token(json!({ "policy": "web", "group": "prod", "uses": 1 })).await.token;
    let rebuilt = NodeKey::generate().unwrap();
    for _ in 0..2 {
        let answer: EnrollResponse = store.try_enroll(&token, "web-1", &rebuilt).await.json().await.unwrap();
        assert!(answer.waiting, "and costs one use, however often it asks");
    }
    let anew = TestNode { key: rebuilt, answer: node.answer.clone() };
    assert_eq!(store.ask(Method::GET, "/v1/node", &anew).refusal().await.0, 401);
    assert_eq!(store.ask(Method::GET, "/v1/node", &node).send().await.unwrap().status(), StatusCode::OK);

    let waiting = store.ask(Method::GET, "/v1/waiting", &store.operator).send().await.unwrap();
    let waiting: Page<WaitingMachine> = waiting.json().await.unwrap();
    assert_eq!(waiting.items[0].fingerprint, anew.key.public().fingerprint());
    let approve = |body| store.ask(Method::POST, "/v1/nodes/web-1/approval", &store.operator).json(&body);
    assert_eq!(approve(json!({ "fingerprint": "SHA256:another" })).refusal().await.0, 409);
    assert_eq!(approve(json!({})).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(approve(json!({})).refusal().await.0, 404, "nobody waits any more");
    assert_eq!(store.ask(Method::GET, "/v1/node", &node).refusal().await.0, 401);
    assert_eq!(store.ask(Method::GET, "/v1/node", &anew).send().await.unwrap().status(), StatusCode::OK);
    let answer: EnrollResponse = store.try_enroll(&token, "web-1", &anew.key).await.json().await.unwrap();
    assert!(!answer.waiting && answer.group == "prod");

    // With a node that is forgotten, there is no place left to wait for.
    let (token, another) =
        (store.join_token(json!({ "policy": "web", "group": "dev" })).await.token, NodeKey::generate().unwrap());
    let answer: EnrollResponse = store.try_enroll(&token, "web-1", &another).await.json().await.unwrap();
    assert!(answer.waiting);
    let forgotten = store.ask(Method::DELETE, "/v1/nodes/web-1", &store.operator).send().await.unwrap();
    assert_eq!(forgotten.status(), StatusCode::NO_CONTENT);
    let waiting: Page<WaitingMachine> =
        store.ask(Method::GET, "/v1/waiting", &store.operator).send().await.unwrap().json().await.unwrap();
    assert!(waiting.items.is_empty());
    let answer: EnrollResponse = store.try_enroll(&token, "web-1", &another).await.json().await.unwrap();
    assert!(!answer.waiting, "the name is free");
}

#[tokio::test]
async fn a_key_takes_anothers_place_only_where_both_agree() {
    let (store, node) = started().await;
    let next = NodeKey::generate().unwrap();
    let message = rotation_message(&node.answer.store, "web-1", &next.public());
    let rotate = |key: &NodeKey, by: &NodeKey| {
        let proof = signature_text(&by.sign(Purpose::Rotate, &message));
        store
            .ask(Method::POST, "/v1/node/key", &node)
            .json(&json!({ "next": key.public().to_string(), "proof": proof }))
    };
    assert_eq!(rotate(&next, &node.key).refusal().await.0, 401, "the next key did not sign");
    assert_eq!(rotate(&next, &next).send().await.unwrap().status(), StatusCode::NO_CONTENT);
    assert_eq!(store.ask(Method::GET, "/v1/node", &node).refusal().await.0, 401, "the key until now");
    let anew = TestNode { key: next, answer: node.answer.clone() };
    assert_eq!(store.ask(Method::GET, "/v1/node", &anew).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn every_change_and_every_denied_try_is_in_the_audit_log() {
    let (store, node) = started().await;
    store.assign(1).await;
    store.ask(Method::GET, "/v1/audit", &node).refusal().await;
    let change = json!({ "add_tags": ["edge"], "unset": { "web": ["title"] } });
    store.ask(Method::PATCH, "/v1/nodes/web-1", &store.operator).json(&change).send().await.unwrap();
    store.ask(Method::DELETE, "/v1/nodes/%1b%5b2Jx", &store.operator).refusal().await;
    store.ask(Method::GET, "/v1/nodes", "converge_operator_guess").refusal().await;
    store.try_enroll("converge_join_guess", "web-2", &NodeKey::generate().unwrap()).await;
    store
        .ask(Method::PUT, "/v1/policies/web/groups/dev", &store.operator)
        .json(&json!({ "serial": 9 }))
        .refusal()
        .await;
    let log = async |query: &[(&str, &str)]| {
        let answer = store.ask(Method::GET, "/v1/audit", &store.operator).query(query).send().await.unwrap();
        answer.json::<Page<AuditEntry>>().await.unwrap()
    };
    let all = log(&[]).await.items;
    let told: Vec<(&str, &str, Option<u16>)> =
        all.iter().rev().map(|entry| (entry.who.as_str(), entry.what.as_str(), entry.status)).collect();
    let (first, assigned) = ("operator first", "PUT /v1/policies/web/groups/dev");
    let joined = all.iter().find(|entry| entry.what == "POST /v1/enroll" && entry.status == Some(200)).unwrap();
    assert!(joined.who.starts_with("join token "), "{joined:?}");
    for expected in [
        (first, "POST /v1/policies/web/revisions", Some(200)),
        (first, "POST /v1/tokens", Some(200)),
        (joined.who.as_str(), "POST /v1/enroll", Some(200)),
        (first, assigned, Some(204)),
        ("node web-1", "GET /v1/audit", Some(403)),
        ("nobody", "GET /v1/nodes", Some(401)),
        ("nobody", "POST /v1/enroll", Some(401)),
        (first, assigned, Some(404)),
        (first, "PATCH /v1/nodes/web-1", Some(200)),
        (first, "DELETE /v1/nodes/%1b%5b2Jx", Some(404)),
    ] {
        assert!(told.contains(&expected), "{expected:?} is not among {told:#?}");
    }
    assert!(all.iter().all(|entry| entry.peer == "127.0.0.1" && !entry.request.is_empty()), "{all:#?}");
    let details: Vec<&str> = all.iter().filter_map(|entry| entry.detail.as_deref()).collect();
    assert!(details.contains(&"tagged edge; unset web.title"), "{details:?}");
    assert!(details.contains(&"there is no node \u{fffd}[2Jx"), "what somebody sent acts on no terminal: {details:?}");
    let text = serde_json::to_string(&all).unwrap();
    assert!(!text.contains(&store.operator) && !text.contains("converge_join_guess"), "no secret is in it");
    let denied = log(&[("denied", "true"), ("limit", "2")]).await;
    assert_eq!(denied.items.len(), 2);
    let rest = log(&[("denied", "true"), ("after", &denied.next.unwrap())]).await;
    assert_eq!(rest.items.len(), 1);
}

#[tokio::test]
async fn the_first_operators_access_is_made_anew_when_its_file_is_gone_but_not_when_it_was_revoked() {
    let data = tempfile::tempdir().unwrap();
    let token = async || {
        let store = Store::open(&options(data.path())).await.unwrap();
        let bytes = std::fs::read(store.access_file()).ok()?;
        serde_json::from_slice::<converge_store::Access>(&bytes).ok().map(|access| access.token)
    };
    let first = token().await.unwrap();
    assert_eq!(token().await.as_ref(), Some(&first), "kept over a restart");
    std::fs::remove_file(data.path().join("access.json")).unwrap();
    assert_ne!(token().await.unwrap(), first);

    let store = Running::start().await;
    let wish = json!({ "name": "next", "role": "admin" });
    let next = store.ask(Method::POST, "/v1/operators", &store.operator).json(&wish).send().await.unwrap();
    let next = next.json::<OperatorToken>().await.unwrap().token;
    let revoked = store.ask(Method::DELETE, "/v1/operators/first", &store.operator).json(&()).send().await.unwrap();
    assert_eq!(revoked.status(), StatusCode::NO_CONTENT);
    let value = HeaderValue::from_str(&store.operator).unwrap();
    let (status, problem) = store.ask(Method::GET, "/v1/nodes", value.to_str().unwrap()).refusal().await;
    assert!(status == 401 && problem.detail.unwrap().contains("was revoked"));
    // Nobody else is called so, or the next start would give their token away.
    let wish = json!({ "name": "first", "role": "viewer" });
    assert_eq!(store.ask(Method::POST, "/v1/operators", &next).json(&wish).refusal().await.0, 409);
}
