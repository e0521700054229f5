//! The daemon: when it converges, and what it does when it is told to.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal::{SIGHUP, SIGKILL, SIGTERM, SIGUSR1};

use crate::desk::{Desk, Process, wait_for, wait_until};
use crate::listener::Listener;
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

fn pid_of_run(desk: &Desk) -> nix::unistd::Pid {
    let holder = std::fs::read_to_string(desk.path("state/run.lock")).unwrap();
    let pid = holder.trim_start_matches("pid ").split(',').next().unwrap();
    nix::unistd::Pid::from_raw(pid.parse().unwrap())
}

fn conclusions(desk: &Desk) -> Vec<String> {
    let reports = desk.run(&["report", "--local", "--json"]).with_code(0).json();
    let mut found: Vec<_> = reports.as_array().unwrap().iter().map(|report| report["conclusion"].to_string()).collect();
    found.reverse();
    found
}

#[test]
fn a_run_that_is_killed_is_a_report_at_once_and_the_daemon_goes_on() {
    // Killed while something is changed, and while nothing is: a guard takes its time.
    for (recipe, said) in [
        ("[execute.slow]\ncommand = 'touch @/begun; sleep 50'\n", "while it was being changed"),
        ("[execute.slow]\ncommand = 'true'\nnot_if = 'touch @/begun; sleep 50'\n", "it had changed nothing"),
        (
            "[execute.slow]\ncommand = 'true'\nnot_if = 'echo torn > @/../state/journal; touch @/begun; sleep 50'\n",
            "torn or damaged",
        ),
    ] {
        let desk = Desk::new(recipe);
        let store = Listener::of(&desk);
        store.publish(&desk);
        desk.file("config/agent.toml", "interval = '1000h'\n");
        let daemon = desk.start(&[]);
        wait_for(&desk.path("out/begun"));
        let began = Instant::now();
        nix::sys::signal::kill(pid_of_run(&desk), SIGKILL).unwrap();
        wait_until("no report came", || !store.given().is_empty());
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        let report = store.given()[0].clone();
        assert_eq!((&report["conclusion"]["kind"], &report["node"]), (&"crashed".into(), &"test".into()), "{report:#}");
        let text = report.to_string();
        assert!(text.contains("killed by SIGKILL") && text.contains(said), "{report:#}");
        desk.recipe("[file.'@/page']\n");
        store.publish(&desk);
        daemon.signal(SIGUSR1);
        wait_until_mended(&desk);
        daemon.signal(SIGTERM);
        daemon.wait().with_code(0);
        assert_eq!(conclusions(&desk), ["\"crashed\"", "\"succeeded\""]);
    }
}

#[test]
fn a_run_that_ended_with_its_daemon_is_reported_by_the_next_one() {
    let desk = Desk::new("[execute.slow]\ncommand = 'true'\nnot_if = 'touch @/begun; sleep 50'\n");
    desk.file("config/agent.toml", "interval = '1000h'\n");
    let arguments = ["--policy", "policies/test.toml"];
    let daemon = desk.start(&arguments);
    wait_for(&desk.path("out/begun"));
    daemon.signal(SIGKILL);
    nix::sys::signal::kill(pid_of_run(&desk), SIGKILL).unwrap();
    daemon.wait();
    desk.recipe("[file.'@/page']\n");
    let daemon = desk.start(&arguments);
    wait_until_mended(&desk);
    wait_until("the run does not end", || conclusions(&desk).len() == 2);
    assert_eq!(conclusions(&desk), ["\"crashed\"", "\"succeeded\""]);
    daemon.signal(SIGTERM);
    daemon.wait().with_code(0);
    // One that was told to end leaves nothing to report.
    let daemon = desk.start(&arguments);
    wait_until("there is no third run", || conclusions(&desk).len() == 3);
    daemon.signal(SIGTERM);
    daemon.wait().with_code(0);
    assert_eq!(conclusions(&desk)[2], "\"succeeded\"");
}

#[test]
fn state_that_is_deleted_emptied_or_spoilt_between_runs_is_built_anew() {
    type Damage = fn(&std::path::Path);
    let damages: [(&str, Damage); 3] = [
        ("deleted", |path| {
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap()
        }),
        ("emptied", |path| std::fs::write(path, "").unwrap()),
        ("spoilt", |path| std::fs::write(path, b"\xff{\"rubbish\"\n").unwrap()),
    ];
    let (desk, store, daemon) = beside_a_store("127.0.0.1:0");
    let mut runs = 1;
    let mut seen = std::collections::BTreeSet::new();
    for (word, damage) in damages {
        let mut names: Vec<_> = all_below(&desk.path("state"));
        names.retain(|path| word == "deleted" || !path.is_dir());
        for path in names {
            if !path.exists() {
                continue;
            }
            damage(&path);
            seen.insert(
                path.strip_prefix(desk.path("state")).unwrap().components().next().unwrap().as_os_str().to_owned(),
            );
            let _ = std::fs::remove_file(desk.path("out/page"));
            runs += 1;
            daemon.signal(SIGUSR1);
            wait_until(&format!("{}, {word}: no run", path.display()), || {
                desk.out("page").as_deref() == Some("first dev ")
            });
            wait_until(&format!("{}, {word}: no report came", path.display()), || {
                let reports = store.operate(&desk, &["report", "--limit", "1000"]).with_code(0).json();
                reports.as_array().unwrap().len() >= runs
            });
        }
    }
    assert!(seen.len() >= 9, "{seen:?}");
    // It listens all the same.
    store.operate(&desk, &["node", "set", "web-1", "test.title=second"]).with_code(0);
    shows(&desk, "second dev ");
    daemon.signal(SIGTERM);
    daemon.wait().with_code(0);
    desk.run(&["status"]).with_code(0);
}

/// Everything below a directory, the deepest last.
fn all_below(directory: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        found.push(entry.path());
        if entry.path().is_dir() {
            found.extend(all_below(&entry.path()));
        }
    }
    found
}
