//! `converge nodes` and `converge node`: a real store, and what its operator is told of nodes and does to them.

use serde_json::{Value as Json, json};

use crate::desk::{Desk, Ended};
use crate::machines::{ONCE, Store, on_machine, run};

const COOKBOOK: &str = "
name = 'test'
version = '1.0.0'

[attributes.title]
type = 'string'
default = 'first'
node_settable = true

[attributes.workers]
type = 'integer'
default = 2
node_settable = true

[attributes.fixed]
type = 'string'
default = 'by policy'
";

const RECIPE: &str = "
[file.'@/page']
content = '{{ attr.test.title }} {{ attr.test.workers }}'

[execute.fails]
when = \"attr.test.title == 'fail'\"
command = 'exit 7'
";

/// A store with its policy in two groups, and the machines `web-1` and `web-2`, which ran, and `web-3`, which never did.
struct Fleet {
    desk: Desk,
    store: Store,
}

impl Fleet {
    fn new() -> Self {
        let desk = Desk::new(RECIPE);
        desk.file("cookbooks/test/cookbook.toml", COOKBOOK);
        let store = Store::with_policy(&desk);
        store.operate(&desk, &["publish", "policies/test.toml", "--group", "prod"]).with_code(0);
        let fleet = Self { desk, store };
        for (machine, group) in [("web-1", "dev"), ("web-2", "dev"), ("web-3", "prod")] {
            let token = ["token", "create", "--policy", "test", "--group", group];
            let join = fleet.operate(&token).json()["join"].as_str().unwrap().to_owned();
            run(on_machine(&fleet.desk, machine, &["enroll", &join, "--name", machine])).with_code(0);
        }
        fleet.operate(&["node", "set", "web-2", "test.title=fail"]);
        fleet.converge("web-1").with_code(0);
        fleet.converge("web-2").with_code(2);
        fleet
    }

    fn converge(&self, machine: &str) -> Ended {
        run(on_machine(&self.desk, machine, &ONCE))
    }

    /// A command of the operator that works.
    #[track_caller]
    fn operate(&self, arguments: &[&str]) -> Ended {
        self.store.operate(&self.desk, arguments).with_code(0)
    }

    /// What a person sees of a command.
    fn shown(&self, arguments: &[&str]) -> Ended {
        let mut all = arguments.to_vec();
        all.extend(["--access-file", &self.store.access]);
        self.desk.run(&all)
    }

    #[track_caller]
    fn node(&self, name: &str) -> Json {
        self.operate(&["node", "show", name]).json()
    }

    /// What the machine's run leaves on its page.
    #[track_caller]
    fn page(&self, machine: &str) -> String {
        self.converge(machine).with_code(0);
        self.desk.out("page").unwrap()
    }
}

#[test]
fn nodes_are_listed_by_what_they_are() {
    let fleet = Fleet::new();
    fleet.operate(&["node", "tag", "web-1", "edge", "old"]);
    let names = |ended: &Ended| {
        let found = ended.json();
        let names: Vec<&str> = found.as_array().unwrap().iter().map(|node| node["name"].as_str().unwrap()).collect();
        names.join(" ")
    };
    for (flags, expected) in [
        (&[][..], "web-1 web-2 web-3"),
        (&["--policy", "test"], "web-1 web-2 web-3"),
        (&["--policy", "none"], ""),
        (&["--group", "prod"], "web-3"),
        (&["--tag", "edge"], "web-1"),
        (&["--tag", "edge", "--group", "prod"], ""),
        (&["--state", "good"], "web-1"),
        (&["--state", "failing"], "web-2"),
        (&["--state", "never-ran"], "web-3"),
        (&["--state", "behind"], "web-3"),
        (&["--state", "silent"], ""),
        (&["--where", "'old' in node.tags and node.group == 'dev'"], "web-1"),
    ] {
        let mut arguments = vec!["nodes"];
        arguments.extend(flags);
        assert_eq!(names(&fleet.operate(&arguments)), expected, "{flags:?}");
    }
    // A node of which it cannot be told is not silently left out.
    let found = fleet.operate(&["nodes", "--where", "facts.os.id != 'none'"]);
    assert_eq!(names(&found), "web-1 web-2");
    assert!(found.stderr.contains("of 1 nodes it could not be told"), "{}", found.stderr);

    let table = fleet.shown(&["nodes"]).with_code(0).stdout;
    for (name, parts) in [("web-1", "good"), ("web-2", "failing"), ("web-3", "never-ran, behind")] {
        let line = table.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        assert!(line.contains(parts), "{table}");
    }
    fleet.shown(&["nodes", "--group", "none"]).with_code(0).saying(&["no such nodes"]);
    fleet.shown(&["nodes", "--state", "fine"]).with_code(1).saying(&["is no state", "never-ran"]);
    fleet.shown(&["nodes", "--where", "facts."]).with_code(1).saying(&["the expression `facts.`"]);
}

