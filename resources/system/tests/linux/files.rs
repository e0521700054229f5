//! Files as they are meant to be used.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::sync::Arc;
use std::time::Duration;

use converge_model::error::{Error, ErrorKind};
use converge_model::system::files::{Attributes, FileType};
use converge_model::{AbsPath, BlobRef, Content, System as _};
use converge_system::linux::StatCacheOptions;
use rustix::fs::XattrFlags;

use crate::machine::{Machine, STRANGER, bytes, is_root, remembering};

#[test]
fn a_file_is_written_probed_and_read() {
    let big: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let blob = BlobRef::of(&big);
    let machine = Machine::with_blobs(BTreeMap::from([(blob.digest, Arc::from(big.as_slice()))]));
    let files = machine.files();
    let path = machine.path("a");
    assert_eq!(files.probe(&path, Some(&bytes("x"))).unwrap(), None);
    for content in [bytes("hello"), bytes(""), Content::Blob(blob), Content::Bytes(big.as_slice().into()), bytes("hi")]
    {
        files.write(&path, &content, Attributes::default(), None).unwrap();
        let probe = files.probe(&path, Some(&content)).unwrap().unwrap();
        assert_eq!((probe.same, probe.metadata.size, probe.metadata.mode), (Some(true), content.size(), 0o644));
        assert_eq!(Content::Bytes(std::fs::read(machine.local("a")).unwrap().into()).digest(), content.digest());
    }
    for other in ["ho", "hello", ""] {
        assert_eq!(files.probe(&path, Some(&bytes(other))).unwrap().unwrap().same, Some(false), "{other}");
    }
    // As long, and different only at the end.
    let mut wrong = big.clone();
    *wrong.last_mut().unwrap() ^= 1;
    files.write(&path, &Content::Blob(blob), Attributes::default(), None).unwrap();
    assert_eq!(files.probe(&path, Some(&Content::Bytes(wrong.as_slice().into()))).unwrap().unwrap().same, Some(false));
    assert_eq!(files.probe(&path, Some(&Content::Blob(BlobRef::of(&wrong)))).unwrap().unwrap().same, Some(false));
    assert_eq!(files.read(&path, 4).unwrap(), [0, 0, 0, 0]);
    assert_eq!(files.read_content(&Content::Blob(blob), 4).unwrap(), [0, 0, 0, 0]);
    assert_eq!(machine.names(""), ["a"]);
    machine.system.flush().unwrap();
}

#[test]
fn a_damaged_blob_or_a_failed_check_leaves_the_old_file() {
    let blob = BlobRef::of(b"wanted");
    for stored in ["damaged", "want", "wanted and more"] {
        let machine = Machine::with_blobs(BTreeMap::from([(blob.digest, Arc::from(stored.as_bytes()))]));
        machine.put("a", "old");
        let error = machine.files().write(&machine.path("a"), &Content::Blob(blob), Attributes::default(), None);
        assert!(error.unwrap_err().cause.contains("damaged"));
        assert_eq!((machine.text("a").as_str(), machine.names("").len()), ("old", 1));
    }
    let machine = Machine::new();
    machine.put("a", "old");
    let error = machine.files().write(
        &machine.path("a"),
        &bytes("new"),
        Attributes::default(),
        Some(&|path| {
            assert_eq!(std::fs::read_to_string(path).unwrap(), "new");
            assert_eq!(path.parent(), machine.path("a").parent());
            Err(Error::new(ErrorKind::Failed, "validate", path, "no"))
        }),
    );
    assert_eq!(error.unwrap_err().operation, "validate");
    assert_eq!((machine.text("a").as_str(), machine.names("").len()), ("old", 1));
}

#[test]
fn a_check_may_execute_what_it_checks() {
    let machine = Machine::new();
    let attributes = Attributes { mode: Some(0o755), ..Attributes::default() };
    let run = |path: &AbsPath| {
        let status =
            std::process::Command::new(path.as_path()).status().map_err(|error| Error::io("run", path, &error))?;
        assert!(status.success());
        Ok(())
    };
    machine.files().write(&machine.path("a"), &bytes("#!/bin/sh\nexit 0\n"), attributes, Some(&run)).unwrap();
}

