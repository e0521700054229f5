//! The daemon: when it converges, and what it does when it is told to.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGHUP, SIGTERM, SIGUSR1};

use crate::desk::{Desk, Process, wait_until};
use crate::machines::Store;

/// Waits until the file that the policy declares is there.
#[track_caller]
fn wait_until_mended(desk: &Desk) {
    let begun = Instant::now();
    while desk.out("page").is_none() {
        assert!(begun.elapsed() < Duration::from_secs(60), "nothing was mended");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn it_converges_when_it_is_told_and_as_often_as_it_is_told() {
    let desk = Desk::new("[file.\"@/page\"]\ncontent = 'one'\n");
    desk.file("config/agent.toml", "interval = '1000h'\n");
    let daemon = desk.start(&["--policy", "policies/test.toml"]);
    let remove = || std::fs::remove_file(desk.path("out/page")).unwrap();
    wait_until_mended(&desk);
    for _ in 0..2 {
        remove();
        daemon.signal(SIGUSR1);
        wait_until_mended(&desk);
    }
    // What is wrong changes nothing.
    desk.file("config/agent.toml", "interval = 'often'\n");
    daemon.signal(SIGHUP);
    desk.file("config/agent.toml", "interval = '1s'\n");
    daemon.signal(SIGHUP);
    for _ in 0..3 {
        remove();
        wait_until_mended(&desk);
    }
    daemon.signal(SIGTERM);
    let ended = daemon.wait().with_code(0);
    assert!(ended.stderr.contains("converging every 1s"), "{}", ended.stderr);
}

/// What a machine has of its store shows on its page.
const PAGE: &str =
    "[file.'@/page']\ncontent = '{{ attr.test.title }} {{ node.group }} {{ node.tags | join(\",\") }}'\n";

const COOKBOOK: &str = "name = 'test'\nversion = '1.0.0'\n\n[attributes.title]\ntype = 'string'\ndefault = 'first'\n\
    node_settable = true\n";

/// A store with its policy in two groups, and this desk a node of it that runs the daemon, with an interval of weeks.
fn beside_a_store(listen: &str) -> (Desk, Store, Process) {
    let desk = Desk::new(PAGE);
    desk.file("cookbooks/test/cookbook.toml", COOKBOOK);
    let store = Store::with_policy_at(&desk, listen);
    store.operate(&desk, &["publish", "policies/test.toml", "--group", "prod"]).with_code(0);
    let join = store.join(&desk, &[]);
    desk.run(&["enroll", &join, "--name", "web-1"]).with_code(0);
    desk.file("config/agent.toml", "interval = '1000h'\n");
    let daemon = desk.start(&[]);
    shows(&desk, "first dev ");
    (desk, store, daemon)
}

#[track_caller]
fn shows(desk: &Desk, page: &str) {
    wait_until(&format!("the page never became {page:?}"), || desk.out("page").as_deref() == Some(page));
}

#[test]
fn what_changes_at_the_store_is_converged_at_once() {
    let (desk, store, daemon) = beside_a_store("127.0.0.1:0");
    let operate = |arguments: &[&str]| drop(store.operate(&desk, arguments).with_code(0));
    operate(&["node", "set", "web-1", "test.title=second"]);
    shows(&desk, "second dev ");
    operate(&["node", "tag", "web-1", "canary"]);
    shows(&desk, "second dev canary");
    operate(&["node", "set", "web-1", "--group", "prod"]);
    shows(&desk, "second prod canary");
    operate(&["node", "set", "web-1", "test.title="]);
    shows(&desk, "first prod canary");
    desk.file("cookbooks/test/cookbook.toml", COOKBOOK.replace("first", "third"));
    operate(&["publish", "policies/test.toml", "--group", "prod"]);
    shows(&desk, "third prod canary");
    daemon.signal(SIGTERM);
    daemon.wait().with_code(0);
    // What changed between is what each run was for, and none was for nothing.
    let reports = desk.run(&["report", "--local", "--json"]).with_code(0).json();
    assert_eq!(reports.as_array().unwrap().len(), 6, "{reports:#}");
}

#[test]
fn a_store_that_was_away_is_listened_to_again() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let listen = format!("127.0.0.1:{port}");
    let (desk, store, daemon) = beside_a_store(&listen);
    drop(store);
    std::thread::sleep(Duration::from_millis(300));
    let store = Store::start(&desk, &listen);
    store.operate(&desk, &["node", "set", "web-1", "test.title=second"]).with_code(0);
    shows(&desk, "second dev ");
    // A node that is not one any more converges on, and says what the store says.
    store.operate(&desk, &["node", "revoke", "web-1"]).with_code(0);
    std::thread::sleep(Duration::from_millis(300));
    std::fs::remove_file(desk.path("out/page")).unwrap();
    daemon.signal(SIGUSR1);
    shows(&desk, "second dev ");
    daemon.signal(SIGTERM);
    daemon.wait().with_code(0).saying(&["wait for news at", "asked again in", "revoked"]);
}
