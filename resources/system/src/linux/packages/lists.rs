//! The index that apt keeps of its sources: how old it is, and whether the sources changed since.
#![expect(clippy::disallowed_methods, reason = "how old a file is, is told by the clock that stamped it")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Where the sources, and the keys that they are verified with, are declared.
const SOURCES: [&str; 5] = [
    "etc/apt/sources.list",
    "etc/apt/sources.list.d",
    "etc/apt/trusted.gpg",
    "etc/apt/trusted.gpg.d",
    "etc/apt/keyrings",
];
/// What decides which version is preferred.
const PREFERENCES: [&str; 2] = ["etc/apt/preferences", "etc/apt/preferences.d"];
const LISTS: &str = "var/lib/apt/lists";
/// Others who fetch the index (Ubuntu's notifier, apt's own timer) leave the time there, and look for it there.
const STAMPS: [&str; 2] = ["var/lib/apt/periodic/update-success-stamp", "var/lib/apt/periodic/update-stamp"];

/// The index of the machine whose root directory is given.
#[derive(Debug)]
pub(super) struct Lists {
    root: PathBuf,
}

impl Lists {
    /// The index below `root`.
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Whether there is an index that packages can be installed from, however old.
    pub(super) fn is_usable(&self) -> bool {
        let Ok(entries) = fs::read_dir(self.root.join(LISTS)) else { return false };
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.as_encoded_bytes();
            memchr::memmem::find(name, b"_Packages").is_some()
        })
    }

    /// Whether the index is not there, is older than its sources, or older than `age`.
    pub(super) fn is_due(&self, age: Duration) -> bool {
        match self.fetched() {
            // A time that lies ahead was stamped by a wrong clock; it says nothing.
            Some(fetched) => {
                self.is_outdated() || SystemTime::now().duration_since(fetched).map_or(true, |old| old > age)
            }
            None => true,
        }
    }

    /// Whether the index was made from other sources than there are now.
    pub(super) fn is_outdated(&self) -> bool {
        let changed = self.newest(&SOURCES);
        self.fetched().is_none_or(|fetched| changed.is_some_and(|changed| changed > fetched))
    }

    /// Remembers that the index was fetched just now. apt itself does not, where nothing was new.
    pub(super) fn stamp(&self) {
        let path = self.root.join(STAMPS[0]);
        let stamped = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(&path));
        if let Err(error) = stamped.and_then(|file| file.set_modified(SystemTime::now())) {
            tracing::debug!("cannot stamp {}: {error}", path.display());
        }
    }

    /// What changes whenever the answer to "which versions are there" may be another one.
    pub(super) fn fingerprint(&self) -> [Option<SystemTime>; 3] {
        [self.fetched(), self.newest(&SOURCES), self.newest(&PREFERENCES)]
    }

    /// When the index was last fetched; nothing where there is none.
    fn fetched(&self) -> Option<SystemTime> {
        let stamps = STAMPS.iter().filter_map(|stamp| modified(&self.root.join(stamp)));
        let lists = modified(&self.root.join(LISTS)).filter(|_| self.is_usable())?;
        Some(stamps.fold(lists, SystemTime::max))
    }

    /// When any of `paths`, or what is in a directory among them, was last modified.
    fn newest(&self, paths: &[&str]) -> Option<SystemTime> {
        let mut newest = None;
        for path in paths.iter().map(|path| self.root.join(path)) {
            newest = newest.max(modified(&path));
            for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
                newest = newest.max(modified(&entry.path()));
            }
        }
        newest
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn touch(path: &Path, ago: i64) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let file = if path.is_dir() { File::open(path).unwrap() } else { File::create(path).unwrap() };
        let seconds = Duration::from_secs(ago.unsigned_abs());
        let now = SystemTime::now();
        file.set_modified(if ago < 0 { now + seconds } else { now - seconds }).unwrap();
    }

    #[test]
    fn an_index_is_due_when_it_is_old_or_its_sources_are_newer() {
        // How many seconds ago: lists fetched, stamp left, sources changed. A minus is in the future.
        for (lists, stamp, sources, outdated, due) in [
            (Some(60), None, 7200, false, false),
            (Some(60), None, 30, true, true),
            (Some(7200), None, 9000, false, true),
            (Some(7200), Some(60), 9000, false, false),
            (Some(7200), Some(60), 30, true, true),
            (Some(-7200), None, 9000, false, true),
            (None, None, 60, true, true),
        ] {
            let root = tempfile::tempdir().unwrap();
            let at = |path: &str| root.path().join(path);
            let source = at("etc/apt/sources.list.d/house.sources");
            touch(&source, sources);
            touch(source.parent().unwrap(), 90_000);
            if let Some(lists) = lists {
                touch(&at("var/lib/apt/lists/house_Packages"), 90_000);
                touch(&at(LISTS), lists);
            }
            if let Some(stamp) = stamp {
                touch(&at(STAMPS[1]), stamp);
            }
            let lists_of_root = Lists::new(root.path().to_owned());
            let case = format!("{lists:?} {stamp:?} {sources}");
            assert_eq!(lists_of_root.is_outdated(), outdated, "{case}");
            assert_eq!(lists_of_root.is_due(HOUR), due, "{case}");
            assert_eq!(lists_of_root.is_usable(), lists.is_some(), "{case}");
            lists_of_root.stamp();
            assert_eq!(lists_of_root.is_due(HOUR), lists.is_none_or(|ago| ago < 0), "{case}, after fetching");
        }
    }
}
