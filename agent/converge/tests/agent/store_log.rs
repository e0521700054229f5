//! What a store logs, for programs that read it; and the document of its API.

use std::process::Stdio;

use nix::sys::signal::Signal;
use serde_json::Value as Json;

use crate::desk::{Desk, Ended};

#[test]
fn each_line_of_the_log_is_a_document_that_names_its_request() {
    let desk = Desk::new("");
    let mut command =
        desk.command(&["store", "--data", "store", "--listen", "127.0.0.1:0", "--json", "--log-json", "-v"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let said = serde_json::Deserializer::from_reader(child.stdout.take().unwrap())
        .into_iter::<Json>()
        .next()
        .unwrap()
        .unwrap();
    let access = said["access_file"].as_str().unwrap();
    let made = desk.run(&[
        "token",
        "create-operator",
        "dora",
        "--role",
        "viewer",
        "--output",
        "dora",
        "--access-file",
        access,
    ]);
    made.with_code(0);
    desk.run(&["revisions", "none", "--access-file", access]).with_code(1).saying(&["no such policy"]);
    let process = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(process, Signal::SIGTERM).unwrap();
    let ended = Ended::of(&child.wait_with_output().unwrap(), std::time::Duration::ZERO).with_code(0);
    let lines: Vec<Json> = ended.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let of = |path: &str| {
        lines.iter().find(|line| line["path"] == path).unwrap_or_else(|| panic!("{path}: {}", ended.stderr))
    };
    let made = of("/v1/operators");
    assert_eq!((&made["method"], &made["status"], &made["level"]), (&"POST".into(), &200.into(), &"INFO".into()));
    assert_eq!(made["request"].as_str().map(str::len), Some(16), "{made:#}");
    assert_eq!(of("/v1/policies/none/revisions")["status"], 404);
}

#[test]
fn the_document_of_the_api_is_printed() {
    let desk = Desk::new("");
    let document = desk.run(&["schema", "openapi"]).with_code(0).json();
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["paths"]["/v1/node"]["get"]["summary"].is_string(), "{document:#}");
    desk.run(&["schema", "openap"]).with_code(1).saying(&["recipe, openapi"]);
}
