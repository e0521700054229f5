//! A real store, operators and machines as processes: how a machine becomes a node, stays one, and is one no more.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::desk::{Desk, Ended, wait_until};
use crate::machines::{ONCE, Store, on_machine, run};
use crate::wrong_clock::library;
use converge_model::Digest;
use converge_trust::join_string::JoinString;
use nix::sys::signal::Signal;

fn mode(path: &Path) -> u32 {
    std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions()) & 0o777
}

fn desk() -> Desk {
    Desk::new("[file.\"@/page\"]\ncontent = 'first'\n")
}

#[test]
fn a_machine_becomes_a_node_by_a_string_that_no_list_of_processes_shows() {
    let desk = desk();
    let store = Store::with_policy(&desk);
    let join = store.join(&desk, &["--uses", "1"]);
    let cut = desk.run(&["enroll", &join[..join.len() - 1]]).with_code(1);
    assert!(cut.stderr.contains("cut or mistyped"), "{}", cut.stderr);
    assert!(!desk.path("config/node.toml").exists());

    desk.file("join", &join);
    let enrolled = desk.run(&["enroll", "--join-file", "join", "--name", "web-1", "--json"]).with_code(0).json();
    assert_eq!((enrolled["name"].as_str(), enrolled["policy"].as_str()), (Some("web-1"), Some("test")));
    assert_eq!((mode(&desk.path("config/node.key")), mode(&desk.path("store/access.json"))), (0o600, 0o600));
    let key = std::fs::read_to_string(desk.path("config/node.key")).unwrap();
    let everything = std::fs::read_to_string(desk.path("config/node.toml")).unwrap();
    assert!(!everything.contains(key.split_whitespace().nth(1).unwrap()));
    assert!(!everything.contains(&JoinString::parse(&join).unwrap().token), "the token is used up, and kept nowhere");
    desk.run(&ONCE).with_code(0);
    assert_eq!(desk.out("page").as_deref(), Some("first"));

    let nodes = store.operate(&desk, &["nodes"]).with_code(0).json();
    assert_eq!(nodes["items"][0]["name"].as_str().or(nodes[0]["name"].as_str()), Some("web-1"), "{nodes}");
    let log = store.operate(&desk, &["audit"]).with_code(0).json();
    let joined = log.as_array().unwrap().iter().find(|entry| entry["what"] == "POST /v1/enroll").unwrap();
    assert!(joined["detail"].as_str().unwrap().contains("web-1"), "{log}");
}

#[test]
fn a_machine_tells_its_token_to_nobody_but_the_store_of_its_string() {
    let (desk, foreign) = (desk(), desk());
    let store = Store::with_policy(&desk);
    let stranger = Store::start(&foreign, "127.0.0.1:0");
    let good = JoinString::parse(&store.join(&desk, &[])).unwrap();
    // Somebody who answers in the store's place, with an authority of their own or one that the string does not name.
    for (address, authority) in
        [(&stranger.address, good.authority), (&store.address, Some(Digest::of(b"another"))), (&store.address, None)]
    {
        let string = JoinString { stores: vec![address.clone()], authority, ..good.clone() };
        let ended = desk.run(&["enroll", &string.to_text().unwrap(), "--name", "web-1"]).with_code(3);
        assert!(ended.stderr.contains("its certificate is not"), "{}", ended.stderr);
        assert!(!desk.path("config/node.toml").exists());
    }
    let log = stranger.operate(&foreign, &["audit"]).with_code(0).json();
    assert_eq!(log.as_array().map(Vec::len), Some(0), "the stranger was asked nothing: {log}");
    // A string that names another address first leads to the store all the same.
    let string = JoinString { stores: vec!["https://127.0.0.1:9".into(), store.address.clone()], ..good };
    desk.run(&["enroll", &string.to_text().unwrap(), "--name", "web-1"]).with_code(0);
}

