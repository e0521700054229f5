//! Mounts of the test host: what is mounted where, overlays, and taking all of it away again.
#![expect(clippy::disallowed_methods, reason = "the testbed reads the test host's mount table; there is no agent here")]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::error::{Attempt, Result};

/// How long a mount may stay busy before it is detached: a killed machine lets go of it within milliseconds.
const BUSY: Duration = Duration::from_secs(5);

/// One line of the mount table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// Where it is mounted.
    pub(crate) target: PathBuf,
    /// The type of its file system.
    pub(crate) kind: String,
}

/// The mount table of this process, in the order of mounting.
pub(crate) fn table() -> Result<Vec<Mount>> {
    let text = fs::read_to_string("/proc/self/mountinfo")
        .attempt(|| "cannot read the mount table /proc/self/mountinfo".to_owned())?;
    Ok(text.lines().filter_map(parse).collect())
}

/// Mounts an overlay: what is in `lower`, with every change kept in `upper`.
///
/// # Errors
///
/// The kernel refuses: some file systems (another overlay among them) cannot hold an overlay's changes.
pub(crate) fn overlay(lower: &Path, upper: &Path, work: &Path, target: &Path) -> Result<()> {
    let options = format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    mount(Some("overlay"), target, Some("overlay"), MsFlags::empty(), Some(options.as_str()))
        .attempt(|| format!("cannot mount an overlay on {}", target.display()))
}

/// Unmounts `directory` and everything mounted below it, the last mounted first.
///
/// # Errors
///
/// A mount could not be taken away, not even detached.
pub(crate) fn unmount_below(directory: &Path) -> Result<()> {
    for mount in table()?.iter().rev() {
        if mount.target.starts_with(directory) {
            unmount(&mount.target)?;
        }
    }
    Ok(())
}

fn unmount(target: &Path) -> Result<()> {
    let until = Instant::now() + BUSY;
    loop {
        match umount2(target, MntFlags::UMOUNT_NOFOLLOW) {
            // EINVAL: not a mount point any more; somebody was faster.
            Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => return Ok(()),
            Err(Errno::EBUSY) if Instant::now() < until => {
                thread::sleep(Duration::from_millis(20));
            }
            Err(_) => {
                return umount2(target, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
                    .attempt(|| format!("cannot unmount {}", target.display()));
            }
        }
    }
}

/// A line of mountinfo: `id parent device root TARGET options [optional…] - KIND source options`.
fn parse(line: &str) -> Option<Mount> {
    let (before, after) = line.split_once(" - ")?;
    Some(Mount { target: unescape(before.split(' ').nth(4)?), kind: after.split(' ').next()?.to_owned() })
}

/// The kernel writes space, tab, newline and backslash as three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut path = text.to_owned();
    for (written, meant) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        path = path.replace(written, meant);
    }
    PathBuf::from(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_gives_target_and_kind() {
        let line = r"36 35 98:0 / /mnt/my\040disk rw,noatime shared:1 master:2 - ext3 /dev/root rw,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!(mount.target, Path::new("/mnt/my disk"));
        assert_eq!(mount.kind, "ext3");
        assert_eq!(parse("short"), None);
    }

    #[test]
    fn the_own_table_knows_proc() {
        let table = table().unwrap();
        assert!(table.iter().any(|mount| mount.kind == "proc" && mount.target == Path::new("/proc")));
    }
}
