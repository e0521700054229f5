//! Which room may use which. What is not listed is forbidden.

use toml::Table;

use crate::tree::{files, none, root};

/// A room: its folder, the rooms it may use, and the crates from outside that it must never use.
struct Room {
    folder: &'static str,
    uses: &'static [&'static str],
    never: &'static [&'static str],
}

const MECHANISM: &[&str] = &["tokio", "nix", "rustix", "reqwest", "zbus", "axum", "rusqlite", "rayon", "tracing"];

const ROOMS: &[Room] = &[
    Room {
        folder: "resources/model",
        uses: &[],
        never: &["tokio", "nix", "rustix", "reqwest", "zbus", "axum", "rusqlite", "tracing"],
    },
    Room { folder: "resources/kinds", uses: &["model"], never: MECHANISM },
    Room { folder: "resources/system", uses: &["model"], never: &["reqwest", "axum", "rusqlite", "minijinja"] },
    Room { folder: "policy", uses: &["model"], never: MECHANISM },
    Room { folder: "agent/engine", uses: &["model"], never: &["tokio", "nix", "rustix", "reqwest", "zbus", "axum"] },
    Room { folder: "store/protocol", uses: &["model"], never: MECHANISM },
    Room {
        folder: "trust",
        uses: &["model", "protocol"],
        never: &["tokio", "nix", "rustix", "reqwest", "zbus", "axum", "rusqlite", "rayon"],
    },
    Room {
        folder: "store",
        uses: &["protocol", "model", "policy", "trust"],
        never: &["nix", "rustix", "zbus", "reqwest"],
    },
    Room {
        folder: "agent/converge",
        uses: &["model", "kinds", "system", "policy", "engine", "protocol", "store", "trust"],
        never: &[],
    },
];

/// Rooms that are not part of the product, and may use what they test.
const WORKSHOPS: &[&str] = &["tests", "tests/testbed", "xtask"];

#[test]
fn every_arrow_between_rooms_is_a_listed_one() {
    let workspace: Table = std::fs::read_to_string(root().join("Cargo.toml")).unwrap().parse().unwrap();
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let mut findings = Vec::new();
    for member in members.iter().map(|member| member.as_str().unwrap()) {
        if WORKSHOPS.contains(&member) {
            continue;
        }
        let Some(room) = ROOMS.iter().find(|room| room.folder == member) else {
            findings.push(format!("{member} is a new room: say in this table what it may use"));
            continue;
        };
        let manifest: Table = std::fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap().parse().unwrap();
        for used in manifest["dependencies"].as_table().unwrap().keys() {
            let own = used.strip_prefix("converge-");
            if own.is_some_and(|own| !room.uses.contains(&own)) || room.never.contains(&used.as_str()) {
                findings.push(format!("{member} must not use {used}"));
            }
        }
    }
    none("An arrow between rooms is not one of the house (ARCHITECTURE.md, Rooms):", findings);
}

/// Doors of the standard library that a room never goes through, whatever its manifest says.
const PURE: &[(&str, &[&str])] = &[
    ("resources/model/src/", &["std::fs", "std::process", "std::net", "std::env", "SystemTime::now", "Instant::now"]),
    ("resources/kinds/src/", &["std::fs", "std::process", "std::net", "std::env", "SystemTime::now", "Instant::now"]),
    ("policy/src/", &["std::fs", "std::process", "std::net", "std::env::", "SystemTime::now", "Instant::now"]),
    ("agent/engine/src/", &["std::fs", "std::process", "std::net", "std::env", "SystemTime::now"]),
    ("trust/src/", &["std::fs", "std::process", "std::net", "std::env", "SystemTime::now"]),
    ("store/protocol/src/", &["std::fs", "std::process", "std::net", "std::env", "SystemTime::now"]),
];

#[test]
fn pure_rooms_touch_no_machine() {
    let mut findings = Vec::new();
    for source in files(&[".rs"]) {
        for (folder, doors) in PURE.iter().filter(|(folder, _)| source.path.starts_with(folder)) {
            for (number, line) in source.text.lines().enumerate().filter(|(_, line)| !is_comment(line)) {
                for door in doors.iter().filter(|door| line.contains(**door)) {
                    findings.push(format!("{}:{}: {door} in {folder}", source.path, number + 1));
                }
            }
        }
    }
    none("A pure room goes through a door to the machine:", findings);
}

/// Crates that one folder alone of a room may name: what stands behind its interface can be replaced there.
const BEHIND: &[(&str, &str, &str)] = &[("rusqlite::", "store/src/", "store/src/persistence")];

#[test]
fn what_stands_behind_an_interface_is_named_nowhere_else() {
    let mut findings = Vec::new();
    for source in files(&[".rs"]) {
        for (name, room, folder) in BEHIND.iter().filter(|(_, room, _)| source.path.starts_with(room)) {
            if !source.path.starts_with(folder) && source.text.contains(name) {
                findings.push(format!("{}: {name} outside of {folder} of {room}", source.path));
            }
        }
    }
    none("Something goes past an interface:", findings);
}

fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

#[test]
fn every_crate_takes_the_workspace_lints() {
    let manifests = files(&["Cargo.toml"]);
    let lax = manifests.iter().filter(|manifest| manifest.path != "Cargo.toml").filter(|manifest| {
        let table: Table = manifest.text.parse().unwrap();
        table.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool) != Some(true)
    });
    none("`[lints] workspace = true` is missing:", lax.map(|manifest| manifest.path.clone()).collect());
}
