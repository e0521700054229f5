//! Scenarios: a machine, a policy, and what comes of them, each told in one text file.
//!
//! A file begins with what it tells, and then has sections, each beginning with a line `=== name`:
//!
//! | section | what it is |
//! |---|---|
//! | `machine` | what is put on a machine like a fresh Debian (TOML) |
//! | `recipe` | `recipes/default.toml` of the cookbook `test`, which the policy `test` runs |
//! | `file PATH`, `gone PATH` | a file of the policy repository, by its path there |
//! | `facts`, `node` | facts; `name`, `group`, `tags` and `attributes` of the node (TOML) |
//! | `killed at OPERATION` | the run is killed at its first operation called so, before the run that is told |
//! | `plan`, `run`, `changes`, `again` | expected: what a plan says, what a run does, how the machine differs, what one more run does |
//! | `errors` | expected: what is wrong with the policy; then there is no run |
//! | `then: WORDS` | a further step on the same machine: its sections come on top of what was there |
//!
//! With `UPDATE=1` in the environment, [`check`] writes what came of it in place of what was expected.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod machine;
mod node;
mod text;

use std::path::Path;

use converge_model::system::commands::Purpose;
use converge_policy::{FileData, Repository};
use converge_system::memory::{Faults, MemoryMachine, Operation};
use serde::Deserialize;

use machine::MachineText;
pub use node::{Disturbance, Knowledge, Node, Step, Told};

const MARK: &str = "=== ";
const EXPECTED: [&str; 5] = ["errors", "plan", "run", "changes", "again"];

/// One section: what its line says, and the lines below it.
#[derive(Clone, Debug)]
struct Section {
    head: String,
    body: String,
}

/// Holds a scenario file against what comes of it. Where that is otherwise, and `UPDATE` is not set, gives the difference.
///
/// # Errors
/// The difference, line by line.
///
/// # Panics
/// Where the file cannot be read or written, or is no scenario.
#[expect(clippy::disallowed_methods, reason = "the file of a test, and a switch for who writes it")]
pub fn check(path: &Path) -> Result<(), String> {
    let expected = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let actual = play(&expected);
    if actual == expected {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, actual).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return Ok(());
    }
    Err(difference(&expected, &actual))
}

/// A policy repository of one recipe: the cookbook and the policy are called `test`.
pub fn repository(recipe: &str) -> Repository {
    Repository::from_iter([
        ("cookbooks/test/cookbook.toml", "name = \"test\"\nversion = \"1.0.0\"\n"),
        ("cookbooks/test/recipes/default.toml", recipe),
        ("policies/test.toml", "name = \"test\"\nrun_list = [\"test\"]\n"),
    ])
}

/// A machine like a fresh Debian, with what the section `machine` of a scenario would put on it.
///
/// # Panics
/// Where the text is no such section.
pub fn machine(text: &str) -> MemoryMachine {
    let machine = MemoryMachine::debian();
    MachineText::read(text).apply(&machine);
    machine
}

/// What a run told, as scenarios write it.
pub fn words(told: &Told) -> String {
    text::told(told)
}

/// Whether a run found nothing to do, and nothing to say.
pub fn is_idle(told: &Told) -> bool {
    text::is_idle(told)
}

/// What differs between two texts, with a few lines around it.
pub fn difference(expected: &str, actual: &str) -> String {
    similar::TextDiff::from_lines(expected, actual).unified_diff().header("expected", "actual").to_string()
}

/// The scenario as it should be written: with what really comes of it.
///
/// # Panics
/// Where it is no scenario.
pub fn play(text: &str) -> String {
    let (mut written, sections) = split(text);
    let mut stage = Stage::new();
    let mut rest = sections.as_slice();
    while !rest.is_empty() {
        let end = 1 + rest[1..].iter().take_while(|section| !section.head.starts_with("then:")).count();
        let (step, others) = rest.split_at(end);
        let inputs = step.iter().filter(|section| !EXPECTED.contains(&section.head.as_str()));
        let mut kill = None;
        for section in inputs {
            stage.set(section, &mut kill);
            write_section(&mut written, &section.head, &section.body);
        }
        for (head, body) in stage.act(kill.as_deref()) {
            write_section(&mut written, head, &body);
        }
        rest = others;
    }
    written
}

fn write_section(text: &mut String, head: &str, body: &str) {
    let body = body.trim_end_matches('\n');
    let gap = if text.is_empty() { "" } else { "\n" };
    let line = if body.is_empty() { "" } else { "\n" };
    text.push_str(&format!("{gap}{MARK}{head}\n{body}{line}"));
}

