//! The schemas for editors take what the compiler takes, and refuse what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

#[expect(dead_code, reason = "only its kinds are used here")]
mod support;

use std::collections::BTreeMap;

use converge_policy::json_schema::{SchemaDocument, documents, editor_files};
use serde_json::Value as Json;
use support::TestKinds;

fn schema(file: &str) -> Json {
    let all = documents(&TestKinds, &BTreeMap::new());
    all.into_iter().find(|document: &SchemaDocument| document.file == file).unwrap().schema
}

/// The part of draft-07 that the schemas use. What else stands in one makes the test fail.
fn validate(root: &Json, schema: &Json, value: &Json, path: &str) -> Result<(), String> {
    let Some(schema) = schema.as_object() else {
        return if schema == &Json::Bool(true) { Ok(()) } else { Err(format!("{path} is not allowed")) };
    };
    if let Some(target) = schema.get("$ref") {
        assert_eq!(schema.len(), 1, "siblings of $ref: {schema:?}");
        let target = root.pointer(target.as_str().unwrap().trim_start_matches('#')).expect("a definition");
        return validate(root, target, value, path);
    }
    for (keyword, rule) in schema {
        if !keyword_holds(root, keyword, rule, value, path)? {
            return Err(format!("{path}: breaks {keyword} {rule}"));
        }
    }
    validate_entries(root, schema, value, path)
}

