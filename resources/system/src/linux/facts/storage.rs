//! Disks, and the file systems on them.

use std::collections::BTreeMap;

use converge_model::Value;

use super::{Source, integer, map, text};

/// How the kernel counts a disk's size.
const SECTOR: i64 = 512;

/// File systems that somebody else serves. Asking one for its size could hang.
const REMOTE: [&str; 10] = ["nfs", "nfs4", "cifs", "smb3", "ceph", "9p", "virtiofs", "glusterfs", "lustre", "afs"];

/// The disks, by their names in /dev.
pub(super) fn disks(source: &Source<'_>) -> Value {
    let mut disks = BTreeMap::new();
    for name in source.names("sys/block") {
        let attribute = |attribute: &str| source.text(&format!("sys/block/{name}/{attribute}"));
        // Loops, memory disks and mapped devices have no hardware behind them.
        if !source.exists(&format!("sys/block/{name}/device")) {
            continue;
        }
        let size = attribute("size")
            .and_then(|sectors| sectors.parse::<i64>().ok())
            .and_then(|sectors| sectors.checked_mul(SECTOR));
        let rotational = attribute("queue/rotational").map_or(Value::Null, |flag| Value::Boolean(flag == "1"));
        let disk =
            map([("size", integer(size)), ("model", text(attribute("device/model"))), ("rotational", rotational)]);
        disks.insert(name, disk);
    }
    Value::Map(disks)
}

/// The file systems that hold something, by where they are mounted. Sizes in bytes; none where it is not local.
pub(super) fn filesystems(source: &Source<'_>) -> Value {
    let table = source.bytes("proc/self/mountinfo").unwrap_or_default();
    let mut found = BTreeMap::new();
    for line in String::from_utf8_lossy(&table).lines() {
        let Some(mount) = Mount::parse(line) else { continue };
        if !mount.is_storage() {
            continue;
        }
        let remote = REMOTE.contains(&mount.file_system) || mount.file_system.starts_with("fuse");
        let size = (!remote)
            .then(|| rustix::fs::statvfs(source.root.join(mount.point.trim_start_matches('/'))).ok())
            .flatten();
        let size = size.and_then(|size| size.f_blocks.checked_mul(size.f_frsize));
        let file_system = map([
            ("device", Value::String(mount.device.clone())),
            ("type", Value::String(mount.file_system.to_owned())),
            ("size", integer(size)),
            ("read_only", Value::Boolean(mount.read_only)),
        ]);
        // Of two mounts on one place, the later is the one that is seen.
        found.insert(mount.point, file_system);
    }
    Value::Map(found)
}

/// A line of mountinfo(5).
struct Mount<'a> {
    /// Which directory of the file system is mounted.
    top: &'a str,
    point: String,
    file_system: &'a str,
    device: String,
    read_only: bool,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (mount, source) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (top, point, options) = (fields.next()?, fields.next()?, fields.next()?);
        let mut fields = source.split(' ');
        let (file_system, device) = (fields.next()?, fields.next()?);
        let read_only = options.split(',').any(|option| option == "ro");
        Some(Self { top, point: unescape(point), file_system, device: unescape(device), read_only })
    }

    /// Whether it is storage, and not another view of some (a bind mount, a container's layers, a package in a loop).
    fn is_storage(&self) -> bool {
        match self.file_system {
            "squashfs" | "autofs" => false,
            "overlay" => self.point == "/",
            "btrfs" | "zfs" => true,
            remote if REMOTE.contains(&remote) => true,
            _ => self.device.starts_with("/dev/") && (self.top == "/" || self.point == "/"),
        }
    }
}

/// A field of mountinfo(5), where blanks are written as `\040`.
fn unescape(field: &str) -> String {
    let mut text = field.to_owned();
    for (code, letter) in [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")] {
        if text.contains(code) {
            text = text.replace(code, letter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_storage_is_a_file_system() {
        for (line, point) in [
            ("22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw", Some("/")),
            ("23 22 0:21 / /proc rw - proc proc rw", None),
            ("24 22 254:1 / /srv/my\\040data ro,noatime - xfs /dev/vdb1 rw", Some("/srv/my data")),
            ("25 22 254:0 /var/lib/x /mnt rw - ext4 /dev/vda rw", None),
            ("26 22 0:50 / /var/lib/docker/overlay2/a/merged rw - overlay overlay rw", None),
            ("27 22 7:0 / /snap/core/1 ro - squashfs /dev/loop0 ro", None),
            ("28 22 0:60 / /net rw - nfs4 server:/export rw", Some("/net")),
            ("broken", None),
        ] {
            let mount = Mount::parse(line).filter(Mount::is_storage);
            assert_eq!(mount.as_ref().map(|mount| mount.point.as_str()), point, "{line}");
            assert_eq!(mount.is_some_and(|mount| mount.read_only), line.contains(" ro,noatime"), "{line}");
        }
    }
}
