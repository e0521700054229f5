//! Graphs and what is known of a node, and the catalogs that come of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod attributes;
mod catalogs;
mod many;
mod mistakes;
mod secrets;
#[path = "../support/mod.rs"]
mod support;
mod why;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use converge_model::{Diagnostic, Digest, Graph, Value};
use converge_policy::bind::{BindInput, Bound, NodeIdentity, bind};
use converge_policy::{BlobPlace, FileData, Repository, compile};
use support::{TestKinds, repository};

const FACTS: &str = r#"{"os":{"family":"debian"},"cpu":{"count":4},"hostname":"web-1"}"#;

fn input() -> BindInput {
    BindInput {
        facts: Arc::new(serde_json::from_str::<Value>(FACTS).unwrap().into()),
        node: NodeIdentity {
            name: "web-1".into(),
            policy: "web".into(),
            group: Some("prod".into()),
            tags: vec!["eu".into()],
        },
        node_attributes: BTreeMap::new(),
        secrets: Default::default(),
    }
}

fn compiled(repository: &Repository) -> (Graph, BTreeMap<Digest, Vec<u8>>) {
    let compiled = compile(repository, "web", &TestKinds).unwrap_or_else(|found| panic!("{}", describe(&found)));
    let bytes = |place: &BlobPlace| match place {
        BlobPlace::Bytes(bytes) => bytes.clone(),
        BlobPlace::File(path) => match &repository.files[path] {
            FileData::Bytes(bytes) => bytes.clone(),
            FileData::Blob(_) => Vec::new(),
        },
    };
    let blobs = compiled.blobs.iter().map(|(digest, place)| (*digest, bytes(place))).collect();
    // What a node binds came over the wire.
    (Graph::from_bytes(&compiled.graph.to_bytes().unwrap()).unwrap(), blobs)
}

fn bound_with(files: &str, input: &BindInput) -> Result<Bound, Vec<Diagnostic>> {
    let (graph, blobs) = compiled(&repository(files));
    bind(&graph, input, &blobs, &TestKinds)
}

/// One line for each resource.
fn show(bound: &Bound) -> String {
    let mut text = String::new();
    let resources = &bound.catalog.resources;
    for resource in resources {
        let _ = write!(text, "{}", resource.id);
        for (name, value) in &resource.properties {
            let value = match value {
                Value::Blob(blob) => format!("blob:{}", blob.size),
                Value::String(text) => format!("{text:?}"),
                other => other.to_string(),
            };
            let secret = if resource.secret.contains(name) { "!" } else { "" };
            let _ = write!(text, " {name}{secret}={value}");
        }
        for guard in &resource.guards {
            let _ = write!(text, " {guard:?}");
        }
        if let Some(reason) = &resource.skipped {
            let _ = write!(text, " skipped: {reason}");
        }
        let id = |at: &usize| resources[*at].id.to_string();
        if !resource.requires.is_empty() {
            let _ = write!(text, " after {}", resource.requires.iter().map(id).collect::<Vec<_>>().join(", "));
        }
        for notify in &resource.notifies {
            let _ = write!(text, " {:?} {} {}", notify.timing, notify.action, id(&notify.target));
        }
        let options = (resource.timeout, resource.retries, resource.ignore_failure, resource.sensitive, resource.audit);
        if options != Default::default() {
            let _ = write!(text, " {options:?}");
        }
        text.push('\n');
    }
    text
}

fn describe(found: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in found {
        let _ = writeln!(text, "{diagnostic}");
        if !diagnostic.label.is_empty() {
            let _ = writeln!(text, "  {}", diagnostic.label);
        }
        for (span, note) in &diagnostic.related {
            let _ = writeln!(text, "  {}:{}:{}: {note}", span.file, span.line, span.column);
        }
        if let Some(help) = &diagnostic.help {
            let _ = writeln!(text, "  help: {help}");
        }
    }
    text
}

fn plain(text: &str) -> String {
    text.trim().lines().map(|line| line.strip_prefix("        ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// Binds the repository (see [`repository`]) and compares the catalog, or what is wrong.
#[track_caller]
fn check(files: &str, expected: &str) {
    check_with(files, &input(), expected);
}

#[track_caller]
fn check_with(files: &str, input: &BindInput, expected: &str) {
    let found = match bound_with(files, input) {
        Ok(bound) => show(&bound),
        Err(found) => describe(&found),
    };
    assert_eq!(found.trim(), plain(expected), "\n{found}");
}
