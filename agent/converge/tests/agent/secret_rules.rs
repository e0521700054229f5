//! Secrets with a store: nodes that come, nodes that leave, and what stands where.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value as Json;

use crate::desk::{Desk, Ended};
use crate::machines::{ONCE, Store, on_machine, run};
use crate::secrets::{CANARY, check_files};

const RECIPE: &str = "[file.\"@/{{ node.name }}\"]\ncontent = '{{ secret(\"db/password\") }}'";

struct Fleet {
    desk: Desk,
    store: Store,
}

impl Fleet {
    /// A store with a policy that needs a secret, and a keeper's key.
    fn new() -> Self {
        let desk = Desk::new(RECIPE);
        let store = Store::with_policy(&desk);
        let fleet = Self { desk, store };
        fleet.operate(&["secret", "init"]).with_code(0);
        fleet
    }

    fn keeper(&self) -> String {
        self.desk.path("keeper.key").display().to_string()
    }

    #[track_caller]
    fn operate(&self, arguments: &[&str]) -> Ended {
        let keeper = self.keeper();
        let ended = self.store.operate(&self.desk, &[arguments, &["--keeper", &keeper]].concat());
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains(CANARY));
        ended
    }

    /// Sets a secret, as a pipe gives it.
    #[track_caller]
    fn set(&self, rule: &str, value: &str) -> Ended {
        let keeper = self.keeper();
        let arguments = ["secret", "set", "db/password", "--rule", rule, "--keeper", &keeper, "--json"];
        let mut command = self.desk.command(&arguments);
        command.args(["--access-file", &self.store.access]).stdin(Stdio::piped());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{value}\n").as_bytes()).unwrap();
        Ended::of(&child.wait_with_output().unwrap(), std::time::Duration::ZERO)
    }

    #[track_caller]
    fn tag(&self, arguments: &[&str]) {
        self.store.operate(&self.desk, &[&["node", "tag"], arguments].concat()).with_code(0);
    }

    fn join(&self, more: &[&str]) -> String {
        let keeper = self.keeper();
        self.store.join(&self.desk, &[more, &["--keeper", &keeper]].concat())
    }

    #[track_caller]
    fn enroll(&self, name: &str, join: &str) {
        run(on_machine(&self.desk, name, &["enroll", "--name", name, join])).with_code(0);
    }

    #[track_caller]
    fn once(&self, name: &str) -> Ended {
        let ended = run(on_machine(&self.desk, name, &ONCE));
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains(CANARY), "{}", ended.stdout);
        ended
    }

    #[track_caller]
    fn listed(&self, rule: &str) -> Json {
        let rules = self.operate(&["secret", "list"]).with_code(0).json();
        rules.as_array().unwrap().iter().find(|found| found["rule"] == rule).unwrap().clone()
    }

    #[track_caller]
    fn has(&self, name: &str, value: &str) {
        assert_eq!(self.desk.out(name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn a_new_node_reads_its_secrets_in_its_first_run_and_the_store_never_does() {
    let fleet = Fleet::new();
    fleet.operate(&["secret", "rule", "web", "--policy", "test", "--group", "dev"]).with_code(0);
    fleet.set("web", &format!("{CANARY}-1")).with_code(0);
    // The string is made after the secret, and nobody is at a desk when it is used.
    let join = fleet.join(&[]);
    fleet.enroll("web-1", &join);
    fleet.once("web-1").with_code(0);
    fleet.has("web-1", &format!("{CANARY}-1"));
    // A value that changes, for a node that has a key of its own by now.
    fleet.set("web", &format!("{CANARY}-2")).with_code(0);
    fleet.once("web-1").with_code(0);
    fleet.has("web-1", &format!("{CANARY}-2"));
    // A rule that is made after the string, and after a node that came with it.
    fleet.operate(&["secret", "rule", "late", "--policy", "test"]).with_code(0);
    fleet.operate(&["secret", "rm", "db/password", "--rule", "web"]).with_code(0);
    fleet.set("late", &format!("{CANARY}-3")).with_code(0);
    fleet.enroll("web-2", &join);
    for name in ["web-1", "web-2"] {
        fleet.once(name).with_code(0);
        fleet.has(name, &format!("{CANARY}-3"));
    }
    let listed = fleet.listed("late");
    assert_eq!((&listed["have_read"], &listed["rotation_due"]), (&2.into(), &false.into()), "{listed:#}");
    // Nowhere but in the file that was declared: not in the store, not in the state, not in the audit log.
    check_files(&fleet.desk.path(""), &["web-1", "web-2"]);
    check_files(&fleet.desk.path("web-1"), &[]);
    check_files(&fleet.desk.path("web-2"), &[]);
    let audit = fleet.store.operate(&fleet.desk, &["audit"]).with_code(0);
    assert!(audit.stdout.contains("/v1/secrets/web") && audit.stdout.contains("db/password"), "{}", audit.stdout);
    assert!(!audit.stdout.contains(CANARY));
}

#[test]
fn who_leaves_a_rule_reads_nothing_that_is_set_from_then_on() {
    let fleet = Fleet::new();
    fleet.operate(&["secret", "rule", "edge", "--policy", "test", "--tag", "edge"]).with_code(0);
    fleet.set("edge", &format!("{CANARY}-1")).with_code(0);
    let (tagged, plain) = (fleet.join(&["--tag", "edge"]), fleet.join(&[]));
    fleet.enroll("edge-1", &tagged);
    fleet.enroll("edge-2", &tagged);
    fleet.enroll("web-1", &plain);
    fleet.once("edge-1").with_code(0);
    fleet.once("edge-2").with_code(0);
    fleet.once("web-1").saying(&["no secret `db/password` here", "no rule that means this node has it"]);
    assert!(fleet.desk.out("web-1").is_none());

    fleet.tag(&["edge-2", "--remove", "edge"]);
    let listed = fleet.listed("edge");
    assert_eq!(
        (&listed["left"], &listed["rotation_due"]),
        (&serde_json::json!(["edge-2"]), &true.into()),
        "{listed:#}"
    );
    let set = fleet.set("edge", &format!("{CANARY}-2")).with_code(0).json();
    assert_eq!(set["left"], serde_json::json!(["edge-2"]));
    let rotated = fleet.operate(&["secret", "rotate", "edge"]).with_code(0).json();
    assert_eq!((&rotated["known_to_leavers"], &rotated["nodes"]), (&serde_json::json!(["db/password"]), &1.into()));
    fleet.set("edge", &format!("{CANARY}-3")).with_code(0);
    assert_eq!(fleet.listed("edge")["rotation_due"], false);
    fleet.once("edge-1").with_code(0);
    fleet.has("edge-1", &format!("{CANARY}-3"));
    fleet.once("edge-2").saying(&["no rule that means this node has it"]);
    fleet.has("edge-2", &format!("{CANARY}-1"));

    // Nor does a store that says it belongs there, with all that was ever given to the node: its key is of another epoch.
    fleet
        .operate(&["secret", "rotate", "edge", "--without", "edge-2"])
        .with_code(1)
        .saying(&["it means no node edge-2"]);
    fleet.tag(&["edge-2", "edge"]);
    fleet.once("edge-2").saying(&["nobody gave this node the key of the rule edge"]);
    fleet.operate(&["secret", "rotate", "edge", "--without", "edge-2"]).with_code(0);
    fleet.set("edge", &format!("{CANARY}-4")).with_code(0);
    fleet.once("edge-2").saying(&["nobody gave this node the key of the rule edge"]);
    // The string that it came with reads nothing either, and is as good as the store's word.
    fleet.enroll("edge-3", &tagged);
    fleet.once("edge-3").saying(&["nobody gave this node the key of the rule edge"]);
    fleet.set("edge", &format!("{CANARY}-5")).with_code(0);
    fleet.once("edge-3").with_code(0);
    fleet.has("edge-3", &format!("{CANARY}-5"));
    fleet.has("edge-2", &format!("{CANARY}-1"));
}

#[test]
fn nobody_gets_a_key_on_the_word_of_the_store_alone() {
    let fleet = Fleet::new();
    fleet.operate(&["secret", "rule", "edge", "--policy", "test", "--tag", "edge"]).with_code(0);
    // It came without the keeper's word, and then with that for something else.
    let plain = fleet.store.join(&fleet.desk, &["--tag", "edge", "--keeper", &fleet.keeper()]);
    let bare = fleet.store.join(&fleet.desk, &[]);
    fleet.enroll("bare", &bare);
    fleet.tag(&["bare", "edge"]);
    let waits = fleet.set("edge", &format!("{CANARY}-1")).with_code(0);
    assert_eq!(waits.json()["waiting"], serde_json::json!(["bare"]));
    assert_eq!(fleet.listed("edge")["waiting"], serde_json::json!(["bare"]));
    fleet.once("bare").saying(&["nobody gave this node the key of the rule edge"]);
    let shown = run(on_machine(&fleet.desk, "bare", &["secret", "recipient"])).with_code(0).stdout;
    let grant = |recipient: &str| fleet.operate(&["secret", "grant", "edge", "bare", "--recipient", recipient]);
    let other = converge_trust::age::Identity::generate().unwrap().recipient().unwrap().to_string();
    grant(&other).with_code(1).saying(&["the store says that its recipient is"]);
    grant(shown.trim()).with_code(0);
    fleet.once("bare").with_code(0);
    fleet.has("bare", &format!("{CANARY}-1"));
    // It stays in over a rotation.
    fleet.operate(&["secret", "rotate", "edge"]).with_code(0);
    fleet.once("bare").with_code(0);
    fleet.enroll("edge-1", &plain);

    // Another keeper's key builds on nothing that this one made.
    let another = fleet.desk.path("another.key").display().to_string();
    fleet.store.operate(&fleet.desk, &["secret", "init", "--keeper", &another]).with_code(0);
    let refused = fleet.store.operate(&fleet.desk, &["secret", "list", "--keeper", &another]).with_code(3);
    assert!(refused.stderr.contains("nobody made it who has this keeper's key"), "{}", refused.stderr);
    fleet.operate(&["secret", "init"]).with_code(1).saying(&["it is there already"]);
}

#[test]
fn a_value_is_taken_from_nowhere_that_others_see() {
    let fleet = Fleet::new();
    fleet.operate(&["secret", "rule", "web", "--policy", "test"]).with_code(0);
    let set = |name: &str, more: &[&str]| fleet.operate(&[&["secret", "set", name, "--rule", "web"], more].concat());
    set("a", &[]).with_code(1).saying(&["its value is empty"]);
    set("a", &["value"]).with_code(1).saying(&["unexpected argument"]);
    set("../a", &[]).with_code(1).saying(&["is not the name of a secret"]);
    fleet.desk.file("long", "x".repeat((64 << 10) + 1));
    let long = fleet.desk.path("long").display().to_string();
    set("a", &["--file", &long]).with_code(1).saying(&["are allowed"]);
    fleet.desk.file("bytes", [0xff, 0xfe]);
    let bytes = fleet.desk.path("bytes").display().to_string();
    set("a", &["--file", &bytes]).with_code(1).saying(&["it is not text"]);
    fleet.operate(&["secret", "rule", "../x", "--policy", "test"]).with_code(1);
    fleet.operate(&["secret", "rm", "nosuch", "--rule", "web"]).saying(&["the rule web has none"]);
    fleet.operate(&["secret", "rm", "--rule", "web", "--all"]).with_code(0);
    fleet.operate(&["secret", "rotate", "web"]).saying(&["there is no rule web"]);
}

#[test]
fn a_rule_is_set_by_who_may_set_it_and_where_they_may() {
    let fleet = Fleet::new();
    let keeper = fleet.keeper();
    let make = |name: &str, more: &[&str]| {
        let file = fleet.desk.path(&format!("{name}.json")).display().to_string();
        let arguments = ["token", "create-operator", name, "-o", &file];
        fleet.store.operate(&fleet.desk, &[&arguments, more].concat()).with_code(0);
        file
    };
    let (deployer, limited) =
        (make("dan", &["--role", "deployer"]), make("amy", &["--role", "author", "--group", "dev"]));
    let rule = |access: &str, rule: &str, more: &[&str]| {
        let arguments = ["secret", "rule", rule, "--policy", "test", "--access-file", access, "--keeper", &keeper];
        fleet.desk.run(&[&arguments, more].concat())
    };
    rule(&deployer, "web", &[]).with_code(3).saying(&["author"]);
    rule(&limited, "all", &[]).with_code(3).saying(&["name one of them with --group"]);
    rule(&limited, "prod", &["--group", "prod"]).with_code(3).saying(&["not good for policy test in group prod"]);
    rule(&limited, "dev", &["--group", "dev"]).with_code(0);
    let (theirs, first) = (limited.clone(), fleet.store.access.clone());
    rule(&first, "all", &[]).with_code(0);
    let listed = |access: &str| {
        let arguments = ["secret", "list", "--access-file", access, "--keeper", &keeper, "--json"];
        fleet.desk.run(&arguments).with_code(0).json().as_array().unwrap().len()
    };
    assert_eq!((listed(&first), listed(&theirs)), (2, 2));
    let rm = ["secret", "rm", "--all", "--rule", "all", "--access-file", &theirs, "--keeper", &keeper];
    fleet.desk.run(&rm).with_code(3).saying(&["name one of them with --group"]);
}