/// What comes before the first section, and the sections.
fn split(text: &str) -> (String, Vec<Section>) {
    let mut preamble = String::new();
    let mut sections: Vec<Section> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix(MARK), sections.last_mut()) {
            (Some(head), _) => sections.push(Section { head: head.trim().to_owned(), body: String::new() }),
            (None, Some(section)) => section.body.push_str(&format!("{line}\n")),
            (None, None) => preamble.push_str(&format!("{line}\n")),
        }
    }
    let told = preamble.trim_end_matches('\n');
    assert!(!told.is_empty() && !sections.is_empty(), "a scenario says what it tells, and has sections");
    for section in &mut sections {
        section.body.truncate(section.body.trim_end_matches('\n').len() + usize::from(!section.body.trim().is_empty()));
    }
    (format!("{told}\n"), sections)
}

/// The node and the repository, as the scenario goes on.
struct Stage {
    node: Node,
    repository: Repository,
}

/// What a scenario says of its node.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct NodeText {
    name: Option<String>,
    group: Option<String>,
    tags: Vec<String>,
    attributes: converge_policy::attribute::NodeAttributes,
}

impl Stage {
    fn new() -> Self {
        Self { node: Node::new(MemoryMachine::debian()), repository: repository("") }
    }

    /// Takes in what a section says.
    fn set(&mut self, section: &Section, kill: &mut Option<String>) {
        let Section { head, body } = section;
        let (name, argument) = head.split_once(' ').unwrap_or((head, ""));
        match name {
            "machine" => MachineText::read(body).apply(&self.node.machine),
            "recipe" => self.put("cookbooks/test/recipes/default.toml", body),
            "file" => self.put(argument, body),
            "gone" => drop(self.repository.files.remove(argument)),
            "facts" => self.node.knowledge.facts = read("facts", body),
            "node" => {
                let NodeText { name, group, tags, attributes } = read("node", body);
                let knowledge = &mut self.node.knowledge;
                knowledge.identity.name = name.unwrap_or_else(|| knowledge.identity.name.clone());
                knowledge.identity.group = group;
                knowledge.identity.tags = tags;
                knowledge.attributes = attributes;
            }
            "killed" => *kill = Some(argument.trim_start_matches("at ").to_owned()),
            "then:" => assert!(body.trim().is_empty(), "`{head}` has sections below it, and no text"),
            _ => panic!("a scenario has no section `{head}`"),
        }
    }

    fn put(&mut self, path: &str, text: &str) {
        self.repository.files.insert(path.to_owned(), FileData::Bytes(text.as_bytes().to_vec()));
    }

    /// What comes of it.
    fn act(&self, kill: Option<&str>) -> Vec<(&'static str, String)> {
        let (catalog, _) = match self.node.catalog(&self.repository, "test") {
            Ok(bound) => bound,
            Err(found) => return vec![("errors", text::findings(&found))],
        };
        if let Some(operation) = kill {
            self.kill(&catalog, operation);
        }
        let before = self.node.machine.clone();
        let plan = self.node.plan(&catalog);
        assert_eq!(self.changes_since(&before), "", "a plan changed the machine");
        let plan = text::told(&plan);
        let run = text::told(&self.node.run(&catalog));
        let changes = self.changes_since(&before);
        let foretold = plan.replace("would update", "updated     ") == run;
        let plan = if foretold { "as it is run\n".to_owned() } else { plan };
        let before = self.node.machine.clone();
        let again = self.node.run(&catalog);
        let changed_again = self.changes_since(&before);
        let again = match (text::is_idle(&again), changed_again.as_str()) {
            (true, "") => "nothing to do\n".to_owned(),
            _ => text::told(&again) + &changed_again,
        };
        vec![("plan", plan), ("run", run), ("changes", changes), ("again", again)]
    }

    /// How the machine differs. Commands that only look, such as guards, leave no trace.
    fn changes_since(&self, before: &MemoryMachine) -> String {
        let changes = self.node.machine.changes_since(before);
        let mut text: String =
            changes.lines().filter(|line| !line.starts_with("+ command ")).map(|line| format!("{line}\n")).collect();
        for record in self.node.machine.commands_run().iter().skip(before.commands_run().len()) {
            if record.purpose == Purpose::Change {
                text.push_str(&format!("+ command {:?} {}\n", record.line, record.exit));
            }
        }
        text
    }

    /// A run that is killed at its first operation called so.
    fn kill(&self, catalog: &converge_model::Catalog, operation: &str) {
        let twin = self.node.clone();
        twin.run(catalog);
        let named = |candidate: &&Operation| format!("{} {}", candidate.name, candidate.subject) == operation;
        let operations = twin.machine.operations();
        let Some(found) = operations.iter().find(named) else {
            let lines: Vec<String> = operations.iter().map(ToString::to_string).collect();
            panic!("no operation `{operation}` in:\n{}", lines.join("\n"));
        };
        let disturbance = self.node.disturbed_run(catalog, Faults::crash(found.number), false);
        assert!(disturbance.fired, "the run was to be killed at `{operation}`");
    }
}

/// A document of a scenario.
fn read<T: for<'de> Deserialize<'de>>(section: &str, text: &str) -> T {
    toml::from_str(text).unwrap_or_else(|error| panic!("the section `{section}`: {error}"))
}