fn keyword_holds(root: &Json, keyword: &str, rule: &Json, value: &Json, path: &str) -> Result<bool, String> {
    let list = || rule.as_array().unwrap();
    Ok(match (keyword, value) {
        ("type", _) => match rule.as_str().unwrap() {
            "string" => value.is_string(),
            "integer" => value.is_i64(),
            "number" => value.is_number(),
            "boolean" => value.is_boolean(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("unknown type {other}"),
        },
        ("enum", _) => list().contains(value),
        ("anyOf", _) => list().iter().any(|option| validate(root, option, value, path).is_ok()),
        ("pattern", Json::String(text)) => regex_lite::Regex::new(rule.as_str().unwrap()).unwrap().is_match(text),
        ("minimum", Json::Number(number)) => number.as_f64() >= rule.as_f64(),
        ("maximum", Json::Number(number)) => number.as_f64() <= rule.as_f64(),
        ("required", Json::Object(map)) => list().iter().all(|name| map.contains_key(name.as_str().unwrap())),
        ("items", Json::Array(items)) => {
            items.iter().try_for_each(|item| validate(root, rule, item, &format!("{path}/*")))?;
            true
        }
        ("pattern" | "minimum" | "maximum" | "required" | "items", _) => true,
        ("properties" | "patternProperties" | "additionalProperties" | "definitions", _) => true,
        ("$schema" | "title" | "description" | "default", _) => true,
        (other, _) => panic!("unknown keyword {other}"),
    })
}

fn validate_entries(
    root: &Json,
    schema: &serde_json::Map<String, Json>,
    value: &Json,
    path: &str,
) -> Result<(), String> {
    let nothing = serde_json::Map::new();
    let object = |key: &str| schema.get(key).and_then(Json::as_object).unwrap_or(&nothing);
    let matches = |pattern: &str, name: &str| regex_lite::Regex::new(pattern).unwrap().is_match(name);
    for (name, item) in value.as_object().unwrap_or(&nothing) {
        let by_pattern = || object("patternProperties").iter().find(|(pattern, _)| matches(pattern, name));
        let rule = object("properties").get(name).or_else(|| by_pattern().map(|(_, rule)| rule));
        let rule = rule.or_else(|| schema.get("additionalProperties")).unwrap_or(&Json::Bool(true));
        validate(root, rule, item, &format!("{path}/{name}"))?;
    }
    Ok(())
}

fn check(file: &str, toml: &str) -> Result<(), String> {
    let schema = schema(file);
    validate(&schema, &schema, &toml::from_str(toml).unwrap(), "")
}

#[test]
fn what_people_write_is_taken_and_mistakes_are_not() {
    let recipe = |body: &str| check("recipe.json", body);
    let good = r#"
description = "Web server"
ordered = false
requires = ["base::other"]
[package.nginx]
version = "{{ attr.nginx.version }}"
names = ["a", "b"]
[file."/etc/nginx/{{ each.key }}.conf"]
for_each = "attr.nginx.sites"
when = "each.value.enabled"
template = "site.conf.j2"
vars = { site = "{{ each.value }}", list = [1, 2] }
mode = "0644"
ensure = "{{ attr.nginx.ensure }}"
validate = ["nginx", "-t"]
notifies = { reload = "service[nginx]", timing = "immediate" }
only_if = { exists = "/etc" }
not_if = "true"
retries = { count = 3, delay = "10s" }
timeout = "90s"
requires = ["package[nginx]", "package[{{ attr.x.y }}]"]
audit = "{{ facts.x }}"
[service.nginx]
running = true
enabled = "{{ attr.nginx.enabled }}"
subscribes = [{ restart = ["package[nginx]"] }, { reload = "file[/x]" }]
[nginx_site.shop]
server_name = "x"
when = true
"#;
    assert_eq!(recipe(good), Ok(()));
    for (body, problem) in [
        ("[file.\"/x\"]\ncontents = \"x\"", "/file//x/contents is not allowed"),
        ("[file.\"/x\"]\nmode = 644", "/file//x/mode: breaks anyOf"),
        ("[file.\"/x\"]\nensure = \"gone\"", "/file//x/ensure: breaks anyOf"),
        ("[service.x]\nrunning = \"yes\"", "/service/x/running: breaks anyOf"),
        ("[service.x]\nnotifies = { relod = \"service[x]\" }", "/service/x/notifies: breaks anyOf"),
        ("[service.x]\nrequires = \"nginx\"", "/service/x/requires: breaks anyOf"),
        ("[service.x]\nretries = 101", "/service/x/retries: breaks anyOf"),
        ("[link.\"/x\"]", "/link//x: breaks required"),
        ("[fil.\"/x\"]", "/fil is not allowed"),
        ("[[file]]", "/file: breaks type"),
        ("parameters = {}", "/parameters is not allowed"),
    ] {
        let error = recipe(body).unwrap_err();
        assert!(error.contains(problem), "{body}: {error}");
    }
}

#[test]
fn documents_that_are_not_recipes_are_checked_too() {
    for (file, body, problem) in [
        ("kind.json", "[parameters.port]\ntype = \"integer\"\ndefault = 80\n[file.\"/{{ name }}\"]", ""),
        ("kind.json", "[parameters.port]\ntype = \"int\"", "breaks enum"),
        ("kind.json", "[parameters.port]\ntype = \"integer\"\nnode_settable = true", "node_settable is not allowed"),
        (
            "cookbook.json",
            "name = \"a\"\nversion = \"1.0.0\"\n[depends]\nb = \"^2\"\n[attributes.x]\ntype = \"map\"\ndefault = {}\nnode_settable = true",
            "",
        ),
        ("cookbook.json", "name = \"a\"", "breaks required"),
        (
            "policy.json",
            "name = \"web\"\nrun_list = [\"a\"]\n[attributes.a]\nb = 1\n[groups.prod.attributes.a]\nb = [2]",
            "",
        ),
        ("policy.json", "name = \"web\"\norphans = \"keep\"", "breaks enum"),
        ("converge.json", "store = \"https://127.0.0.1:8600\"", ""),
        ("converge.json", "store = \"127.0.0.1\"", "breaks pattern"),
    ] {
        let error = check(file, body).err().unwrap_or_default();
        assert!(if problem.is_empty() { error.is_empty() } else { error.contains(problem) }, "{body}: {error}");
    }
}

#[test]
fn every_object_says_whether_it_takes_more() {
    fn walk(schema: &Json, path: &str) {
        match schema {
            Json::Object(map) => {
                if map.get("type").is_some_and(|ty| ty == "object") {
                    assert!(map.contains_key("additionalProperties"), "{path}");
                }
                assert!(!map.contains_key("$ref") || map.len() == 1, "{path}");
                map.iter().for_each(|(key, value)| walk(value, &format!("{path}/{key}")));
            }
            Json::Array(items) => items.iter().for_each(|item| walk(item, path)),
            _ => {}
        }
    }
    for document in documents(&TestKinds, &BTreeMap::new()) {
        walk(&document.schema, document.file);
    }
}

#[test]
fn known_custom_kinds_are_checked_and_unknown_ones_refused() {
    let site: converge_model::graph::CustomKind = serde_json::from_str(
        r#"{"cookbook":0,"parameters":{"port":{"type":"integer","maximum":65535,"required":true,"at":[0,1,1]}},"resources":[]}"#,
    )
    .unwrap();
    let all = documents(&TestKinds, &[("nginx_site".to_owned(), site)].into());
    let schema = &all.iter().find(|document| document.file == "recipe.json").unwrap().schema;
    let check = |toml: &str| validate(schema, schema, &toml::from_str(toml).unwrap(), "").err().unwrap_or_default();
    assert_eq!(check("[nginx_site.a]\nport = 80\naudit = true\n[nginx_site.b]\nport = \"{{ facts.x }}\""), "");
    assert!(check("[nginx_site.a]").contains("breaks required"));
    assert!(check("[nginx_site.a]\nport = 70000").contains("breaks anyOf"));
    assert!(check("[nginx_page.a]").contains("is not allowed"));
}

#[test]
fn editors_are_told_where_the_schemas_lie() {
    let documents = documents(&TestKinds, &BTreeMap::new());
    let [(taplo_name, taplo), (tombi_name, tombi)] = editor_files(".converge/schema/", &documents);
    assert_eq!((taplo_name, tombi_name), (".taplo.toml", "tombi.toml"));
    let (taplo, tombi): (toml::Table, toml::Table) = (taplo.parse().unwrap(), tombi.parse().unwrap());
    for (rules, path) in [
        (taplo["rule"].as_array().unwrap(), &["schema", "path"][..]),
        (tombi["schemas"].as_array().unwrap(), &["path"][..]),
    ] {
        assert_eq!(rules.len(), documents.len());
        for (rule, document) in rules.iter().zip(&documents) {
            let found = path.iter().fold(rule, |value, key| &value[key]);
            assert_eq!(found.as_str(), Some(format!(".converge/schema/{}", document.file).as_str()));
            assert_eq!(rule["include"][0].as_str(), Some(document.describes));
        }
    }
}