#[test]
fn what_is_not_given_is_handed_down_by_the_file_replaced() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.put("a", "old");
    let local = machine.local("a");
    std::os::unix::fs::chown(&local, Some(STRANGER), Some(12)).unwrap();
    std::fs::set_permissions(&local, std::fs::Permissions::from_mode(0o4750)).unwrap();
    let old = std::fs::File::open(&local).unwrap();
    rustix::fs::fsetxattr(&old, "user.note", b"kept", XattrFlags::empty()).unwrap();
    // user::rwx user:65534:r-- group::r-x mask::r-x other::---
    let list = [
        2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255, 2, 0, 4, 0, 254, 255, 0, 0, 4, 0, 5, 0, 255, 255, 255, 255, 16, 0,
        5, 0, 255, 255, 255, 255, 32, 0, 0, 0, 255, 255, 255, 255,
    ];
    rustix::fs::fsetxattr(&old, "system.posix_acl_access", &list, XattrFlags::empty()).unwrap();
    let before = std::fs::metadata(&local).unwrap();

    machine.files().write(&machine.path("a"), &bytes("new"), Attributes::default(), None).unwrap();
    let after = std::fs::metadata(&local).unwrap();
    assert_ne!(before.ino(), after.ino());
    assert_eq!((after.uid(), after.gid(), after.mode()), (STRANGER, 12, before.mode()));
    let value = |name: &str| {
        let mut buffer = [0; 256];
        let size = rustix::fs::getxattr(&local, name, &mut buffer).unwrap();
        buffer[..size].to_vec()
    };
    assert_eq!((value("user.note"), value("system.posix_acl_access")), (b"kept".to_vec(), list.to_vec()));

    let given = Attributes { uid: Some(0), gid: None, mode: Some(0o600) };
    machine.files().write(&machine.path("a"), &bytes("newer"), given, None).unwrap();
    let after = std::fs::metadata(&local).unwrap();
    assert_eq!((after.uid(), after.gid(), after.mode() & 0o7777), (0, 12, 0o600));
}

#[test]
fn attributes_are_set_on_the_thing_itself() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let files = machine.files();
    machine.put("target", "");
    std::os::unix::fs::symlink("target", machine.local("link")).unwrap();
    files.make_directory(&machine.path("d"), Attributes { uid: Some(1), gid: Some(2), mode: None }).unwrap();
    let metadata = files.metadata(&machine.path("d")).unwrap().unwrap();
    assert_eq!((metadata.uid, metadata.gid, metadata.mode), (1, 2, 0o755));
    assert!(
        files
            .make_directory(&machine.path("d"), Attributes::default())
            .unwrap_err()
            .cause
            .contains("directory is there")
    );
    assert_eq!(
        files.make_directory(&machine.path("x/y"), Attributes::default()).unwrap_err().kind,
        ErrorKind::NotFound
    );

    let owner = Attributes { uid: Some(STRANGER), ..Attributes::default() };
    files.set_attributes(&machine.path("link"), owner).unwrap();
    assert_eq!(std::fs::symlink_metadata(machine.local("link")).unwrap().uid(), STRANGER);
    assert_eq!(std::fs::metadata(machine.local("target")).unwrap().uid(), 0);
    let mode = Attributes { mode: Some(0o600), ..Attributes::default() };
    assert_eq!(files.set_attributes(&machine.path("link"), mode).unwrap_err().kind, ErrorKind::Invalid);
    assert_eq!(files.set_attributes(&machine.path("none"), mode).unwrap_err().kind, ErrorKind::NotFound);

    // Giving a program away takes its setuid bit, unless it is asked for.
    std::fs::set_permissions(machine.local("target"), std::fs::Permissions::from_mode(0o4755)).unwrap();
    files.set_attributes(&machine.path("target"), owner).unwrap();
    assert_eq!(files.metadata(&machine.path("target")).unwrap().unwrap().mode, 0o755);
    files.set_attributes(&machine.path("target"), Attributes { uid: Some(0), gid: None, mode: Some(0o4755) }).unwrap();
    assert_eq!(files.metadata(&machine.path("target")).unwrap().unwrap().mode, 0o4755);
}

