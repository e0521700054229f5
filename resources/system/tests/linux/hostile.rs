//! What others do to the paths that root is about to write.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use converge_model::AbsPath;
use converge_model::error::{ErrorKind, Result};
use converge_model::system::Files;
use converge_model::system::files::{Attributes, FileType};
use nix::mount::{MsFlags, mount};
use rustix::fs::IFlags;

use crate::machine::{Machine, STRANGER, become_stranger, bytes, did_not_run, is_root, private_mounts};

type Attempt = fn(&dyn Files, &AbsPath) -> Result<()>;

/// Every way to touch a path.
const ATTEMPTS: [(&str, Attempt); 10] = [
    ("metadata", |files, path| files.metadata(path).map(drop)),
    ("probe", |files, path| files.probe(path, Some(&bytes("x"))).map(drop)),
    ("read", |files, path| files.read(path, 10).map(drop)),
    ("list", |files, path| files.list(path).map(drop)),
    ("write", |files, path| files.write(path, &bytes("x"), Attributes::default(), None)),
    ("set_attributes", |files, path| {
        files.set_attributes(path, Attributes { mode: Some(0o777), ..Attributes::default() })
    }),
    ("make_directory", |files, path| files.make_directory(path, Attributes::default())),
    ("make_symlink", |files, path| files.make_symlink(path, "x")),
    ("remove", |files, path| files.remove(path)),
    ("remove_tree", |files, path| files.remove_tree(path)),
];

#[test]
fn a_planted_link_on_the_way_is_refused_by_every_call() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    std::fs::create_dir(machine.local("precious")).unwrap();
    machine.put("precious/file", "precious");
    machine.plant(&machine.local("precious"));
    for (name, attempt) in ATTEMPTS {
        let error = attempt(machine.files(), &machine.path("shared/planted/file")).expect_err(name);
        assert_eq!(error.kind, ErrorKind::Denied, "{name}: {error}");
        assert!(error.cause.contains("shared/planted is a symbolic link of user nobody"), "{name}: {error}");
    }
    assert!(machine.files().resolve(&machine.path("shared/planted")).is_err());
    assert_eq!((machine.text("precious/file").as_str(), machine.names("precious").len()), ("precious", 1));
}

#[test]
fn links_that_only_root_could_have_made_are_followed() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    std::fs::create_dir(machine.local("real")).unwrap();
    machine.plant(Path::new("/nonexistent"));
    // root's own link, although anybody may write to the directory; and a stranger's, in a directory of root's.
    std::os::unix::fs::symlink(machine.local("real"), machine.local("shared/own")).unwrap();
    std::os::unix::fs::symlink("real", machine.local("moved")).unwrap();
    std::os::unix::fs::lchown(machine.local("moved"), Some(STRANGER), None).unwrap();
    for directory in ["shared/own", "moved"] {
        let path = machine.path(&format!("{directory}/file"));
        machine.files().write(&path, &bytes(directory), Attributes::default(), None).unwrap();
        assert_eq!(machine.text("real/file"), directory);
        assert_eq!(machine.files().probe(&path, Some(&bytes(directory))).unwrap().unwrap().same, Some(true));
    }
}

