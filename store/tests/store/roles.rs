//! Who may ask what: every route of the table, asked by everybody.

use converge_protocol::authority::OperatorToken;
use converge_protocol::{AuditEntry, NodePage, Page, PolicyView, ReportSummary, Role};
use converge_store::{Need, routes};
use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::running::{Running, Who};

async fn operator(store: &Running, by: &str, wish: &Json) -> Result<String, u16> {
    let answer = store.ask(Method::POST, "/v1/operators", by).json(wish).send().await.unwrap();
    match answer.status() {
        StatusCode::OK => Ok(answer.json::<OperatorToken>().await.unwrap().token),
        refused => Err(refused.as_u16()),
    }
}

/// A path of a route, about what is not there: whoever may ask changes nothing.
fn of_nothing(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "9none" } else { part }).collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_route_is_open_to_whom_its_need_names_and_to_nobody_else() {
    let store = Running::start().await;
    store.publish(b"graph").await;
    let (_, node) = store.enroll("web-1", 1).await;
    let mut tokens = Vec::new();
    for role in Role::ALL {
        let wish = json!({ "name": role.word(), "role": role });
        tokens.push((role, operator(&store, &store.operator, &wish).await.unwrap()));
    }
    let table = routes();
    assert!(table.len() > 25, "{}", table.len());
    for (method, path, need) in &table {
        let path = of_nothing(path);
        let method: Method = method.parse().unwrap();
        let ask = async |who: Who<'_>| {
            store.ask(method.clone(), &path, who).json(&json!({})).send().await.unwrap().status().as_u16()
        };
        let anybody = matches!(need, Need::Nothing | Need::JoinToken);
        let nodes = matches!(need, Need::NodeKey | Need::NodeKeyOr(_));
        let least = match need {
            Need::Role(role) | Need::NodeKeyOr(role) => Some(*role),
            _ => None,
        };
        let denied = |status: u16| matches!(status, 401 | 403);
        assert_eq!(denied(ask(Who::Token("")).await), !anybody, "nobody: {method} {path}");
        assert_eq!(denied(ask(Who::Token("converge_operator_x")).await), !anybody, "a guess: {method} {path}");
        // Where a node may ask, it may still not ask about what is not its own.
        if !path.starts_with("/v1/policies/9none") {
            assert_eq!(denied(ask(Who::Node(&node)).await), !(anybody || nodes), "node: {method} {path}");
        }
        for (role, token) in &tokens {
            let may = anybody || least.is_some_and(|least| *role >= least);
            let status = ask(Who::Token(token)).await;
            assert_eq!(denied(status), !may, "{role}: {method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn on_every_route_a_change_and_a_denial_are_written_down() {
    let store = Running::start().await;
    store.publish(b"graph").await;
    let (_, node) = store.enroll("web-1", 1).await;
    let mut expected = Vec::new();
    for (method, path, need) in routes() {
        let path = of_nothing(path);
        let ask = async |who: Who<'_>| {
            let method: Method = method.parse().unwrap();
            store.ask(method, &path, who).json(&json!({})).send().await.unwrap().status().as_u16()
        };
        let what = format!("{method} {path}");
        if !matches!(need, Need::Nothing | Need::JoinToken) {
            expected.push(("nobody", what.clone(), ask(Who::Token("")).await));
        }
        // What a node tells of itself changes nothing for others, and a question changes nothing at all.
        let told = ["/v1/reports", "/v1/node/facts", "/v1/blobs/missing"].contains(&path.as_str());
        match need {
            _ if method == "GET" || told => {}
            Need::Role(_) => expected.push(("operator first", what, ask(Who::Token(&store.operator)).await)),
            Need::NodeKey | Need::NodeKeyOr(_) => expected.push(("node web-1", what, ask(Who::Node(&node)).await)),
            Need::Nothing | Need::JoinToken => {}
        }
    }
    let log = store.ask(Method::GET, "/v1/audit", &store.operator).send().await.unwrap();
    let log = log.json::<Page<AuditEntry>>().await.unwrap().items;
    for (who, what, status) in &expected {
        let is_there = |entry: &AuditEntry| entry.who == *who && entry.what == *what && entry.status == Some(*status);
        assert!(log.iter().any(is_there), "{who} {what} {status} is not in the log");
    }
    let changes = expected.iter().filter(|(who, ..)| *who != "nobody").count();
    assert!(changes >= 12 && expected.len() - changes >= 25, "{changes} changes of {}", expected.len());
}

#[tokio::test]
async fn a_role_is_good_within_its_scope_alone() {
    let store = Running::start().await;
    store.publish(b"graph").await;
    store.publish_policy("db", 1, b"graph").await;
    store.enroll("web-1", 1).await;
    let db = store.join_token(json!({ "policy": "db", "group": "dev" })).await.token;
    let key = converge_trust::node_key::NodeKey::generate().unwrap();
    assert_eq!(store.try_enroll(&db, "db-1", &key).await.status(), StatusCode::OK);
    let scope = json!({ "policies": ["web"], "groups": ["dev"] });
    let wish = json!({ "name": "limited", "role": "admin", "scope": scope });
    let limited = operator(&store, &store.operator, &wish).await.unwrap();
    let limited = limited.as_str();

    let cases = [
        (Method::PUT, "/v1/policies/web/groups/dev", json!({ "serial": 1 }), 204),
        (Method::PUT, "/v1/policies/web/groups/prod", json!({ "serial": 1 }), 403),
        (Method::PUT, "/v1/policies/db/groups/dev", json!({ "serial": 1 }), 403),
        (Method::GET, "/v1/policies/web/revisions", json!(null), 200),
        (Method::GET, "/v1/policies/db/revisions", json!(null), 403),
        (Method::GET, "/v1/policies/db/revisions/1", json!(null), 403),
        (Method::POST, "/v1/tokens", json!({ "policy": "web", "group": "dev" }), 200),
        (Method::POST, "/v1/tokens", json!({ "policy": "web", "group": "prod" }), 403),
        (Method::POST, "/v1/tokens", json!({ "policy": "web", "group": "dev", "replaces": "db-1" }), 403),
        (Method::GET, "/v1/nodes/web-1", json!(null), 200),
        (Method::GET, "/v1/nodes/db-1", json!(null), 403),
        (Method::PATCH, "/v1/nodes/db-1", json!({ "add_tags": ["a"] }), 403),
        // Nor may a node be moved to where one may not go oneself.
        (Method::PATCH, "/v1/nodes/web-1", json!({ "group": "prod" }), 403),
        (Method::PUT, "/v1/nodes/db-1/revocation", json!(null), 403),
        (Method::POST, "/v1/nodes/db-1/approval", json!({}), 403),
        (Method::DELETE, "/v1/nodes/db-1", json!(null), 403),
        (Method::DELETE, "/v1/operators/first", json!(null), 403),
        (Method::GET, "/v1/audit", json!(null), 403),
    ];
    for (method, path, body, expected) in cases {
        let answer = store.ask(method.clone(), path, limited).json(&body).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{method} {path} {body}: {}", answer.text().await.unwrap());
    }
    let list = async |path: &str| store.ask(Method::GET, path, limited).send().await.unwrap();
    let nodes: NodePage = list("/v1/nodes").await.json().await.unwrap();
    assert_eq!(nodes.items.iter().map(|node| node.name.as_str()).collect::<Vec<_>>(), ["web-1"]);
    let policies: Page<PolicyView> = list("/v1/policies?limit=1").await.json().await.unwrap();
    assert_eq!(policies.items.iter().map(|policy| policy.name.as_str()).collect::<Vec<_>>(), ["web"]);
    let reports: Page<ReportSummary> = list("/v1/reports").await.json().await.unwrap();
    assert!(reports.items.is_empty());

    // Nor for longer than it says.
    let wish = json!({ "name": "guest", "role": "viewer", "valid_seconds": 60 });
    let guest = operator(&store, &store.operator, &wish).await.unwrap();
    assert_eq!(store.ask(Method::GET, "/v1/nodes", &guest).send().await.unwrap().status(), StatusCode::OK);
    store.clock.pass(61_000);
    let (status, problem) = store.ask(Method::GET, "/v1/nodes", &guest).refusal().await;
    assert!(status == 401 && problem.detail.as_deref().unwrap_or_default().contains("expired"), "{problem:?}");

    // Nobody gives more than they have.
    for (scope, expected) in [
        (json!({}), Err(403)),
        (json!({ "policies": ["web"] }), Err(403)),
        (json!({ "policies": ["web", "db"], "groups": ["dev"] }), Err(403)),
        (json!({ "policies": ["web"], "groups": ["dev"] }), Ok(())),
    ] {
        let wish = json!({ "name": "next", "role": "viewer", "scope": scope });
        assert_eq!(operator(&store, limited, &wish).await.map(drop), expected, "{scope}");
    }
}
