//! The state of a machine as stable text, and what differs between two of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use converge_model::system::packages::PackageState;
use converge_model::system::services::Activity;
use converge_model::{AbsPath, Content, Digest};

use super::{MemoryMachine, State};
use crate::overlay::tree::{Data, Node, NodeId, ROOT, Shape};

/// Files up to this many bytes are shown whole.
const LONGEST_SHOWN: usize = 4096;

impl MemoryMachine {
    /// The whole state as text, a line a thing, each beginning with what it is about: paths with owner, group, mode and
    /// content; users and groups; packages; units; commands in the order they were run. The same state gives the same
    /// text. Where something holds a password's hash, its digest is shown.
    pub fn dump(&self) -> String {
        let state = self.state();
        let mut text = String::new();
        for part in [state.dump_files(), state.dump_accounts(), state.dump_packages(), state.dump_units()] {
            text.push_str(&part);
        }
        for record in &state.commands.records {
            let _ = writeln!(text, "command {:?} {}", record.line, record.exit);
        }
        text
    }

    /// What differs from `before`: its lines that are gone after a `-`, the new ones after a `+`, in the order of the
    /// dump. Empty where nothing does.
    pub fn changes_since(&self, before: &MemoryMachine) -> String {
        let (before, after) = (before.dump(), self.dump());
        let mut text = String::new();
        for difference in similar_lines(&before, &after) {
            let _ = writeln!(text, "{difference}");
        }
        text
    }
}

/// The lines of one text that are not in the other, those about the same thing together.
fn similar_lines(before: &str, after: &str) -> Vec<String> {
    let subject = |line: &str| -> String {
        let words = if line.starts_with('/') { 1 } else { 2 };
        line.split(' ').take(words).collect::<Vec<_>>().join(" ")
    };
    let (old, new): (BTreeSet<&str>, BTreeSet<&str>) = (before.lines().collect(), after.lines().collect());
    let mut changed: Vec<(String, u8, String)> = Vec::new();
    changed
        .extend(before.lines().filter(|line| !new.contains(line)).map(|line| (subject(line), 0, format!("- {line}"))));
    changed
        .extend(after.lines().filter(|line| !old.contains(line)).map(|line| (subject(line), 1, format!("+ {line}"))));
    // Commands were run in an order; all else has none but its name.
    changed.sort_by(|left, right| match (left.0.starts_with("command"), right.0.starts_with("command")) {
        (false, false) => (&left.0, left.1).cmp(&(&right.0, right.1)),
        (left, right) => left.cmp(&right),
    });
    changed.into_iter().map(|(_, _, line)| line).collect()
}

fn shown(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.len() <= LONGEST_SHOWN => format!("{text:?}"),
        _ => format!("({} bytes, sha256 {})", bytes.len(), Digest::of(bytes).short()),
    }
}

impl State {
    fn owner(&self, node: &Node) -> String {
        let user = self.roster.user_name(node.metadata.uid).ok().flatten();
        let group = self.roster.group_name(node.metadata.gid).ok().flatten();
        let or = |name: Option<String>, number: u32| name.unwrap_or_else(|| number.to_string());
        format!("{}:{}", or(user, node.metadata.uid), or(group, node.metadata.gid))
    }

    fn dump_files(&self) -> String {
        let mut text = String::new();
        let mut names: BTreeMap<NodeId, AbsPath> = BTreeMap::new();
        self.tree.visit(ROOT, &AbsPath::root(), &mut |path, id, node| {
            let first = names.entry(id).or_insert_with(|| path.clone());
            let owner = self.owner(node);
            let mode = node.metadata.mode;
            let _ = match &node.shape {
                _ if first != path => writeln!(text, "{path} is {first}"),
                Shape::Directory { .. } => writeln!(text, "{path} directory {owner} {mode:04o}"),
                Shape::Symlink(target) => writeln!(text, "{path} link {owner} -> {target}"),
                Shape::Special | Shape::Unknown { .. } => writeln!(text, "{path} special {owner} {mode:04o}"),
                Shape::Regular(Data::Known(Content::Bytes(bytes))) => {
                    writeln!(text, "{path} file {owner} {mode:04o} {}", shown(bytes))
                }
                Shape::Regular(_) => writeln!(text, "{path} file {owner} {mode:04o}"),
            };
        });
        text
    }

    fn dump_accounts(&self) -> String {
        let mut text = String::new();
        for entry in self.roster.users() {
            let user = &entry.user;
            let group = self.roster.group_name(user.gid).ok().flatten().unwrap_or_else(|| user.gid.to_string());
            let _ = write!(text, "user {} {}:{group} {} {}", user.name, user.uid, user.home, user.shell);
            if !user.comment.is_empty() {
                let _ = write!(text, " {:?}", user.comment);
            }
            if let Ok(Some(password)) = self.roster.password(&user.name) {
                if !password.hash.is_empty() {
                    let _ = write!(text, " password {}", Digest::of(password.hash.as_bytes()).short());
                }
                if !password.locked {
                    text.push_str(" unlocked");
                }
                if let Some(day) = password.expires {
                    let _ = write!(text, " expires {day}");
                }
            }
            text.push('\n');
        }
        for (name, group) in self.roster.groups() {
            let members: Vec<&str> = group.members.iter().map(String::as_str).collect();
            let _ = writeln!(text, "group {name} {} {}", group.gid, members.join(","));
        }
        text.replace(" \n", "\n")
    }

    fn dump_packages(&self) -> String {
        let mut text = String::new();
        for (name, present) in &self.packages.packages {
            let installed = &present.installed;
            let how = match installed.state {
                PackageState::Installed => "installed",
                PackageState::ConfigFiles => "removed, configuration kept",
                PackageState::Unfinished => "unfinished",
            };
            let held = if installed.held { " held" } else { "" };
            let _ = writeln!(text, "package {name} {} {how}{held}", installed.version);
        }
        text
    }

    fn dump_units(&self) -> String {
        let mut text = String::new();
        for (name, unit) in &self.units.units {
            let Ok(status) = self.status(name) else { continue };
            if !status.exists && unit.activity == Activity::Inactive {
                continue;
            }
            let _ = write!(text, "unit {name} {} {}", unit.activity.word(), status.enablement.word());
            if status.stale {
                text.push_str(" stale");
            }
            let counts = unit.counts;
            for (what, count) in [
                ("started", counts.starts),
                ("stopped", counts.stops),
                ("restarted", counts.restarts),
                ("reloaded", counts.reloads),
            ] {
                if count > 0 {
                    let _ = write!(text, " {what}={count}");
                }
            }
            text.push('\n');
        }
        text
    }
}
