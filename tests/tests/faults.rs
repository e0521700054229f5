//! Every operation of a run over a whole policy fails once, fails from there on, or is where the process is killed. Then a
//! clean run must converge to what an undisturbed run makes, everybody who was to be notified must have acted after the
//! change, and one more run must find nothing to do.

#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use converge_model::{Catalog, CatalogResource, ErrorKind};
use converge_policy::{FileData, Repository};
use converge_system::memory::{Faults, Operation};
use converge_tests::scenario::{Node, difference, is_idle, machine, repository, words};

const MACHINE: &str = r#"
directories = ["/srv/old"]
[files]
"/etc/old" = "old\n"
"/srv/old/stray" = "stray"
[users]
leaver = 1500
[packages.web."1"]
depends = ["lib"]
users = ["www"]
files = { "/etc/web.conf" = "packaged\n", "/usr/lib/systemd/system/web.service" = "[Service]\nExecReload=/bin/true\n[Install]\nWantedBy=multi-user.target\n" }
[packages.lib."1"]
[packages.tool."1"]
[packages.tool."2"]
[packages.remover."1"]
[installed]
tool = "1"
remover = "1"
[units."loose.service"]
running = true
enabled = true
[commands."note *"]
[commands."make *"]
writes = { "/srv/made" = "made" }
"#;

/// Every kind, each that can ask somebody doing so: later, and at once.
const EVERYTHING: &str = r#"
[execute."note conf"]
run = "when_notified"

[execute."note tool"]
run = "when_notified"

[execute."note link"]
run = "when_notified"

[package.web]

[package.tool]
version = ">= 2"
notifies = { run = "execute[note tool]" }

[package.remover]
ensure = "purged"

[group.staff]
gid = 700
members = ["www-data"]

[user.app]
uid = 701
group = "staff"
home = "/srv/app"
create_home = true
groups = ["users"]
authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOaKVyXQLJ4bGBQf3Qd6nY0pqUJmQ1nJZxD3nnq3JXzE app@desk"]

[directory."/srv/app"]
owner = "app"
group = "staff"
mode = "0755"

[user.leaver]
ensure = "absent"

[directory."/srv/app/data"]
owner = "app"
group = "staff"
mode = "0750"

[directory."/srv/old"]
purge = true

[file."/etc/web.conf"]
content = "ours\n"
owner = "www"
notifies = { reload = "service[web]" }

