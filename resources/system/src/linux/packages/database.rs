//! The dpkg database: what is installed, read from its own files, and kept until they change.
//!
//! One reading of the status file is enough for a run of any size; after it, a question costs two stat(2) calls. Starting
//! dpkg-query for the same takes twenty times as long.
#![expect(clippy::disallowed_methods, reason = "dpkg's own files are read whole, and every error here names the file")]

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use converge_model::{Error, ErrorKind, Result};

use super::index::Index;

/// How often the database may change while it is read before that is an error.
const ATTEMPTS: u32 = 20;

/// The directory that dpkg keeps its database in, and what was read from it.
#[derive(Debug)]
pub(super) struct Database {
    directory: PathBuf,
    index: Mutex<Option<(Fingerprint, Arc<Index>)>>,
}

impl Database {
    /// The database in `directory`, usually `/var/lib/dpkg`. Nothing is read yet.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, index: Mutex::new(None) }
    }

    /// What is installed now.
    ///
    /// # Errors
    /// Where dpkg's files cannot be read, or never stay as they are for long enough to be read.
    pub(super) fn index(&self) -> Result<Arc<Index>> {
        let mut kept = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = self.fingerprint()?;
        if let Some((then, index)) = kept.as_ref()
            && *then == now
        {
            return Ok(Arc::clone(index));
        }
        for _ in 0..ATTEMPTS {
            let index = self.read();
            // dpkg moves what is in updates/ into the status file; only a reading that nothing moved under counts.
            let after = self.fingerprint()?;
            if after == now {
                let index = Arc::new(index?);
                *kept = Some((after, Arc::clone(&index)));
                return Ok(index);
            }
            now = after;
        }
        Err(Error::new(ErrorKind::Busy, "read", self.directory.display(), "dpkg kept changing it")
            .with_hint("another package manager is at work; try again when it is done"))
    }

    /// Forgets what was read.
    pub(super) fn forget(&self) {
        *self.index.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether dpkg was interrupted so that it must finish before anything else is done.
    pub(super) fn is_interrupted(&self) -> Result<bool> {
        Ok(!self.update_files()?.is_empty() || self.index()?.unfinished().next().is_some())
    }

    fn fingerprint(&self) -> Result<Fingerprint> {
        let status = self.directory.join("status");
        let metadata = fs::metadata(&status).map_err(|error| Error::io("read", status.display(), &error))?;
        let updates = match fs::metadata(self.directory.join("updates")) {
            Ok(updates) => (updates.ino(), updates.mtime(), updates.mtime_nsec()),
            Err(_) => (0, 0, 0),
        };
        Ok(Fingerprint {
            status: (metadata.dev(), metadata.ino(), metadata.size()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            updates,
        })
    }

    fn read(&self) -> Result<Index> {
        let read = |path: &Path| fs::read(path).map_err(|error| Error::io("read", path.display(), &error));
        let mut index = Index::default();
        index.add_status(&read(&self.directory.join("status"))?);
        for file in self.update_files()? {
            index.add_update(&read(&file)?);
        }
        index.finish();
        Ok(index)
    }

    /// The files in updates/ in the order in which they count. dpkg names them by numbers of equal length.
    fn update_files(&self) -> Result<Vec<PathBuf>> {
        let directory = self.directory.join("updates");
        let failed = |error: &io::Error| Error::io("list", directory.display(), error);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&error)),
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| failed(&error))?.path();
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            if !name.is_empty() && name.iter().all(u8::is_ascii_digit) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

/// What changes whenever the database does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fingerprint {
    status: (u64, u64, u64),
    modified: (i64, i64),
    updates: (u64, i64, i64),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linux::packages::index::Entry;

    const STATUS: &str = "\
Package: dpkg
Essential: yes
Status: install ok installed
Architecture: amd64
Version: 1.21.22
Description: package manager
 Package: not-a-field
 .
 more

Package: libz
Status: install ok installed
Architecture: amd64
Multi-Arch: same
Version: 1:1.2-1

Package: libz
Status: hold ok installed
Architecture: i386
Multi-Arch: same
Version: 1:1.2-0

Package: gone
Status: deinstall ok config-files
Architecture: all
Config-Version: 2.0
Version: 2.0