#[test]
fn what_stands_at_the_path_is_replaced_and_never_written_through() {
    let machine = Machine::new();
    machine.put("precious", "precious");
    std::os::unix::fs::symlink(machine.local("precious"), machine.local("link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, machine.local("pipe"), 0o666.into()).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(machine.local("socket")).unwrap();
    for (name, file_type) in [("link", FileType::Symlink), ("pipe", FileType::Special), ("socket", FileType::Special)] {
        let path = machine.path(name);
        let probe = machine.files().probe(&path, Some(&bytes("precious"))).unwrap().unwrap();
        assert_eq!((probe.metadata.file_type, probe.same), (file_type, None), "{name}");
        assert!(machine.files().read(&path, 1).is_err());
        machine.files().write(&path, &bytes("new"), Attributes::default(), None).unwrap();
        let metadata = std::fs::symlink_metadata(machine.local(name)).unwrap();
        assert!(metadata.is_file() && metadata.mode() & 0o7777 == 0o644, "{name}");
    }
    assert_eq!(machine.text("precious"), "precious");
    std::fs::create_dir(machine.local("directory")).unwrap();
    let error =
        machine.files().write(&machine.path("directory"), &bytes("x"), Attributes::default(), None).unwrap_err();
    assert!(error.cause.contains("a directory is there") && error.hint.is_some());
    let error =
        machine.files().write(&machine.path("precious/x"), &bytes("x"), Attributes::default(), None).unwrap_err();
    assert!(error.cause.contains("no directory"), "{error}");
    assert_eq!(machine.files().probe(&machine.path("precious/x"), Some(&bytes("x"))).unwrap(), None);
}

#[test]
fn an_immutable_file_or_directory_is_named_as_such() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    std::fs::create_dir(machine.local("d")).unwrap();
    machine.put("d/file", "old");
    for (flagged, flag, words) in [
        ("d/file", IFlags::IMMUTABLE, "immutable"),
        ("d", IFlags::IMMUTABLE, "immutable"),
        ("d/file", IFlags::APPEND, "+a"),
    ] {
        let handle = std::fs::File::open(machine.local(flagged)).unwrap();
        let before = rustix::fs::ioctl_getflags(&handle).unwrap();
        if rustix::fs::ioctl_setflags(&handle, before | flag).is_err() {
            did_not_run("this file system has no chattr");
            return;
        }
        let attempts: [(&str, Attempt); 3] = [
            ATTEMPTS[4],
            ATTEMPTS[8],
            ("mode", |files, path| {
                files.set_attributes(path, Attributes { mode: Some(0o600), ..Attributes::default() })
            }),
        ];
        let errors: Vec<_> = attempts
            .iter()
            .filter(|(name, _)| *name != "mode" || flagged == "d/file")
            .map(|(name, attempt)| (name, attempt(machine.files(), &machine.path("d/file"))))
            .collect();
        rustix::fs::ioctl_setflags(&handle, before).unwrap();
        for (name, result) in errors {
            let error = result.expect_err(name);
            assert_eq!(error.kind, ErrorKind::Denied);
            assert!(
                error.cause.contains(words) && error.hint.unwrap().contains("chattr -"),
                "{name} {flagged}: {}",
                error.cause
            );
        }
    }
    assert_eq!((machine.text("d/file").as_str(), machine.names("d").len()), ("old", 1));
}

#[test]
fn a_full_disk_in_the_middle_of_a_write_leaves_the_old_file_and_nothing_else() {
    if !is_root() {
        return;
    }
    private_mounts();
    let machine = Machine::new();
    std::fs::create_dir(machine.local("small")).unwrap();
    mount(Some("none"), &machine.local("small"), Some("tmpfs"), MsFlags::empty(), Some("size=64k")).unwrap();
    machine.put("small/file", "old");
    let large = bytes(&"x".repeat(1 << 20));
    for name in ["small/file", "small/new"] {
        let error = machine.files().write(&machine.path(name), &large, Attributes::default(), None).unwrap_err();
        assert_eq!(error.kind, ErrorKind::NoSpace, "{error}");
    }
    assert_eq!(
        (machine.text("small/file").as_str(), machine.names("small").as_slice()),
        ("old", &["file".to_owned()][..])
    );

    // Mounted as a single file, it is rewritten in place; and not begun where there is no room for the whole.
    machine.put("small/inner", "inner");
    mount(
        Some(&machine.local("small/inner")),
        &machine.local("small/file"),
        None::<&str>,
        MsFlags::MS_BIND,
        None::<&str>,
    )
    .unwrap();
    machine.files().write(&machine.path("small/file"), &bytes("rewritten"), Attributes::default(), None).unwrap();
    assert_eq!((machine.text("small/inner").as_str(), machine.names("small").len()), ("rewritten", 2));
    let half = bytes(&"x".repeat(40 << 10));
    let error = machine.files().write(&machine.path("small/file"), &half, Attributes::default(), None).unwrap_err();
    assert_eq!((error.kind, machine.text("small/inner").as_str()), (ErrorKind::NoSpace, "rewritten"));
    assert_eq!(machine.names("small").len(), 2);
}

#[test]
fn a_read_only_place_says_so() {
    if !is_root() {
        return;
    }
    private_mounts();
    let machine = Machine::new();
    std::fs::create_dir(machine.local("ro")).unwrap();
    machine.put("ro/file", "old");
    let ro = machine.local("ro");
    mount(Some(&ro), &ro, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    let remount = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    mount(None::<&str>, &ro, None::<&str>, remount, None::<&str>).unwrap();
    for (name, attempt) in [ATTEMPTS[4], ATTEMPTS[5], ATTEMPTS[7], ATTEMPTS[8], ATTEMPTS[9]] {
        let error = attempt(machine.files(), &machine.path("ro/file")).expect_err(name);
        assert_eq!(error.kind, ErrorKind::Denied, "{name}: {error}");
        assert!(error.hint.unwrap().contains("read-only"), "{name}");
    }
    assert_eq!(machine.files().probe(&machine.path("ro/file"), Some(&bytes("old"))).unwrap().unwrap().same, Some(true));
}

#[test]
fn what_a_killed_run_left_is_swept_and_nothing_else() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let left = ".converge-0123456789abcdef";
    let given_away = ".converge-fedcba9876543210";
    let used = ".converge-00000000000000ff";
    let similar = ".converge-0123456789abcdeg";
    for name in [left, given_away, used, similar, "file"] {
        machine.put(name, "x");
    }
    std::os::unix::fs::symlink("x", machine.local(".converge-0123456789abcde0")).unwrap();
    std::os::unix::fs::chown(machine.local(given_away), Some(STRANGER), None).unwrap();
    let held = std::fs::File::open(machine.local(used)).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    machine.files().write(&machine.path("file"), &bytes("y"), Attributes::default(), None).unwrap();
    assert_eq!(machine.names(""), [used, similar, "file"]);
}

#[test]
fn what_root_writes_does_not_become_a_strangers() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    machine.plant(Path::new("/nonexistent"));
    std::fs::create_dir(machine.local("home")).unwrap();
    std::os::unix::fs::chown(machine.local("home"), Some(STRANGER), None).unwrap();
    for (name, owner) in [("shared/file", 0), ("home/file", STRANGER)] {
        machine.put(name, "old");
        std::os::unix::fs::chown(machine.local(name), Some(STRANGER), None).unwrap();
        machine.files().write(&machine.path(name), &bytes("new"), Attributes::default(), None).unwrap();
        assert_eq!(std::fs::metadata(machine.local(name)).unwrap().uid(), owner, "{name}");
    }
}

