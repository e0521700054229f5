//! Facts: their shape, where they come from, and what is refused.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use converge_model::{Facts, Value};
use converge_system::linux::facts;

use crate::machine::{Machine, STRANGER, is_root};

fn said(program: &str, arguments: &[&str]) -> String {
    String::from_utf8(Command::new(program).args(arguments).output().unwrap().stdout).unwrap().trim().to_owned()
}

/// All facts, with the remarks on them.
fn gathered(facts: &Facts) -> (Value, Vec<String>) {
    (facts.all(), facts.take_remarks())
}

#[test]
fn facts_are_what_other_programs_say_and_stay_the_same() {
    let (facts, remarks) = gathered(&facts::of_machine(Path::new("/nonexistent")));
    assert_eq!(remarks, Vec::<String>::new());
    let fact = |path: &str| facts.lookup(path).unwrap_or_else(|| panic!("there is no {path} in {facts}")).to_string();
    for (path, expected) in [
        ("hostname", said("hostname", &[])),
        ("kernel.release", said("uname", &["-r"])),
        ("kernel.machine", said("uname", &["-m"])),
        ("cpu.count", said("nproc", &["--all"])),
        ("os.id", said("sh", &["-c", ". /etc/os-release; echo $ID"])),
        ("os.version_id", said("sh", &["-c", ". /etc/os-release; echo $VERSION_ID"])),
        ("os.architecture", said("dpkg", &["--print-architecture"])),
        ("network.gateway", said("sh", &["-c", "ip -4 route show default | awk '{print $3}'"])),
        ("network.ipv4", said("sh", &["-c", "ip -4 route get 1.1.1.1 | sed -n 's/.* src \\([^ ]*\\).*/\\1/p'"])),
    ] {
        if !expected.is_empty() {
            assert_eq!(fact(path), expected, "{path}");
        }
    }
    let size: i64 = said("sh", &["-c", "stat -f -c '%b*%S' / | xargs -I{} sh -c 'echo $(({}))'"]).parse().unwrap();
    assert_eq!(facts.lookup("filesystems").unwrap().as_map().unwrap()["/"].lookup("size"), Some(&Value::Integer(size)));
    let kilobytes: i64 = said("sh", &["-c", "awk '/^MemTotal/ {print $2}' /proc/meminfo"]).parse().unwrap();
    assert_eq!(facts.lookup("memory.total"), Some(&Value::Integer(kilobytes * 1024)));
    for path in [
        "os.family",
        "fqdn",
        "machine_id",
        "init",
        "package_provider",
        "virtualisation.type",
        "cloud",
        "network.interfaces",
    ] {
        fact(path);
    }
    assert_eq!(facts::of_machine(Path::new("/nonexistent")).all(), facts, "facts change only when something changed");
    let begun = Instant::now();
    for _ in 0..10 {
        facts::of_machine(Path::new("/nonexistent")).all();
    }
    assert!(begun.elapsed() / 10 < Duration::from_millis(10), "{:?}", begun.elapsed() / 10);
}

#[test]
fn the_administrators_facts_are_documents_of_roots_and_nothing_else() {
    let machine = Machine::new();
    std::fs::set_permissions(machine.local(""), std::fs::Permissions::from_mode(0o755)).unwrap();
    for (name, text, mode) in [
        ("rack.toml", "row = 7\nsince = 2026-11-23\n[power]\nwatts = 1.5\n", 0o644),
        ("site.json", r#"{"name": "north", "tags": ["a", null, true]}"#, 0o644),
        ("empty.json", "", 0o644),
        ("broken.toml", "a = \n", 0o644),
        ("open.json", "{}", 0o666),
        ("twice.json", "1", 0o644),
        ("twice.toml", "a = 1", 0o644),
        ("9bad-name.json", "{}", 0o644),
        ("blob.json", r#"{"$blob": {}}"#, 0o644),
        ("big.json", "18446744073709551615", 0o644),
        ("nan.toml", "a = nan", 0o644),
        ("script", "#!/bin/sh\ntouch ran\n", 0o755),
        (".hidden.json", "{", 0o644),
    ] {
        machine.put(name, text);
        std::fs::set_permissions(machine.local(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    rustix::fs::mkfifoat(rustix::fs::CWD, machine.local("pipe.json"), 0o644.into()).unwrap();
    let (facts, remarks) = gathered(&facts::of_machine(&machine.local("")));
    let local = facts.lookup("local").unwrap();
    assert_eq!(
        local.to_string(),
        r#"{"rack":{"power":{"watts":1.5},"row":7,"since":"2026-11-23"},"site":{"name":"north","tags":["a",null,true]},"twice":1}"#
    );
    for (name, part) in [
        ("empty.json", "no JSON"),
        ("broken.toml", "no TOML"),
        ("open.json", "others may write"),
        ("twice.toml", "another file"),
        ("9bad-name.json", "its name"),
        ("blob.json", "begins with $"),
        ("big.json", "64 bits"),
        ("nan.toml", "compared"),
        ("pipe.json", "no regular file"),
    ] {
        assert!(remarks.iter().any(|remark| remark.contains(name) && remark.contains(part)), "{name}: {remarks:#?}");
    }
    assert_eq!((remarks.len(), machine.local("ran").exists()), (9, false));

    if is_root() {
        std::os::unix::fs::chown(machine.local(""), Some(STRANGER), None).unwrap();
        let (facts, remarks) = gathered(&facts::of_machine(&machine.local("")));
        assert_eq!(facts.lookup("local").unwrap().to_string(), "{}");
        assert!(remarks.len() == 1 && remarks[0].contains("not to root"), "{remarks:?}");
    }
}

#[test]
fn another_tree_gives_its_own_facts() {
    let machine = Machine::new();
    for (path, text) in [
        ("etc/os-release", "ID=rocky\nID_LIKE=\"rhel fedora\"\nVERSION_ID=9.3\nPRETTY_NAME='Rocky 9'\n"),
        ("etc/machine-id", "0123456789abcdef0123456789abcdef\n"),
        ("usr/bin/dnf", ""),
        ("run/systemd/container", "lxc\n"),
        (
            "run/cloud-init/instance-data.json",
            r#"{"sensitive_keys": ["ds/meta_data/secret", "v1/token"],
                "v1": {"cloud_name": "aws", "cloud-name": "aws", "token": "t", "user": "redacted for non-root user"},
                "ds": {"meta_data": {"secret": "s", "instance-type": "m5"}}}"#,
        ),
    ] {
        std::fs::create_dir_all(machine.local(path).parent().unwrap()).unwrap();
        machine.put(path, text);
    }
    let (facts, remarks) = gathered(&facts::below(&machine.local(""), Path::new("/nonexistent")));
    assert_eq!(remarks, Vec::<String>::new());
    for (path, value) in [
        ("os.family", "redhat"),
        ("os.major", "9"),
        ("os.pretty_name", "Rocky 9"),
        ("os.codename", "null"),
        ("machine_id", "0123456789abcdef0123456789abcdef"),
        ("package_provider", "dnf"),
        ("virtualisation", r#"{"system":"lxc","type":"container"}"#),
        ("init", "null"),
        ("cloud", r#"{"cloud_name":"aws","metadata":{"instance-type":"m5"}}"#),
    ] {
        assert_eq!(facts.lookup(path).map(ToString::to_string).as_deref(), Some(value), "{path}");
    }
    machine.put("run/cloud-init/instance-data.json", "{");
    assert_eq!(gathered(&facts::below(&machine.local(""), Path::new("/nonexistent"))).1.len(), 1);
}
