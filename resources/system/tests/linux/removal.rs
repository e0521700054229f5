//! Trees are removed whole, and nothing beyond them.

use converge_model::error::ErrorKind;
use nix::mount::{MsFlags, mount};

use crate::machine::{Machine, is_root, private_mounts};

#[test]
fn a_tree_goes_and_what_its_links_point_to_stays() {
    let machine = Machine::new();
    std::fs::create_dir_all(machine.local("tree/a/b")).unwrap();
    std::fs::create_dir_all(machine.local("tree/c")).unwrap();
    std::fs::create_dir(machine.local("outside")).unwrap();
    machine.put("outside/file", "x");
    machine.put("tree/a/b/file", "x");
    std::os::unix::fs::symlink("../outside", machine.local("tree/link")).unwrap();
    std::os::unix::fs::symlink("outside", machine.local("link")).unwrap();
    let files = machine.files();
    assert!(files.remove(&machine.path("tree")).unwrap_err().cause.contains("not empty"));
    for name in ["tree", "tree", "tree/x", "link", "none"] {
        files.remove_tree(&machine.path(name)).unwrap();
        files.remove(&machine.path(name)).unwrap();
    }
    assert_eq!((machine.names(""), machine.names("outside")), (vec!["outside".to_owned()], vec!["file".to_owned()]));
    assert_eq!(files.remove_tree(&"/".parse().unwrap()).unwrap_err().kind, ErrorKind::Invalid);
}

#[test]
fn no_depth_is_too_deep() {
    let machine = Machine::new();
    std::fs::create_dir(machine.local("deep")).unwrap();
    // Deeper than any path may be long, and than a process may have open files.
    let mut here = std::fs::File::open(machine.local("deep")).unwrap();
    for _ in 0..1100 {
        rustix::fs::mkdirat(&here, "directory", 0o700.into()).unwrap();
        rustix::fs::mkdirat(&here, "e", 0o700.into()).unwrap();
        here = std::fs::File::from(
            rustix::fs::openat(&here, "directory", rustix::fs::OFlags::DIRECTORY, rustix::fs::Mode::empty()).unwrap(),
        );
    }
    machine.files().remove_tree(&machine.path("deep")).unwrap();
    assert!(machine.names("").is_empty());
}

#[test]
fn a_mount_in_a_tree_keeps_all_of_it() {
    if !is_root() {
        return;
    }
    private_mounts();
    let machine = Machine::new();
    std::fs::create_dir_all(machine.local("tree/a mount")).unwrap();
    std::fs::create_dir(machine.local("data")).unwrap();
    machine.put("data/precious", "x");
    machine.put("tree/file", "x");
    let (from, to) = (machine.local("data"), machine.local("tree/a mount"));
    mount(Some(&from), &to, None::<&str>, MsFlags::MS_BIND, None::<&str>).unwrap();
    for name in ["tree", "tree/a mount"] {
        let error = machine.files().remove_tree(&machine.path(name)).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Busy, "{error}");
        assert!(error.cause.contains("mounted at") && error.cause.contains("a mount"), "{error}");
    }
    assert_eq!((machine.names("data").len(), machine.names("tree").len()), (1, 2));
    nix::mount::umount(&to).unwrap();
    machine.files().remove_tree(&machine.path("tree")).unwrap();
    assert_eq!(machine.names(""), ["data"]);
}
