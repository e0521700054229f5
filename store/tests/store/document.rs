//! The API's own document: it says what the routes are, and what they answer is what it says.

use std::collections::BTreeSet;

use converge_store::{Need, openapi, routes};
use reqwest::{Method, StatusCode};
use serde_json::{Value as Json, json};

use crate::running::Running;

/// Every place that a document refers to.
fn references<'d>(document: &'d Json, found: &mut BTreeSet<&'d str>) {
    match document {
        Json::Object(entries) => {
            found.extend(entries.get("$ref").and_then(Json::as_str));
            entries.values().for_each(|value| references(value, found));
        }
        Json::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn the_document_has_every_route_and_no_other() {
    let document = openapi();
    let mut told = BTreeSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        told.extend(operations.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.as_str())));
    }
    let table = routes();
    assert_eq!(told, table.iter().map(|(method, path, _)| (method.clone(), *path)).collect());
    for (method, path, need) in &table {
        let operation = &document["paths"][path][method.to_lowercase()];
        let what = operation["summary"].as_str().unwrap();
        assert!(what.ends_with('.'), "{method} {path}: {what:?}");
        let security = match need {
            Need::Nothing | Need::JoinToken => json!([]),
            Need::NodeKey => json!([{ "node": [] }]),
            Need::NodeKeyOr(_) => json!([{ "node": [] }, { "operator": [] }]),
            Need::Role(_) => json!([{ "operator": [] }]),
        };
        assert_eq!(operation["security"], security, "{method} {path}");
        let named = operation["parameters"].as_array().unwrap().iter().filter(|each| each["in"] == "path").count();
        assert_eq!(named, path.matches('{').count(), "{method} {path}");
    }
    let mut leads = BTreeSet::new();
    references(&document, &mut leads);
    assert!(leads.len() > 20, "{leads:?}");
    for lead in leads {
        assert!(document.pointer(lead.strip_prefix('#').unwrap()).is_some(), "{lead} leads nowhere");
    }
}

#[tokio::test]
async fn what_the_store_answers_is_what_the_document_says() {
    let store = Running::start().await;
    store.publish(b"graph").await;
    store.assign(1).await;
    store.enroll("web-1", 2).await;
    let served = store.ask(Method::GET, "/v1/openapi.json", &store.operator).send().await.unwrap();
    let document: Json = served.json().await.unwrap();
    assert_eq!(document, openapi());
    let definition = |schema: &Json| match schema["$ref"].as_str() {
        Some(lead) => document.pointer(lead.strip_prefix('#').unwrap()).unwrap().clone(),
        None => schema.clone(),
    };
    let mut looked_at = 0;
    for (method, path, need) in routes() {
        if method != "GET" || !matches!(need, Need::Role(_)) {
            continue;
        }
        let asked = path
            .replace("{name}", "web-1")
            .replace("{policy}", "web")
            .replace("{serial}", "1")
            .replace("{group}", "dev");
        let answer = store.ask(Method::GET, &asked, &store.operator).send().await.unwrap();
        let schema = &document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        if answer.status() != StatusCode::OK || schema["$ref"].is_null() {
            continue;
        }
        let answer: Json = answer.json().await.unwrap();
        let mut pairs = vec![(definition(schema), answer.clone())];
        if let Some(first) = answer["items"].get(0) {
            pairs.push((definition(&pairs[0].0["properties"]["items"]["items"]), first.clone()));
        }
        for (schema, found) in pairs {
            let known = schema["properties"].as_object().unwrap_or_else(|| panic!("{path}: {schema:#}"));
            let found = found.as_object().unwrap();
            let odd: Vec<&String> = found.keys().filter(|name| !known.contains_key(*name)).collect();
            assert!(odd.is_empty(), "{path} gives {odd:?}, of which the document says nothing");
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            let missing: Vec<&Json> =
                required.iter().filter(|name| !found.contains_key(name.as_str().unwrap())).collect();
            assert!(missing.is_empty(), "{path} does not give {missing:?}");
        }
        looked_at += 1;
    }
    assert!(looked_at >= 8, "{looked_at}");
}
