//! What a path means to others than those who read it: units, and where packages come from.

use converge_model::{AbsPath, Key};

use crate::unit_name;

/// Where package managers find repositories, pins and keys.
const PACKAGE_SOURCES: [&str; 8] = [
    "/etc/apt",
    "/usr/share/keyrings",
    "/etc/yum.repos.d",
    "/etc/pki/rpm-gpg",
    "/etc/dnf",
    "/etc/zypp",
    "/etc/apk",
    "/etc/pacman.d",
];

/// Where systemd finds unit files.
pub(crate) const UNIT_DIRECTORIES: [&str; 5] = [
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
];

/// What a resource at `path` gives: the path, and what the path means.
pub(crate) fn given_at(path: &AbsPath) -> Vec<Key> {
    let mut keys = vec![Key::Path(path.clone())];
    if PACKAGE_SOURCES.iter().any(|directory| path.within(directory).is_some()) {
        keys.push(Key::PackageSources);
    }
    keys.extend(unit_at(path).map(Key::Unit));
    keys
}

/// What a resource at `path` needs first: the directory it is in.
pub(crate) fn needed_at(path: &AbsPath) -> Option<Key> {
    path.parent().map(Key::Path)
}

/// The unit that a unit file, a drop-in, or a link of `[Install]` belongs to.
fn unit_at(path: &AbsPath) -> Option<String> {
    let below = UNIT_DIRECTORIES.iter().find_map(|directory| path.within(directory))?;
    let mut names = below.to_str()?.split('/');
    let first = names.next()?;
    let unit = match first.rsplit_once('.') {
        Some((unit, "d")) => unit,
        Some((_, "wants" | "requires")) => names.next()?,
        _ => first,
    };
    unit_name::has_suffix(unit).then(|| unit.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_mean_units_and_package_sources() {
        for (path, keys) in [
            ("/etc/motd", vec![]),
            ("/etc/systemd/system/a.service", vec![Key::Unit("a.service".into())]),
            ("/etc/systemd/system/a.service.d", vec![Key::Unit("a.service".into())]),
            ("/lib/systemd/system/a@.socket.d/b.conf", vec![Key::Unit("a@.socket".into())]),
            ("/etc/systemd/system/multi-user.target.wants/a.service", vec![Key::Unit("a.service".into())]),
            ("/etc/systemd/system/notes.txt", vec![]),
            ("/etc/systemd/system", vec![]),
            ("/etc/apt/sources.list.d/x.sources", vec![Key::PackageSources]),
            ("/etc/apt-x", vec![]),
        ] {
            let path: AbsPath = path.parse().unwrap();
            assert_eq!(given_at(&path)[1..], keys, "{path}");
        }
    }
}
