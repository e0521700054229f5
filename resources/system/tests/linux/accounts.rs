//! Users and groups, changed by the real tools over an /etc of the test's own, and checked against getent(1).

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use converge_model::error::ErrorKind;
use converge_model::property::CommandLine;
use converge_model::system::accounts::{GroupSettings, UserSettings};
use converge_model::system::commands::{CommandSpec, Purpose};
use converge_model::{Cancel, System as _};
use converge_system::NoBlobs;
use converge_system::linux::{LinuxSystem, Options};
use nix::mount::{MsFlags, mount};

use crate::machine::{Machine, is_root, private_mounts};

/// A machine whose /etc, /home and /var are the thread's own.
fn machine_with_own_accounts() -> Machine {
    private_mounts();
    let machine = Machine::new();
    let layers = machine.local("layers");
    std::fs::create_dir(&layers).unwrap();
    mount(Some("none"), &layers, Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    for place in ["etc", "home", "var"] {
        for part in ["upper", "work"] {
            std::fs::create_dir_all(layers.join(place).join(part)).unwrap();
        }
        let data =
            format!("lowerdir=/{place},upperdir={0}/upper,workdir={0}/work", layers.join(place).to_str().unwrap());
        let target = format!("/{place}");
        mount(Some("overlay"), target.as_str(), Some("overlay"), MsFlags::empty(), Some(data.as_str())).unwrap();
    }
    machine
}

fn getent(database: &str, key: &str) -> Option<String> {
    let output = Command::new("getent").args([database, key]).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

fn settings() -> UserSettings {
    UserSettings::default()
}

fn group_settings() -> GroupSettings {
    GroupSettings::default()
}

fn words(list: &[&str]) -> Option<Vec<String>> {
    Some(list.iter().map(|word| (*word).to_owned()).collect())
}

#[test]
fn what_is_read_is_what_the_c_library_reads() {
    let machine = Machine::new();
    let accounts = machine.system.accounts();
    for name in ["root", "daemon", "nobody", "www-data", "no-such-user"] {
        let found = accounts.user(name).unwrap().map(|user| {
            format!("{}:x:{}:{}:{}:{}:{}", user.name, user.uid, user.gid, user.comment, user.home, user.shell)
        });
        assert_eq!(found, getent("passwd", name), "{name}");
    }
    for name in ["root", "adm", "nogroup", "no-such-group"] {
        let found = accounts
            .group(name)
            .unwrap()
            .map(|group| format!("{}:x:{}:{}", group.name, group.gid, group.members.join(",")));
        assert_eq!(found, getent("group", name), "{name}");
    }
    assert_eq!(accounts.user_name(0).unwrap().as_deref(), Some("root"));
    assert_eq!(accounts.group_name(0).unwrap().as_deref(), Some("root"));
    assert_eq!(accounts.user_name(4_000_000_000).unwrap(), None);
}

#[test]
fn users_and_groups_live_and_die() {
    if !is_root() {
        return;
    }
    let machine = machine_with_own_accounts();
    let accounts = machine.system.accounts();
    accounts
        .add_group("cvg", &GroupSettings { gid: Some(4321), members: words(&["daemon", "bin"]), system: false })
        .unwrap();
    assert_eq!(accounts.group("cvg").unwrap().unwrap().members, ["bin", "daemon"]);
    accounts.add_group("cvs", &GroupSettings { system: true, ..group_settings() }).unwrap();
    assert!(accounts.group("cvs").unwrap().unwrap().gid < 1000);

    let new = UserSettings {
        uid: Some(4322),
        group: Some("cvg".to_owned()),
        groups: words(&["adm", "cvs"]),
        comment: Some("Con Verge, -room; no".to_owned()),
        home: Some("/home/cvu".to_owned()),
        manage_home: true,
        shell: Some("/bin/sh".to_owned()),
        password: Some("$6$salt$hash".to_owned()),
        locked: None,
        expires: Some(Some(30_000)),
        system: false,
    };
    accounts.add_user("cvu", &new).unwrap();
    assert_eq!(getent("passwd", "cvu").unwrap(), "cvu:x:4322:4321:Con Verge, -room; no:/home/cvu:/bin/sh");
    assert!(std::path::Path::new("/home/cvu/.profile").exists() || std::path::Path::new("/home/cvu").exists());
    assert_eq!(accounts.supplementary_groups("cvu").unwrap(), ["adm", "cvs"]);
    let password = accounts.password("cvu").unwrap().unwrap();
    assert_eq!((password.hash.as_str(), password.locked, password.expires), ("$6$salt$hash", false, Some(30_000)));

    for (change, line, groups) in [
        (
            UserSettings { comment: Some(String::new()), ..settings() },
            "cvu:x:4322:4321::/home/cvu:/bin/sh",
            vec!["adm", "cvs"],
        ),
        (UserSettings { groups: words(&["bin"]), ..settings() }, "cvu:x:4322:4321::/home/cvu:/bin/sh", vec!["bin"]),
        (UserSettings { groups: words(&[]), ..settings() }, "cvu:x:4322:4321::/home/cvu:/bin/sh", vec![]),
        (
            UserSettings { home: Some("/home/moved".to_owned()), manage_home: true, ..settings() },
            "cvu:x:4322:4321::/home/moved:/bin/sh",
            vec![],
        ),
        (
            UserSettings { uid: Some(4400), group: Some("0".to_owned()), ..settings() },
            "cvu:x:4400:0::/home/moved:/bin/sh",
            vec![],
        ),
    ] {
        accounts.modify_user("cvu", &change).unwrap();
        assert_eq!(getent("passwd", "cvu").unwrap(), line);
        assert_eq!(accounts.supplementary_groups("cvu").unwrap(), groups);
        assert_eq!(accounts.user("cvu").unwrap().unwrap().home, line.split(':').nth(5).unwrap());
    }
    assert!(std::path::Path::new("/home/moved").exists() && !std::path::Path::new("/home/cvu").exists());

    for (change, field, expires) in [
        (UserSettings { locked: Some(true), ..settings() }, "!$6$salt$hash", "30000"),
        (UserSettings { password: Some("$6$s$other".to_owned()), ..settings() }, "!$6$s$other", "30000"),
        (UserSettings { locked: Some(false), expires: Some(None), ..settings() }, "$6$s$other", ""),
        (UserSettings { expires: Some(Some(0)), ..settings() }, "$6$s$other", "0"),
    ] {
        accounts.modify_user("cvu", &change).unwrap();
        let shadow = std::fs::read_to_string("/etc/shadow").unwrap();
        let line = shadow.lines().find(|line| line.starts_with("cvu:")).unwrap();
        let fields: Vec<&str> = line.split(':').collect();
        assert_eq!((fields[1], fields[7]), (field, expires));
    }

    accounts.modify_group("cvg", &GroupSettings { gid: Some(4999), members: words(&[]), system: false }).unwrap();
    assert_eq!(getent("group", "cvg").unwrap(), "cvg:x:4999:");
    accounts.modify_user("cvu", &UserSettings { group: Some("cvg".to_owned()), ..settings() }).unwrap();
    let error = accounts.remove_group("cvg").unwrap_err();
    assert!(error.kind == ErrorKind::Busy && error.cause.contains("cvu"), "{error}");
    accounts.remove_user("cvu", true).unwrap();
    accounts.remove_group("cvg").unwrap();
    assert!(accounts.user("cvu").unwrap().is_none() && accounts.group("cvg").unwrap().is_none());
    assert!(!std::path::Path::new("/home/moved").exists() && getent("passwd", "cvu").is_none());
}

#[test]
fn what_the_tools_refuse_says_why() {
    if !is_root() {
        return;
    }
    let machine = machine_with_own_accounts();
    let accounts = machine.system.accounts();
    let taken = UserSettings { uid: Some(0), ..settings() };
    for (error, part) in [
        (accounts.add_user("cvu", &taken).unwrap_err(), "UID 0 is not unique"),
        (accounts.add_user("root", &settings()).unwrap_err(), "already exists"),
        (accounts.add_user("-x", &settings()).unwrap_err(), "is not a user"),
        (accounts.modify_user("no-such", &taken).unwrap_err(), "not in /etc/passwd"),
        (
            accounts.add_user("cvu", &UserSettings { group: Some("no-such".into()), ..settings() }).unwrap_err(),
            "no-such",
        ),
        (accounts.add_user("cvu", &UserSettings { password: Some("a:b".into()), ..settings() }).unwrap_err(), "colon"),
        (
            accounts.modify_user("cvu", &UserSettings { locked: Some(false), ..settings() }).unwrap_err(),
            "let anybody in",
        ),
        (accounts.remove_group("no-such").unwrap_err(), "does not exist"),
    ] {
        assert!(error.cause.contains(part), "{error}");
        assert!(!error.to_string().contains("a:b"), "{error}");
    }
    // A group of the user's own name, made by somebody else, becomes its primary group.
    accounts.add_group("cvn", &group_settings()).unwrap();
    accounts.add_user("cvn", &settings()).unwrap();
    assert_eq!(accounts.user("cvn").unwrap().unwrap().gid, accounts.group("cvn").unwrap().unwrap().gid);
    assert!(accounts.password("cvn").unwrap().unwrap().locked);
}

#[test]
fn a_change_made_by_others_is_seen() {
    if !is_root() {
        return;
    }
    let machine = machine_with_own_accounts();
    let accounts = machine.system.accounts();
    assert!(accounts.user("cvo").unwrap().is_none());
    assert!(Command::new("useradd").arg("cvo").status().unwrap().success());
    machine.system.invalidate();
    assert!(accounts.user("cvo").unwrap().is_some());
    assert!(Command::new("userdel").arg("cvo").status().unwrap().success());
    std::thread::sleep(std::time::Duration::from_millis(150));
    assert!(accounts.user("cvo").unwrap().is_none());
}

#[test]
fn a_lock_of_another_tool_is_waited_for() {
    if !is_root() {
        return;
    }
    let machine = machine_with_own_accounts();
    // What vipw leaves while somebody edits. The number must be one of a process that lives.
    std::fs::write("/etc/passwd.lock", format!("{}\0", std::process::id())).unwrap();
    let begun = std::time::Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(1500));
            std::fs::remove_file("/etc/passwd.lock").unwrap();
        });
        machine.system.accounts().add_user("cvl", &settings()).unwrap();
    });
    assert!(begun.elapsed() >= std::time::Duration::from_millis(1500));
    assert!(getent("passwd", "cvl").is_some());

    let cancel = Cancel::new();
    cancel.after_current();
    let options = Options { root: "/".into(), blobs: Arc::new(NoBlobs), cancel, stat_cache: None };
    std::fs::write("/etc/passwd.lock", format!("{}\0", std::process::id())).unwrap();
    let error = LinuxSystem::new(options).unwrap().accounts().remove_user("cvl", false).unwrap_err();
    assert!(
        error.kind == ErrorKind::Busy && error.cause.contains(&format!("process {}", std::process::id())),
        "{error}"
    );
}