[file."/etc/systemd/system/app.service"]
content = """
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""
notifies = { restart = "service[app]" }

[file."/etc/app.conf"]
content = "{{ node.name }}\n"
validate = "grep -q web {path}"
notifies = [{ reload = "service[app]" }, { run = "execute[note conf]", timing = "immediate" }]

[file."/etc/old"]
ensure = "absent"

[link."/srv/current"]
to = "app/data"
notifies = { run = "execute[note link]" }

[link."/srv/same"]
to = "/etc/app.conf"
type = "hard"
force = true

[service.web]
running = true
enabled = true

[service.app]
running = true
enabled = true

[service.loose]
running = false
enabled = false

[execute."make it"]
creates = "/srv/made"

[file."/srv/guarded"]
content = "guarded\n"
only_if = "test -f /srv/made"
notifies = { restart = "service[web]" }
"#;

/// What the policy says later: things change, and things leave it.
const LATER: &str = r#"
[execute."note conf"]
run = "when_notified"

[package.web]

[file."/etc/web.conf"]
content = "changed\n"
owner = "www"
notifies = { reload = "service[web]" }

[file."/etc/app.conf"]
content = "changed web\n"
notifies = { run = "execute[note conf]" }

[service.web]
running = true
enabled = false
"#;

/// What a run does to the machine for a resource, as operations begin.
fn changing(resource: &CatalogResource, operation: &Operation) -> bool {
    let (kind, name) = (resource.id.kind(), resource.id.name());
    let Operation { name: verb, subject, .. } = operation;
    match kind {
        "file" => verb == "write" && subject == name,
        "link" => verb == "link" && subject.starts_with(name),
        "package" => verb == "configure" && *subject == format!("package {name}"),
        other => panic!("{other} notifies nobody here"),
    }
}

/// Whether an operation carries out `action`. A restart does all that a reload does, and a start all that either does.
fn acting(resource: &CatalogResource, action: &str, operation: &Operation) -> bool {
    let (kind, name) = (resource.id.kind(), resource.id.name());
    let Operation { name: verb, subject, .. } = operation;
    match kind {
        "execute" => verb == "run" && subject == name,
        "service" => {
            let acts = [action, "start", if action == "reload" { "restart" } else { action }];
            acts.contains(&verb.as_str()) && *subject == format!("unit {name}.service")
        }
        other => panic!("{other} is notified by nobody here"),
    }
}

/// The notifications of `catalog` that nobody carried out after the change that caused them.
fn lost(catalog: &Catalog, operations: &[Operation]) -> Vec<String> {
    let mut lost = Vec::new();
    for source in &catalog.resources {
        let Some(changed) = operations.iter().rposition(|operation| changing_if_notifying(source, operation)) else {
            continue;
        };
        for notify in &source.notifies {
            let target = &catalog.resources[notify.target];
            if !operations[changed..].iter().any(|operation| acting(target, &notify.action, operation)) {
                lost.push(format!("{} of {} for {}", notify.action, target.id, source.id));
            }
        }
    }
    lost
}

fn changing_if_notifying(source: &CatalogResource, operation: &Operation) -> bool {
    !source.notifies.is_empty() && changing(source, operation)
}

/// The state of a machine, without what only tells how it came to be so.
fn state(node: &Node) -> String {
    const COUNTS: [&str; 4] = ["started=", "stopped=", "restarted=", "reloaded="];
    let keep = |line: &&str| !line.starts_with("command ");
    let dump = node.machine.dump();
    let line = |line: &str| {
        let words = line.split(' ').filter(|word| !COUNTS.iter().any(|count| word.starts_with(count)));
        words.collect::<Vec<_>>().join(" ") + "\n"
    };
    dump.lines().filter(keep).map(line).collect()
}

/// A policy, the node on which it is converged, and what an undisturbed run makes of it.
struct Case {
    before: Node,
    catalog: Catalog,
    after: String,
}

impl Case {
    fn new(before: Node, repository: &Repository) -> Self {
        let (catalog, _) = before.catalog(repository, "test").unwrap_or_else(|found| panic!("{found:#?}"));
        let undisturbed = before.clone();
        let told = undisturbed.run(&catalog);
        assert!(told.report.conclusion.is_success(), "{}", words(&told));
        let operations = undisturbed.machine.operations();
        let lost = lost(&catalog, &operations);
        assert!(lost.is_empty(), "{lost:#?}\n{}", words(&told));
        Self { before, catalog, after: state(&undisturbed) }
    }

    /// Disturbs a run, and holds what comes after to account. Says no where the fault plan let nothing fail.
    fn survives(&self, faults: Faults, survives: bool) -> bool {
        let node = self.before.clone();
        let disturbance = node.disturbed_run(&self.catalog, faults.clone(), survives);
        let what = format!("{faults:?} of {} operations", disturbance.operations.len());
        node.machine.set_faults(Faults::none());
        let clean = node.run(&self.catalog);
        assert!(clean.report.conclusion.is_success(), "{what}:\n{}", words(&clean));
        let operations = [disturbance.operations, node.machine.operations()].concat();
        let lost = lost(&self.catalog, &operations);
        assert!(lost.is_empty(), "{what}: {lost:#?}\n{}", words(&clean));
        let after = state(&node);
        assert!(after == self.after, "{what}:\n{}", difference(&self.after, &after));
        node.machine.set_faults(Faults::none());
        let again = node.run(&self.catalog);
        assert!(is_idle(&again), "{what}, then\n{}then\n{}", words(&clean), words(&again));
        let wrote = node
            .machine
            .operations()
            .into_iter()
            .find(|operation| ["append", "replace", "flush", "write"].contains(&operation.name.as_str()));
        assert_eq!(wrote, None, "{what}: a run with nothing to do wrote");
        assert!(node.journal_is_empty(), "{what}: something is still due");
        disturbance.fired
    }

    fn at_every_operation(&self, faults: impl Fn(u64) -> Faults, survives: bool) {
        let count = (1..).take_while(|at| self.survives(faults(*at), survives)).count();
        assert!(count > 50, "only {count} operations");
    }
}

fn ordered() -> Case {
    Case::new(Node::new(machine(MACHINE)), &repository(EVERYTHING))
}

fn loose() -> Case {
    Case::new(Node::new(machine(MACHINE)), &repository(&format!("ordered = false\n{EVERYTHING}")))
}

/// A node that converged the first policy, and is given the later one, which takes away what left it.
fn changed() -> Case {
    let node = ordered().before;
    let (catalog, _) = node.catalog(&repository(EVERYTHING), "test").unwrap();
    assert!(node.run(&catalog).report.conclusion.is_success());
    node.machine.set_faults(Faults::none());
    let mut later = repository(LATER);
    let policy = "name = \"test\"\nrun_list = [\"test\"]\norphans = \"remove\"\n";
    later.files.insert("policies/test.toml".to_owned(), FileData::Bytes(policy.into()));
    Case::new(node, &later)
}

fn once(at: u64) -> Faults {
    Faults::once(at, ErrorKind::Failed)
}

fn lasting(at: u64) -> Faults {
    Faults::lasting(at, ErrorKind::NoSpace)
}

#[test]
fn one_failure_in_an_ordered_recipe() {
    ordered().at_every_operation(once, true);
}

#[test]
fn a_lasting_failure_in_an_ordered_recipe() {
    ordered().at_every_operation(lasting, true);
}

#[test]
fn a_kill_in_an_ordered_recipe() {
    ordered().at_every_operation(Faults::crash, false);
}

#[test]
fn one_failure_where_nothing_is_ordered() {
    loose().at_every_operation(once, true);
}

#[test]
fn a_lasting_failure_where_nothing_is_ordered() {
    loose().at_every_operation(lasting, true);
}

#[test]
fn a_kill_where_nothing_is_ordered() {
    loose().at_every_operation(Faults::crash, false);
}

#[test]
fn one_failure_while_the_policy_changes() {
    changed().at_every_operation(once, true);
}

#[test]
fn a_lasting_failure_while_the_policy_changes() {
    changed().at_every_operation(lasting, true);
}

#[test]
fn a_kill_while_the_policy_changes() {
    changed().at_every_operation(Faults::crash, false);
}