#[test]
fn what_is_set_for_a_node_is_what_it_runs_with() {
    let fleet = Fleet::new();
    assert_eq!(fleet.page("web-1"), "first 2");
    fleet.operate(&["node", "set", "web-1", "test.title=on its own", "test.workers=4"]);
    assert_eq!(fleet.node("web-1")["attributes"], json!({ "test": { "title": "on its own", "workers": 4 } }));
    assert_eq!(fleet.page("web-1"), "on its own 4");
    assert_eq!(fleet.node("web-1")["drift"], 0, "what an operator changed is no drift");
    fleet.operate(&["node", "set", "web-1", "test.title="]);
    assert_eq!(fleet.page("web-1"), "first 4");

    for (value, code, part) in [
        ("test.workers=many", 1, "expected an integer"),
        ("test.fixed=x", 1, "node_settable"),
        ("test.worker=1", 1, "declares none"),
        ("none.title=x", 1, "no cookbook none"),
        ("title=x", 1, "cookbook.attribute=VALUE"),
        ("test.title", 1, "cookbook.attribute=VALUE"),
    ] {
        fleet.shown(&["node", "set", "web-1", value]).with_code(code).saying(&[part]);
    }
    assert_eq!(fleet.page("web-1"), "first 4", "what was refused changed nothing");

    fleet.operate(&["node", "set", "web-1", "--group", "prod"]);
    let node = fleet.node("web-1");
    assert_eq!((node["group"].as_str(), &node["attributes"]["test"]["workers"]), (Some("prod"), &json!(4)));
    fleet.shown(&["node", "set", "web-1", "--policy", "none"]).with_code(3).saying(&["no policy none"]);
}

#[test]
fn a_node_is_shown_tagged_and_forgotten() {
    let fleet = Fleet::new();
    fleet.operate(&["node", "tag", "web-1", "edge", "old", "edge"]);
    fleet.operate(&["node", "tag", "web-1", "new", "--remove", "old"]);
    let node = fleet.node("web-1");
    assert_eq!(node["tags"], json!(["edge", "new"]));
    assert!(node["facts"]["os"]["id"].is_string(), "{node:#}");
    fleet.shown(&["node", "tag", "web-1", "a b"]).with_code(1).saying(&["not the name of a tag"]);
    fleet.shown(&["node", "show", "web-1"]).with_code(0).saying(&["good", "test in group dev", "edge, new", "now"]);
    let failing = fleet.shown(&["node", "show", "web-2"]).with_code(0);
    failing.saying(&["failing", "failed, since", "\"title\":\"fail\""]);
    fleet.shown(&["node", "show", "web-3"]).with_code(0).saying(&["never-ran, behind", "none yet", "none, wanted 1"]);
    fleet.shown(&["node", "show", "web-9"]).with_code(3).saying(&["no node web-9"]);

    fleet.operate(&["node", "revoke", "web-3"]);
    fleet.shown(&["node", "show", "web-3"]).with_code(0).saying(&["never-ran, behind, revoked", "since 2"]);
    assert_eq!(fleet.operate(&["nodes", "--state", "revoked"]).json()[0]["name"], "web-3");
    fleet.operate(&["node", "revoke", "web-3", "--undo"]);
    assert!(fleet.node("web-3")["revoked"].is_null());

    fleet.operate(&["node", "forget", "web-2"]);
    let left = fleet.operate(&["nodes"]).json();
    assert_eq!(left.as_array().map(Vec::len), Some(2), "{left:#}");
    let reports = fleet.operate(&["report"]).json();
    assert!(reports.as_array().unwrap().iter().all(|report| report["node"] == "web-1"), "{reports:#}");
    // It is nobody now: it goes on with what it has, says why, and may enrol anew.
    let ended = fleet.converge("web-2");
    assert!(ended.json()["remarks"].to_string().contains("no node has this name"), "{}", ended.stdout);
    let join = fleet.store.join(&fleet.desk, &[]);
    run(on_machine(&fleet.desk, "web-2", &["enroll", &join, "--name", "web-2", "--again", "--no-wait"])).with_code(0);
    fleet.converge("web-2").with_code(0);
    assert_eq!(fleet.node("web-2")["attributes"], json!({}), "nothing of what it was is left");
}
