//! The links by which a unit is enabled or masked, as they are in the file system.
//!
//! systemd searches all its directories anew for each unit that it is asked about, which takes milliseconds; and what it
//! remembers instead is only as new as its last reload. One look at two directories answers for all units that are
//! enabled or masked. Only about the others is it asked: whether they could be enabled depends on their files.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use converge_model::system::services::Enablement;

/// Where administrators enable and mask units, for good and until the next boot.
const PERSISTENT: &str = "etc/systemd/system";
const RUNTIME: &str = "run/systemd/system";
/// The directories of units that start others end in these.
const STARTS: [&str; 3] = [".wants", ".requires", ".upholds"];

/// Which units are enabled, and which masked.
#[derive(Debug, Default)]
pub(super) struct Marks {
    enabled: HashSet<String>,
    masked: HashSet<String>,
}

impl Marks {
    /// Looks at the file system below `root`. What cannot be read marks nothing, and systemd is asked.
    pub(super) fn read(root: &Path) -> Self {
        let mut marks = Self::default();
        for (name, target) in links(&root.join(PERSISTENT)) {
            match target.as_deref() {
                Some("null") => drop(marks.masked.insert(name)),
                // Another name for a unit; a link of the same name only says where the unit's file is.
                Some(target) if target != name => drop(marks.enabled.insert(target.to_owned())),
                Some(_) => {}
                None if STARTS.iter().any(|end| name.ends_with(end)) => {
                    let started = links(&root.join(PERSISTENT).join(name));
                    marks
                        .enabled
                        .extend(started.into_iter().filter(|(_, target)| target.is_some()).map(|(name, _)| name));
                }
                None => {}
            }
        }
        let until_boot = links(&root.join(RUNTIME)).into_iter();
        marks.masked.extend(until_boot.filter(|(_, target)| target.as_deref() == Some("null")).map(|(name, _)| name));
        marks
    }

    /// What the links alone say of a unit that systemd knows; nothing where they do not suffice.
    pub(super) fn enablement(&self, unit: &str) -> Option<Enablement> {
        if self.masked.contains(unit) {
            return Some(Enablement::Masked);
        }
        self.enabled.contains(unit).then_some(Enablement::Enabled)
    }
}

/// The entries of a directory, each with the last component of what it links to, if it is a link. `/dev/null` is `null`.
fn links(directory: &Path) -> Vec<(String, Option<String>)> {
    let text = |name: &OsStr| name.to_str().map(str::to_owned);
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Some(name) = text(&entry.file_name()) else { continue };
        let is_link = entry.file_type().is_ok_and(|file_type| file_type.is_symlink());
        let target = if is_link { fs::read_link(entry.path()).ok() } else { None };
        found.push((name, target.and_then(|target| target.file_name().and_then(text))));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_tell_what_is_enabled_and_masked() {
        let root = tempfile::tempdir().unwrap();
        for (link, target) in [
            ("etc/systemd/system/multi-user.target.wants/web.service", "/lib/systemd/system/web.service"),
            ("etc/systemd/system/web.service.requires/a@b.socket", "/lib/systemd/system/a@.socket"),
            ("etc/systemd/system/sshd.service", "/lib/systemd/system/ssh.service"),
            ("etc/systemd/system/linked.service", "/opt/linked.service"),
            ("etc/systemd/system/gone.service", "/dev/null"),
            ("etc/systemd/system/multi-user.target.wants/gone.service", "../gone.service"),
            ("etc/systemd/system/web.service.d/other.service", "/lib/systemd/system/other.service"),
            ("run/systemd/system/today.service", "/dev/null"),
            ("run/systemd/system/multi-user.target.wants/until.service", "/lib/systemd/system/until.service"),
        ] {
            let link = root.path().join(link);
            std::fs::DirBuilder::new().recursive(true).create(link.parent().unwrap()).unwrap();
            symlink(target, link).unwrap();
        }
        let marks = Marks::read(root.path());
        for (unit, expected) in [
            ("web.service", Some(Enablement::Enabled)),
            ("a@b.socket", Some(Enablement::Enabled)),
            ("ssh.service", Some(Enablement::Enabled)),
            ("gone.service", Some(Enablement::Masked)),
            ("today.service", Some(Enablement::Masked)),
            ("linked.service", None),
            ("other.service", None),
            ("until.service", None),
            ("nowhere.service", None),
        ] {
            assert_eq!(marks.enablement(unit), expected, "{unit}");
        }
        assert_eq!(Marks::read(&root.path().join("nowhere")).enablement("web.service"), None);
    }
}
