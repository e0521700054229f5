//! What the kernel says about processes: who is whose child, and who is the first of a pid namespace.
#![expect(clippy::disallowed_methods, reason = "the testbed reads the test host's /proc; there is no agent here")]

use std::fs;

use crate::error::{Attempt, Result};

/// The children of a process, by pid.
///
/// Reads every `/proc/PID/stat`, since `/proc/PID/task/*/children` is not built into every kernel.
pub(crate) fn children(parent: u32) -> Result<Vec<u32>> {
    let mut children = Vec::new();
    for entry in fs::read_dir("/proc").attempt(|| "cannot list /proc".to_owned())? {
        let entry = entry.attempt(|| "cannot list /proc".to_owned())?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process that ended since the listing is nobody's child any more.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        if parent_in(&stat) == Some(parent) {
            children.push(pid);
        }
    }
    children.sort_unstable();
    Ok(children)
}

/// Whether the process is the first of a pid namespace below the test host's: a machine's init.
pub(crate) fn is_machine_init(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| {
        status.lines().find_map(|line| line.strip_prefix("NSpid:")).is_some_and(|pids| {
            let pids: Vec<&str> = pids.split_whitespace().collect();
            pids.len() > 1 && pids.last() == Some(&"1")
        })
    })
}

/// The parent in a line of `/proc/PID/stat`. The program's name, in parentheses, may hold spaces and parentheses itself.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_a_hostile_program_name() {
        assert_eq!(parent_in("12 (a) R 7) S 34 12 12 0"), Some(34));
        assert_eq!(parent_in("12 (sh) S 1 12"), Some(1));
        assert_eq!(parent_in("rubbish"), None);
    }

    #[test]
    fn the_test_process_is_a_child_of_its_parent_and_no_machine() {
        let own = std::process::id();
        let parent = std::os::unix::process::parent_id();
        assert!(children(parent).unwrap().contains(&own));
        assert!(!is_machine_init(own));
    }
}