#[test]
fn links_are_made_read_and_resolved() {
    let machine = Machine::new();
    let files = machine.files();
    std::fs::create_dir(machine.local("d")).unwrap();
    machine.put("d/file", "x");
    for target in ["d/file", "d", "nowhere"] {
        files.make_symlink(&machine.path("link"), target).unwrap();
        assert_eq!(files.read_link(&machine.path("link")).unwrap(), target);
        assert_eq!(files.resolve(&machine.path("link")).unwrap(), machine.path(target));
    }
    files.make_symlink(&machine.path("d/up"), "../link").unwrap();
    assert_eq!(files.resolve(&machine.path("d/up/below")).unwrap(), machine.path("nowhere/below"));
    files.make_symlink(&machine.path("circle"), "circle").unwrap();
    assert!(files.resolve(&machine.path("circle")).unwrap_err().cause.contains("circle"));
    assert!(files.make_symlink(&machine.path("d"), "x").unwrap_err().cause.contains("directory is there"));
    assert!(files.read_link(&machine.path("d/file")).unwrap_err().cause.contains("no symbolic link"));

    files.make_hard_link(&machine.path("second"), &machine.path("d/file")).unwrap();
    files.make_hard_link(&machine.path("second"), &machine.path("d/file")).unwrap();
    let identity = |name| files.metadata(&machine.path(name)).unwrap().unwrap().identity;
    assert_eq!(identity("second"), identity("d/file"));
    files.make_hard_link(&machine.path("link"), &machine.path("d/file")).unwrap();
    assert_eq!(identity("link"), identity("d/file"));
    assert!(files.make_hard_link(&machine.path("e"), &machine.path("none")).unwrap_err().cause.contains("nothing at"));
    assert!(files.make_hard_link(&machine.path("e"), &machine.path("d")).unwrap_err().cause.contains("is a directory"));
    assert_eq!(machine.names(""), ["circle", "d", "link", "second"]);
    let listed: Vec<_> = files.list(&machine.path("")).unwrap().into_iter().map(|entry| entry.file_type).collect();
    assert_eq!(listed, [FileType::Symlink, FileType::Directory, FileType::Regular, FileType::Regular]);
}

#[test]
fn a_tree_mounted_elsewhere_is_converged_within_itself() {
    let machine = Machine::new();
    std::fs::create_dir_all(machine.local("etc")).unwrap();
    std::os::unix::fs::symlink("/etc", machine.local("alias")).unwrap();
    std::os::unix::fs::symlink("../../../../../etc", machine.local("etc/escape")).unwrap();
    let system = crate::machine::system(machine.path("").as_path().to_str().unwrap(), BTreeMap::new());
    for path in ["/alias/one", "/etc/escape/two"] {
        system.files().write(&path.parse().unwrap(), &bytes("x"), Attributes::default(), None).unwrap();
    }
    assert_eq!(machine.names("etc"), ["escape", "one", "two"]);
    assert_eq!(system.files().resolve(&"/alias/one".parse().unwrap()).unwrap().to_string(), "/etc/one");
}

#[test]
fn what_nobody_wrote_to_is_read_once_a_day_and_not_at_each_run() {
    // Nobody but root writes to it, and nobody did just now.
    let path: AbsPath = "/etc/passwd".parse().unwrap();
    let content = Content::Bytes(std::fs::read("/etc/passwd").unwrap().into());
    let directory = tempfile::tempdir().unwrap();
    let read_of = |trusted_for: u64| {
        let kept = StatCacheOptions {
            path: directory.path().join("stat-cache"),
            trusted_for: Duration::from_secs(trusted_for),
        };
        let system = remembering("/", BTreeMap::new(), Some(kept));
        // What only a run makes ready is not counted.
        system.files().probe(&"/etc/group".parse().unwrap(), Some(&bytes(""))).unwrap();
        let before = bytes_read();
        let probe = system.files().probe(&path, Some(&content)).unwrap().unwrap();
        let read = bytes_read() - before;
        assert_eq!((probe.same, probe.metadata.size), (Some(true), content.size()));
        system.save_stat_cache().unwrap();
        read >= content.size()
    };
    let file_system = rustix::fs::statfs("/etc/passwd").unwrap().f_type;
    // ext4, XFS, Btrfs; where tests run on overlayfs, say, each run reads.
    let is_trusted = [0xEF53, 0x5846_5342, 0x9123_683E].contains(&file_system);
    assert_eq!([60, 60, 0, 60].map(read_of), [true, !is_trusted, true, !is_trusted]);
}

/// How many bytes this thread has read until now, by the kernel's count.
fn bytes_read() -> u64 {
    let counts = std::fs::read_to_string("/proc/thread-self/io").unwrap();
    counts.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
}
