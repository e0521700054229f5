//! On what the figures were taken, without which they say little.

use std::num::NonZero;
use std::path::Path;
use std::thread::available_parallelism;

use serde::Serialize;

use super::disk;
use super::site::{Host, line, run};

/// The machine and the tree, as far as they can be told.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Circumstances {
    /// The commit that was measured, and whether the tree had changes beyond it.
    pub(crate) commit: String,
    pub(crate) system: String,
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) cores: usize,
    /// The file system of the benches' files.
    pub(crate) file_system: String,
    /// The load of the last minute before the benches: above 0.5 others worked too.
    pub(crate) load: String,
}

impl Circumstances {
    /// Looks at this machine.
    pub(crate) fn now() -> Self {
        let read = |path: &str| disk::read(Path::new(path)).unwrap_or_default();
        let after = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key));
            line.map_or_else(|| "unknown".to_owned(), |value| value.trim_matches([' ', '\t', ':', '=', '"']).to_owned())
        };
        let directory = Host::directory();
        let directory = directory.canonicalize().unwrap_or(directory);
        Self {
            commit: commit(),
            system: after(&read("/etc/os-release"), "PRETTY_NAME"),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            processor: after(&read("/proc/cpuinfo"), "model name"),
            cores: available_parallelism().map_or(1, NonZero::get),
            file_system: file_system(&read("/proc/self/mounts"), &directory).unwrap_or("unknown").to_owned(),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
        }
    }

    /// Whether files of this file system are on no disk.
    pub(crate) fn is_memory_only(&self) -> bool {
        matches!(self.file_system.as_str(), "tmpfs" | "ramfs")
    }
}

/// The commit, as git describes it.
fn commit() -> String {
    let words = ["git", "describe", "--always", "--dirty", "--abbrev=12"];
    match run(&line(words), Some(&crate::process::workspace())) {
        Ok(ended) if ended.code == Some(0) => ended.stdout.trim().to_owned(),
        _ => "unknown".to_owned(),
    }
}

/// The type of the file system that a directory is on: of all mounts above it the deepest, and of those the last.
fn file_system<'a>(mounts: &'a str, directory: &Path) -> Option<&'a str> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        Some((words.next()?, words.next()?))
    });
    let above = mounts.filter(|(point, _)| directory.starts_with(point));
    above.max_by_key(|(point, _)| Path::new(point).components().count()).map(|(_, sort)| sort)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_and_last_mount_has_the_directory() {
        let mounts =
            "rootfs / rootfs rw 0 0\n/dev/vda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/b /srv/b xfs rw 0 0\n";
        for (directory, sort) in [("/srv/bench", "ext4"), ("/srv/b/ench", "xfs"), ("/tmp/x", "tmpfs")] {
            assert_eq!(file_system(mounts, Path::new(directory)), Some(sort), "{directory}");
        }
    }
}