Package: kept
Status: hold ok installed
Architecture: all
Version: 3~rc1

Package: half
Status: install reinstreq half-installed
Architecture: amd64
Version: 4

Package: never
Status: hold ok not-installed
Architecture: amd64

Package: waits
Status: install ok triggers-pending
Architecture: amd64
Version: 5
";

    fn database(status: &str, updates: &[(&str, &str)]) -> (tempfile::TempDir, Database) {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("status"), status).unwrap();
        fs::create_dir(directory.path().join("updates")).unwrap();
        for (name, text) in updates {
            fs::write(directory.path().join("updates").join(name), text).unwrap();
        }
        let database = Database::new(directory.path().to_owned());
        (directory, database)
    }

    fn shown(database: &Database, name: &str) -> String {
        match database.index().unwrap().find(name).and_then(Entry::installed) {
            None => "none".to_owned(),
            Some(found) => {
                format!("{} {:?}{}", found.version, found.state, if found.held { " held" } else { "" })
            }
        }
    }

    #[test]
    fn states_holds_and_architectures_are_told_apart() {
        let (_directory, database) = database(STATUS, &[]);
        for (name, expected) in [
            ("dpkg", "1.21.22 Installed"),
            ("libz", "1:1.2-1 Installed"),
            ("libz:amd64", "1:1.2-1 Installed"),
            ("libz:i386", "1:1.2-0 Installed held"),
            ("libz:arm64", "none"),
            ("kept", "3~rc1 Installed held"),
            ("kept:amd64", "3~rc1 Installed held"),
            ("kept:all", "3~rc1 Installed held"),
            ("kept:i386", "none"),
            ("gone", "2.0 ConfigFiles"),
            ("half", "4 Unfinished"),
            ("waits", "5 Unfinished"),
            ("never", "none"),
            ("not-a-field", "none"),
            ("lib", "none"),
            ("zzz", "none"),
            ("", "none"),
        ] {
            assert_eq!(shown(&database, name), expected, "{name}");
        }
        assert!(database.is_interrupted().unwrap());
        assert!(database.index().unwrap().find("dpkg").unwrap().essential);
    }

    #[test]
    fn what_dpkg_has_not_merged_yet_counts() {
        let updates = [
            ("0000", "Package: kept\nStatus: install ok half-configured\nArchitecture: all\nVersion: 4\n"),
            ("0001", "Package: kept\nStatus: install ok installed\nArchitecture: amd64\nVersion: 4\n"),
            (
                "0002",
                "Package: libz\nStatus: install ok unpacked\nArchitecture: i386\nMulti-Arch: same\nVersion: 1:1.3\n",
            ),
            ("tmp.i", "Package: dpkg\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 0\n"),
        ];
        let (_directory, database) = database(STATUS, &updates);
        for (name, expected) in [
            ("kept", "4 Installed"),
            ("kept:all", "none"),
            ("libz", "1:1.2-1 Installed"),
            ("libz:i386", "1:1.3 Unfinished"),
            ("dpkg", "1.21.22 Installed"),
        ] {
            assert_eq!(shown(&database, name), expected, "{name}");
        }
    }

    #[test]
    fn the_index_is_kept_until_dpkg_changes_something() {
        let (directory, database) = database(STATUS, &[]);
        let first = database.index().unwrap();
        assert!(Arc::ptr_eq(&first, &database.index().unwrap()));
        fs::write(directory.path().join("updates/0000"), "Package: gone\nStatus: purge ok not-installed\n").unwrap();
        assert_eq!(shown(&database, "gone"), "none");
        fs::remove_file(directory.path().join("status")).unwrap();
        assert_eq!(database.index().unwrap_err().kind, ErrorKind::NotFound);
    }

    #[test]
    fn damaged_files_yield_what_is_whole() {
        for (status, expected) in [
            ("", "none"),
            ("\n\n\n", "none"),
            ("Package: a", "none"),
            ("Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all", "1 Installed"),
            ("Package: a\nStatus: install ok\nVersion: 1\n", "none"),
            ("Package: a\nStatus: install ok installed\nArchitecture: all\nVersion:\n\n", " Installed"),
        ] {
            let (_directory, database) = database(status, &[]);
            assert_eq!(shown(&database, "a"), expected, "{status:?}");
        }
    }
}