#[test]
fn a_rebuilt_machine_is_one_command_and_one_approval() {
    let desk = desk();
    let store = Store::with_policy(&desk);
    let join = store.join(&desk, &[]);
    run(on_machine(&desk, "old", &["enroll", &join, "--name", "web-1"])).with_code(0);
    run(on_machine(&desk, "old", &ONCE)).with_code(0);

    let early = run(on_machine(&desk, "new", &["enroll", &join, "--name", "web-1", "--no-wait"])).with_code(3);
    assert!(early.stderr.contains("converge node approve web-1"), "{}", early.stderr);
    let mut command = on_machine(&desk, "new", &["enroll", &join, "--name", "web-1"]);
    let mut waiting = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = vec![0; 40];
    waiting.stderr.as_mut().unwrap().read_exact(&mut said).unwrap();
    let shown = store.operate(&desk, &["node", "waiting"]).with_code(0).json();
    let own = run(on_machine(&desk, "new", &["key", "show", "--json"])).with_code(0).json();
    assert_eq!(shown[0]["fingerprint"], own["fingerprint"]);
    store.operate(&desk, &["node", "approve", "web-1"]).with_code(0);
    assert!(waiting.wait().unwrap().success());
    run(on_machine(&desk, "new", &ONCE)).with_code(0);
    let old = run(on_machine(&desk, "old", &ONCE)).with_code(0);
    assert!(old.json()["remarks"].to_string().contains("not signed by the node's key"), "{}", old.stdout);

    // With a token that says whose place it is for, nobody is asked.
    let join = store.join(&desk, &["--replace", "web-1"]);
    run(on_machine(&desk, "newest", &["enroll", &join, "--name", "web-1", "--no-wait"])).with_code(0);
    run(on_machine(&desk, "newest", &ONCE)).with_code(0);
    let nodes = store.operate(&desk, &["nodes"]).with_code(0).json();
    assert_eq!(nodes["items"].as_array().or(nodes.as_array()).map(Vec::len), Some(1), "{nodes}");
}

#[test]
fn a_node_whose_clock_is_wrong_is_no_stranger() {
    let desk = desk();
    let store = Store::with_policy(&desk);
    let library = library(&desk);
    let join = store.join(&desk, &[]);
    let at = |seconds: i64, arguments: &[&str]| {
        let mut command = desk.command(arguments);
        run_with(command.env("LD_PRELOAD", &library).env("CLOCK_WRONG_BY", seconds.to_string()))
    };
    let year = 31_536_000;
    at(-50 * year, &["enroll", &join, "--name", "web-1"]).with_code(0);
    let tries = |store: &Store| {
        let log = store.operate(&desk, &["audit", "--denied"]).with_code(0).json();
        log.as_array().unwrap().len()
    };
    for wrong_by in [-50 * year, 5 * year, -7_200, 0] {
        for round in ["learns", "knows"] {
            let before = tries(&store);
            std::fs::write(desk.path("out/page"), "spoilt").unwrap();
            let ended = at(wrong_by, &ONCE).with_code(0);
            assert_eq!(ended.json()["remarks"].as_array().map_or(0, Vec::len), 0, "{wrong_by}: {}", ended.stdout);
            assert_eq!(desk.out("page").as_deref(), Some("first"));
            // The first time was learned when the machine enrolled.
            let expected = usize::from(round == "learns" && wrong_by != -50 * year);
            assert_eq!(tries(&store) - before, expected, "{wrong_by} {round}: the store's time is asked for once");
        }
    }
}

fn run_with(command: &mut Command) -> Ended {
    Ended::of(&command.output().unwrap(), std::time::Duration::ZERO)
}

#[test]
fn a_key_is_rotated_also_where_the_machine_stopped_in_the_middle() {
    let desk = desk();
    let store = Store::with_policy(&desk);
    desk.run(&["enroll", &store.join(&desk, &[]), "--name", "web-1"]).with_code(0);
    let key = || std::fs::read_to_string(desk.path("config/node.key")).unwrap();
    let first = key();
    desk.run(&["key", "rotate"]).with_code(0);
    let second = key();
    assert_ne!(first, second);
    desk.run(&ONCE).with_code(0);
    // The store took the next key, and the machine stopped before it had made it its own.
    desk.file("config/node.key", &first);
    desk.file("config/node.key.next", &second);
    let ended = desk.run(&ONCE).with_code(0);
    assert_eq!(ended.json()["remarks"].as_array().map_or(0, Vec::len), 0, "{}", ended.stdout);
    assert_eq!(key(), second);
    assert!(!desk.path("config/node.key.next").exists());
    // It stopped before the store heard of it: the key until now goes on, and the next rotation uses what is there.
    desk.file("config/node.key.next", converge_trust::node_key::NodeKey::generate().unwrap().to_text());
    let next = std::fs::read_to_string(desk.path("config/node.key.next")).unwrap();
    desk.run(&ONCE).with_code(0);
    assert_eq!(key(), second);
    desk.run(&["key", "rotate"]).with_code(0);
    assert_eq!(key(), next);
    desk.run(&ONCE).with_code(0);
}

