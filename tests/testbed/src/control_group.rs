//! A control group of its own for every claim, so that two machines never share one and what a claim started can be
//! ended whole.
#![expect(
    clippy::disallowed_methods,
    reason = "the testbed makes control groups on the test host; there is no agent here"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Attempt, Result, TestbedError};
use crate::mounts;

/// The group all claims' groups are below, in every hierarchy.
const PARENT: &str = "converge-testbed";

/// A script for `sh -c`: takes its own pid into the group whose `cgroup.procs` is `$0`, then becomes the program that
/// follows. A program must be in its group before it starts others.
pub(crate) const ENTER: &str = r#"echo $$ > "$0" && exec "$@""#;

/// How long killed processes may take to leave their group.
const EMPTY: Duration = Duration::from_secs(5);

/// The control group of one claim.
#[derive(Debug, Clone)]
pub(crate) struct ControlGroup {
    id: String,
}

impl ControlGroup {
    /// The group of the claim called `id`; made by [`ControlGroup::create`].
    pub(crate) fn of(id: &str) -> Self {
        Self { id: id.to_owned() }
    }

    /// Makes the group in the unified hierarchy and gives the file that takes pids into it.
    pub(crate) fn create(&self) -> Result<PathBuf> {
        let unified = mounts::table()?.into_iter().find(|mount| mount.kind == "cgroup2").ok_or_else(|| {
            TestbedError::new(
                "no cgroup2 hierarchy is mounted, which a machine with systemd needs; \
                     mount one: `mount -t cgroup2 none /sys/fs/cgroup`",
            )
        })?;
        let group = unified.target.join(PARENT).join(&self.id);
        fs::create_dir_all(&group).attempt(|| format!("cannot make the control group {}", group.display()))?;
        Ok(group.join("cgroup.procs"))
    }

    /// Kills all that is in the group and removes it from every hierarchy (systemd-nspawn mirrors it into the one
    /// named systemd where the host carries both versions).
    pub(crate) fn destroy(&self) -> Result<()> {
        let groups: Vec<PathBuf> = mounts::table()?
            .into_iter()
            .filter(|mount| mount.kind.starts_with("cgroup"))
            .map(|mount| mount.target.join(PARENT).join(&self.id))
            .filter(|group| group.exists())
            .collect();
        // Only the unified hierarchy can kill, and no hierarchy lets go of a group before its processes ended.
        for kill in groups.iter().map(|group| group.join("cgroup.kill")) {
            if kill.exists() {
                fs::write(&kill, "1").attempt(|| format!("cannot write to {}", kill.display()))?;
            }
        }
        groups.iter().try_for_each(|group| remove(group))
    }
}

fn remove(group: &Path) -> Result<()> {
    let until = Instant::now() + EMPTY;
    loop {
        match remove_tree(group) {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() >= until => {
                return Err(error).attempt(|| format!("cannot remove the control group {}", group.display()));
            }
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Control groups are removed by directory, leaves first; their files cannot be removed.
fn remove_tree(group: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}
