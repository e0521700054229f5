//! Input that is too large, or never ends, on the whole way from recipe to plan: it is worked off, or refused, in time.

use std::time::{Duration, Instant};

use converge_model::Outcome;
use converge_system::memory::MemoryMachine;
use converge_tests::scenario::{Node, repository, words};

/// More than any of these takes in a debug build, and much less than a person waits.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn twenty_thousand_resources_are_compiled_bound_and_planned() {
    const COUNT: u64 = 20_000;
    let files: String =
        (0..COUNT).map(|number| format!("[file.\"/srv/{number}\"]\ncontent = \"{number}\"\n")).collect();
    for header in ["", "ordered = false\n"] {
        let began = Instant::now();
        let node = Node::new(MemoryMachine::debian());
        let (catalog, _) = node.catalog(&repository(&format!("{header}{files}")), "test").unwrap();
        let plan = node.plan(&catalog);
        assert_eq!(plan.report.count(Outcome::WouldUpdate), COUNT, "{}", plan.report.conclusion.words());
        assert!(began.elapsed() < PATIENCE, "{header:?} took {:?}", began.elapsed());
    }
}

#[test]
fn a_loop_makes_as_many_resources() {
    let node = Node::new(MemoryMachine::debian());
    let recipe = "[file.\"/srv/{{ each.value }}\"]\nfor_each = \"range(20000)\"\ncontent = \"no. {{ each.key }}\"\n";
    let (catalog, _) = node.catalog(&repository(recipe), "test").unwrap();
    assert_eq!(catalog.resources.len(), 20_000);
}

#[test]
fn what_never_ends_is_refused_in_time() {
    let deep = format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000));
    for endless in [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}".to_owned(),
        "{% for a in range(100000) %}{{ 'x' * 100000 }}{% endfor %}".to_owned(),
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}".to_owned(),
        "{{ range(10000000000) | list | length }}".to_owned(),
        format!("{{{{ {deep} }}}}"),
    ] {
        let began = Instant::now();
        let node = Node::new(MemoryMachine::debian());
        let recipe = format!("[file.\"/etc/a\"]\ncontent = '''{endless}'''\n");
        let found = node.catalog(&repository(&recipe), "test").err();
        let short: String = endless.chars().take(80).collect();
        let found = found.unwrap_or_else(|| panic!("{short} was taken"));
        assert!(!found.is_empty() && !found[0].message.is_empty(), "{found:?}");
        assert!(began.elapsed() < PATIENCE, "{short} took {:?}", began.elapsed());
    }
}

/// Names that only a node makes reach no machine, whatever kind they are of.
#[test]
fn names_that_lead_elsewhere_reach_no_machine() {
    for kind in ["file", "directory", "link", "user", "group", "package", "service"] {
        for name in ["../../etc/shadow", "/srv/../etc/shadow", "a\\nb", "a\\u0000b", "", " ", "a/../../b", "-rf"] {
            let mut node = Node::new(MemoryMachine::debian());
            node.knowledge.facts = serde_json::from_str(&format!("{{\"name\":\"{name}\"}}")).unwrap();
            let before = node.machine.dump();
            let recipe = format!("[{kind}.\"{{{{ facts.name }}}}\"]\n");
            if let Ok((catalog, _)) = node.catalog(&repository(&recipe), "test") {
                let told = node.run(&catalog);
                let failed = told.report.count(Outcome::Failed) == 1;
                let quiet = told.report.count(Outcome::UpToDate) == 1;
                assert!(failed || quiet, "{kind} {name:?}: {}", words(&told));
            }
            assert_eq!(node.machine.dump(), before, "{kind} {name:?}");
        }
    }
}