#[test]
fn a_revoked_node_goes_on_alone_and_says_why() {
    let desk = desk();
    let store = Store::with_policy(&desk);
    desk.run(&["enroll", &store.join(&desk, &[]), "--name", "web-1"]).with_code(0);
    desk.run(&ONCE).with_code(0);
    store.operate(&desk, &["node", "revoke", "web-1"]).with_code(0);
    let ended = desk.run(&ONCE).with_code(0);
    assert!(ended.json()["remarks"].to_string().contains("web-1 was revoked"), "{}", ended.stdout);
    store.operate(&desk, &["node", "revoke", "web-1", "--undo"]).with_code(0);
    let ended = desk.run(&ONCE).with_code(0);
    assert_eq!(ended.json()["remarks"].as_array().map_or(0, Vec::len), 0, "{}", ended.stdout);
}

#[test]
fn an_operator_does_what_their_role_allows() {
    let desk = desk();
    let store = Store::with_policy(&desk);
    let make = |name: &str, role: &str| {
        let arguments = ["token", "create-operator", name, "--role", role, "--policy", "test", "--output", name];
        store.operate(&desk, &arguments).with_code(0);
        assert_eq!(mode(&desk.path(name)), 0o600);
    };
    make("vera", "viewer");
    make("dora", "deployer");
    let ask = |file: &str, arguments: &[&str]| {
        let mut all = arguments.to_vec();
        all.extend(["--access-file", file]);
        desk.run(&all)
    };
    ask("vera", &["nodes"]).with_code(0);
    let denied = ask("vera", &["token", "create", "--policy", "test", "--group", "dev"]).with_code(3);
    assert!(denied.stderr.contains("needs the role deployer"), "{}", denied.stderr);
    ask("dora", &["token", "create", "--policy", "test", "--group", "dev"]).with_code(0);
    ask("dora", &["publish", "policies/test.toml"]).with_code(3);
    let tokens = store.operate(&desk, &["token", "list"]).with_code(0).json();
    let names: Vec<_> = tokens["operators"].as_array().unwrap().iter().map(|token| token["name"].clone()).collect();
    assert_eq!(names, ["dora", "first", "vera"]);
    store.operate(&desk, &["token", "revoke", tokens["join"][0]["id"].as_str().unwrap()]).with_code(0);
    store.operate(&desk, &["token", "revoke", "--operator", "dora"]).with_code(0);
    ask("dora", &["nodes"]).with_code(3);
    let log = store.operate(&desk, &["audit", "--denied", "--who", "operator vera"]).with_code(0).json();
    assert_eq!(log.as_array().map(Vec::len), Some(1), "{log}");
}

#[test]
fn a_store_that_is_told_to_renews_its_certificate_and_goes_on() {
    let desk = desk();
    let mut store = Store::with_policy(&desk);
    desk.run(&["enroll", &store.join(&desk, &[]), "--name", "web-1"]).with_code(0);
    store.signal(Signal::SIGHUP);
    wait_until("the store does not serve", || desk.run(&ONCE).code == Some(0));
    assert!(store.child.try_wait().unwrap().is_none(), "SIGHUP ended it");
    // A new start is the same authority, wherever it listens: nodes need not be told.
    let listen = store.address.trim_start_matches("https://").to_owned();
    drop(store);
    let _store = Store::start(&desk, &listen);
    let ended = desk.run(&ONCE).with_code(0);
    assert_eq!(ended.json()["remarks"].as_array().map_or(0, Vec::len), 0, "{}", ended.stdout);
}
