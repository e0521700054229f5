//! Wrong flags, places that are not there, exit codes, and output that goes to programs.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::desk::{Desk, ONCE};

#[test]
fn wrong_invocations_say_what_to_do() {
    let desk = Desk::new("[file.\"@/a\"]\n");
    for (arguments, parts) in [
        (&["--onc"][..], &["--once"][..]),
        (&["plam"], &["plan"]),
        (&["--once", "--deadline", "soon"], &["--deadline", "soon"]),
        (&["--once"], &["config/node.toml is not there", "converge enroll", "--policy"]),
        (&["plan"], &["converge enroll"]),
        (&["--once", "--policy", "policies/none.toml"], &["policies/none.toml", "is there"]),
        (&["--once", "--policy", "none.json"], &["none.json", "converge compile"]),
        (&["compile", "policies/none.toml", "-o", "compiled"], &["policies/none.toml"]),
        (&["--once", "plan"], &["--once", "plan"]),
        (&["check", "/nowhere"], &["/nowhere", "converge init"]),
        (&["schema", "recip"], &["recipe"]),
    ] {
        desk.run(arguments).with_code(1).saying(parts);
    }
}

#[test]
fn errors_are_documents_where_programs_read_them() {
    let desk = Desk::new("[file.\"@/a\"]\n");
    let error = desk.run(&["--once", "--json"]).with_code(1).json();
    assert!(error["error"]["message"].as_str().unwrap().contains("node.toml"), "{error:#}");
    assert!(error["error"]["hint"].as_str().unwrap().contains("converge enroll"), "{error:#}");
    let desk = Desk::new("[file.\"@/a\"]\n");
    desk.file("state", "a file in its place");
    let error = desk.once().with_code(3).json();
    assert!(error["error"]["message"].as_str().unwrap().contains("/state"), "{error:#}");
}

#[test]
fn common_options_may_stand_before_the_command() {
    let desk = Desk::new("[file.\"@/a\"]\n");
    let plan = desk.run(&["--json", "plan", "--policy", "policies/test.toml"]).with_code(0).json();
    assert_eq!(plan["counts"]["would_update"], 1);
}

#[test]
fn exit_codes_tell_input_runs_and_machines_apart() {
    let desk = Desk::new("[file.\"@/a\"]\ncontent = 'a'\n");
    let plan = ["plan", "--policy", "policies/test.toml", "--detailed-exit-code"];
    desk.run(&plan).with_code(4);
    assert_eq!(desk.out("a"), None, "a plan wrote");
    desk.once().with_code(0);
    desk.run(&plan).with_code(0);
    desk.recipe("[execute.fails]\ncommand = 'echo because of this >&2; exit 7'\n[file.\"@/b\"]\n");
    desk.once().with_code(2).saying(&["exited with 7", "because of this", "blocked by execute[fails]"]);
    desk.recipe("[file.\"@/a\"\n");
    desk.run(&plan).with_code(1);
    let blocked =
        desk.command(&ONCE).env("CONVERGE_STATE_DIR", desk.path("converge.toml").join("below")).output().unwrap();
    assert_eq!(blocked.status.code(), Some(3));
    let said = String::from_utf8_lossy(&blocked.stderr).into_owned();
    assert!(said.contains("converge.toml/below") && said.contains("--state-dir"), "{said}");
}

#[test]
fn a_reader_that_goes_away_ends_the_output_and_not_the_work() {
    let recipe: String = (0..500).map(|n| format!("[file.\"@/f{n}\"]\ncontent = \"{n}\"\n")).collect();
    let desk = Desk::new(&recipe);
    let mut child = desk
        .command(&["--once", "--policy", "policies/test.toml"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    assert_eq!(desk.out("f499").as_deref(), Some("499"));
    assert!(!String::from_utf8_lossy(&ended.stderr).contains("panicked"));
    let schema = desk.command(&["schema", "recipe"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut schema = schema;
    drop(schema.stdout.take());
    assert_eq!(schema.wait().unwrap().code(), Some(0));
}

#[test]
fn colours_are_for_terminals() {
    let desk = Desk::new("[file.\"@/a\"]\ncontent = 'a'\n");
    let plain = desk.run(&["plan", "--policy", "policies/test.toml"]).with_code(0);
    assert!(!plain.stdout.contains('\x1b') && !plain.stderr.contains('\x1b'), "{plain:?}");
    let asked = desk.run(&["plan", "--policy", "policies/test.toml", "--color", "always"]).with_code(0);
    assert!(asked.stdout.contains('\x1b'), "{asked:?}");
    desk.recipe("[fil.a]\n");
    let plain = desk.run(&["check"]).with_code(1);
    assert!(!plain.stdout.contains('\x1b') && !plain.stderr.contains('\x1b'), "{plain:?}");
}

#[test]
fn a_repository_is_made_checked_compiled_and_run() {
    let desk = Desk::new("");
    let run = |arguments: &[&str]| desk.run(arguments).with_code(0);
    run(&["init", "fresh"]);
    run(&["check", "fresh"]);
    let schema = run(&["schema", "recipe"]).json();
    assert!(schema["$schema"].is_string());
    desk.recipe("[file.\"@/a\"]\ncontent = 'compiled'\n");
    run(&["compile", "policies/test.toml", "-o", "compiled"]);
    desk.recipe("[file.\"@/a\"]\ncontent = 'later'\n");
    run(&["--once", "--policy", "compiled/graph.json"]);
    assert_eq!(desk.out("a").as_deref(), Some("compiled"));
    // A graph that somebody cut off is no graph.
    let graph = std::fs::read(desk.path("compiled/graph.json")).unwrap();
    desk.file("compiled/graph.json", &graph[..graph.len() / 2]);
    let ended = desk.run(&["--once", "--policy", "compiled/graph.json"]).saying(&["graph"]);
    assert!(matches!(ended.code, Some(1 | 3)), "{ended:?}");
}