#[test]
fn who_is_not_root_is_told_so() {
    if !is_root() {
        return;
    }
    let directory = Machine::new();
    std::fs::create_dir(directory.local("d")).unwrap();
    directory.put("d/file", "old");
    std::fs::set_permissions(directory.local("d/file"), std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::set_permissions(directory.local(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            become_stranger();
            let machine = Machine::new();
            for (name, attempt) in [ATTEMPTS[1], ATTEMPTS[4], ATTEMPTS[5], ATTEMPTS[7], ATTEMPTS[8], ATTEMPTS[9]] {
                let error = attempt(machine.files(), &directory.path("d/file")).expect_err(name);
                assert_eq!(error.kind, ErrorKind::Denied, "{name}: {error}");
                assert!(error.cause.contains("not root") && error.hint.is_some(), "{name}: {error}");
            }
            let own = machine.path("own");
            machine.files().write(&own, &bytes("x"), Attributes::default(), None).unwrap();
            let given = Attributes { uid: Some(0), ..Attributes::default() };
            assert_eq!(machine.files().set_attributes(&own, given).unwrap_err().kind, ErrorKind::Denied);
            assert_eq!(machine.files().probe(&own, Some(&bytes("x"))).unwrap().unwrap().same, Some(true));
        });
    });
    assert_eq!(directory.text("d/file"), "old");
}