#[test]
fn a_name_that_is_in_no_file_is_looked_up_where_there_is_more_than_files() {
    if !is_root() {
        return;
    }
    let machine = machine_with_own_accounts();
    // A directory server, as getent(1) shows it. It comes first where programs are looked for.
    mount(Some("none"), "/usr/local", Some("tmpfs"), MsFlags::empty(), None::<&str>).unwrap();
    std::fs::create_dir("/usr/local/bin").unwrap();
    let script = "#!/bin/sh\necho \"$*\" >> /etc/asked\ncase $1/$3 in\n\
                  passwd/alice|passwd/70001) echo 'alice:*:70001:70002:Alice:/home/alice:/bin/sh';;\n\
                  group/staff2) echo 'staff2:*:70002:alice,bob';;\ninitgroups/alice) echo 'alice 70002 70003';;\n\
                  passwd/broken) echo 'sssd is down' >&2; exit 1;;\n*) exit 2;;\nesac\n";
    std::fs::write("/usr/local/bin/getent", script).unwrap();
    std::fs::set_permissions("/usr/local/bin/getent", std::fs::Permissions::from_mode(0o755)).unwrap();
    assert!(machine.system.accounts().user("alice").unwrap().is_none(), "only the files are read until now");

    std::fs::write("/etc/nsswitch.conf", "passwd: files sss\ngroup: files sss\n").unwrap();
    let system = crate::machine::system("/", std::collections::BTreeMap::new());
    let accounts = system.accounts();
    for _ in 0..3 {
        assert_eq!(accounts.user("alice").unwrap().unwrap().home, "/home/alice");
        assert_eq!(accounts.user_name(70001).unwrap().as_deref(), Some("alice"));
        assert_eq!(accounts.group("staff2").unwrap().unwrap().members, ["alice", "bob"]);
        assert!(accounts.user("70001").unwrap().is_none(), "a number is no name");
        assert!(accounts.user("root").unwrap().is_some() && accounts.group("nobody2").unwrap().is_none());
    }
    let error = accounts.user("broken").unwrap_err();
    assert!(error.cause.contains("sssd is down") && error.hint.is_some(), "{error}");
    let asked = std::fs::read_to_string("/etc/asked").unwrap();
    assert_eq!(asked.lines().count(), 5, "each is asked once, and nothing that a file has: {asked}");
    assert_eq!(accounts.modify_user("alice", &settings()).unwrap_err().kind, ErrorKind::NotFound);
    let mut command = CommandSpec::new(CommandLine::Shell("id -G".into()), Purpose::Look, Duration::from_secs(5));
    command.user = Some("alice".to_owned());
    assert_eq!(system.commands().run(&command).unwrap().output.text, "70002 70003\n");
}

#[test]
fn the_accounts_of_a_mounted_tree_are_its_own() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    std::fs::create_dir(machine.local("etc")).unwrap();
    for file in ["passwd", "group", "shadow", "gshadow", "login.defs"] {
        std::fs::copy(format!("/etc/{file}"), machine.local("etc").join(file)).unwrap();
    }
    let system =
        crate::machine::system(machine.path("").as_path().to_str().unwrap(), std::collections::BTreeMap::new());
    let new = UserSettings { uid: Some(7777), password: Some("$6$a".into()), groups: words(&["adm"]), ..settings() };
    system.accounts().add_user("cvr", &new).unwrap();
    assert_eq!(system.accounts().user("cvr").unwrap().unwrap().uid, 7777);
    assert_eq!(system.accounts().password("cvr").unwrap().unwrap().hash, "$6$a");
    assert_eq!(system.accounts().supplementary_groups("cvr").unwrap(), ["adm"]);
    assert!(machine.system.accounts().user("cvr").unwrap().is_none());
    let command = CommandSpec::new(CommandLine::Shell("true".into()), Purpose::Look, Duration::from_secs(5));
    assert_eq!(system.commands().run(&command).unwrap_err().kind, ErrorKind::Unavailable);
}
