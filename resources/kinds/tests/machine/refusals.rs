//! What is refused, with a word on how to mend it, and nothing touched.

use converge_kinds::registry;
use converge_model::{ByName, Kinds, ResourceId, ResourceSpec, Value};
use converge_system::memory::{Behaviour, MemoryMachine, Release};
use converge_system::overlay::Overlay;

use crate::harness::{Recipe, converge, debian};

/// A recipe, a machine that it must not change, what the error says, and what its hint says.
type Case = (Recipe, MemoryMachine, &'static str, &'static str);

fn check(cases: Vec<Case>) {
    for (recipe, machine, cause, hint) in cases {
        let before = machine.clone();
        let planned = converge(&Overlay::new(&before), recipe);
        let error = converge(&machine, recipe).expect_err(&format!("{recipe:?}"));
        assert!(error.to_string().contains(cause), "{recipe:?}: {error}");
        assert!(error.hint.as_ref().is_some_and(|said| said.contains(hint)), "{recipe:?}: {:?}", error.hint);
        // Whether a command accepts what is not there yet cannot be planned.
        if !recipe[0].1.contains("validate") {
            assert!(planned.is_err(), "{recipe:?}: the plan did not foresee it");
        }
        let changes = machine.changes_since(&before);
        let changes: Vec<_> = changes.lines().filter(|line| !line.starts_with("+ command ")).collect();
        assert!(changes.is_empty(), "{recipe:?} changed {changes:?}");
    }
}

#[test]
fn what_must_not_be_touched_is_refused() {
    check(vec![
        (&[("file[/srv/x]", "content = ''")], debian(|m| m.directory("/srv/x")), "directory is in the way", "remove"),
        (&[("file[/srv/x]", "content = ''")], debian(|m| m.special("/srv/x")), "socket or device is in", "remove"),
        (&[("file[/srv/x]", "mode = '0600'")], debian(|m| m.symlink("/srv/x", "/etc")), "symbolic link", "follow"),
        (
            &[("file[/srv/x]", "ensure = 'absent'")],
            debian(|m| m.directory("/srv/x")),
            "directory is in",
            "directory[/srv/x]",
        ),
        (
            &[("file[/home/eve/x]", "content = ''\nfollow = true\nowner = 'eve'")],
            debian(|m| planted(m).symlink("/home/eve/x", "/etc/shadow").owner("/home/eve/x", 1001, 1001)),
            "/home/eve/x",
            "",
        ),
        (&[("file[/srv/no/x]", "content = ''")], debian(|m| m), "write /srv/no/x", "directory[/srv/no]"),
        (&[("file[/srv/x]", "owner = 'eve'")], debian(|m| m), "no such user", "user[eve]"),
        (
            &[("file[/srv/x]", "content = 'bad'\nvalidate = 'grep -q good {path}'")],
            debian(|m| m),
            "exited with 1",
            "as it was",
        ),
        (&[("directory[/srv/a/b]", "")], debian(|m| m), "make the directory", "parents = true"),
        (&[("directory[/srv/x]", "")], debian(|m| m.file("/srv/x", "")), "file is in the way", "remove"),
        (&[("directory[/srv/x]", "")], debian(|m| m.symlink("/srv/x", "/opt")), "symbolic link is in", "follow"),
        (&[("directory[/srv/x]", "ensure = 'absent'")], debian(|m| m.file("/srv/x/a", "")), "1 entries: a", "force"),
        (&[("link[/srv/x]", "to = '/opt'")], debian(|m| m.file("/srv/x", "")), "file is in the way", "force"),
        (
            &[("link[/srv/x]", "to = '/opt'\nforce = true")],
            debian(|m| m.directory("/srv/x")),
            "directory is in",
            "never",
        ),
        (&[("link[/srv/x]", "ensure = 'absent'")], debian(|m| m.file("/srv/x", "")), "file is in the way", "force"),
        (&[("link[/srv/x]", "to = '/srv/y'\ntype = 'hard'")], debian(|m| m), "/srv/y is not there", "file[/srv/y]"),
    ]);
}

fn held(m: &MemoryMachine) -> &MemoryMachine {
    use converge_model::system::packages::PackageState::Installed;
    m.package("tool", "2", Release::default()).package("tool", "1", Release::default());
    m.installed("tool", "1").package_state("tool", Installed, true)
}

fn planted(m: &MemoryMachine) -> &MemoryMachine {
    m.user("eve", 1001).directory("/home/eve").owner("/home/eve", 1001, 1001);
    m.symlink("/home/eve/.ssh", "/root").owner("/home/eve/.ssh", 1001, 1001)
}

#[test]
fn what_cannot_be_had_is_refused() {
    check(vec![
        (&[("package[tool]", "version = '2'")], debian(held), "on hold", "hold = false"),
        (&[("package[tool]", "ensure = 'absent'")], debian(held), "on hold", "hold = false"),
        (
            &[("package[tool]", "version = '< 1'\nhold = false")],
            debian(held),
            "no version is `< 1`; known are 2, 1",
            "version",
        ),
        (
            &[("package[apt]", "version = '< 2.6'")],
            debian(|m| m.package("apt", "2.5", Release::default())),
            "older: 2.5",
            "allow_downgrade",
        ),
        (&[("package[x]", "")], debian(|m| m.without_packages()), "no package manager", "when"),
        (&[("service[x]", "running = true")], debian(|m| m), "no such unit", "file[/etc/systemd/system/x.service]"),
        (
            &[("service[x]", "running = true")],
            debian(|m| m.unit("x.service").masked("x.service")),
            "masked",
            "masked = false",
        ),
        (
            &[("service[x]", "enabled = true")],
            debian(|m| m.unit_with("x.service", "[Service]\n")),
            "[Install]",
            "enabled",
        ),
        (&[("service[x]", "")], debian(|m| m.without_services()), "no service manager", "when"),
        (&[("user[eve]", "group = 'none'")], debian(|m| m), "no such group", "group[none]"),
        (&[("user[eve]", "groups = ['none']")], debian(|m| m), "no such group", "group[none]"),
        (&[("user[eve]", "locked = false")], debian(|m| m.user("eve", 1001)), "no password", "password"),
        (&[("user[eve]", "authorized_keys = ['k']")], debian(planted), "symbolic link is in the way", "look who"),
        (&[("user[eve]", "authorized_keys = []")], debian(planted), "symbolic link is in the way", "look who"),
        (&[("user[eve]", "authorized_keys = ['k']")], debian(|m| m.user("eve", 1001)), "/home/eve/.ssh", "create_home"),
        (&[("group[dev]", "members = ['none']")], debian(|m| m), "no user none", "user[none]"),
    ]);
}

#[test]
fn a_service_that_does_not_stay_up_fails_with_its_last_words() {
    use converge_system::memory::Script;
    // It ends by itself, so that it does not run any more when it is looked at.
    let machine = debian(|m| m.unit_with("x.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n"));
    machine.command("journalctl *", Script::exits(0).printing("out of cheese\n"));
    let error = converge(&machine, &[("service[x]", "running = true")]).unwrap_err();
    assert!(error.cause.contains("inactive right after") && error.cause.contains("out of cheese"), "{error}");
    let machine = debian(|m| m.unit("x.service").behaviour("x.service", Behaviour::Fails("boom".into())));
    let error = converge(&machine, &[("service[x]", "running = true")]).unwrap_err();
    assert!(error.cause.contains("boom"), "{error}");
}

#[test]
fn a_wrong_declaration_is_refused_before_anything_is_looked_at() {
    for (id, properties, cause) in [
        ("file[etc/motd]", "", "absolute path"),
        ("file[/etc/../motd]", "", "`..`"),
        ("file[/etc/motd]", "contents = ''", "unknown property `contents`"),
        ("file[/etc/motd]", "mode = 644", "octal"),
        ("file[/etc/motd]", "validate = 'visudo -c'", "{path}"),
        ("directory[/]", "ensure = 'absent'\nforce = true", "the system itself"),
        ("directory[/etc]", "purge = true", "the system itself"),
        ("link[/a]", "", "`to` is missing"),
        ("link[/a]", "to = 'b'\ntype = 'hard'", "absolute path"),
        ("link[/a]", "to = '/b'\ntype = 'soft'", "`symbolic`, `hard`"),
        ("package[-y]", "", "not the name of a package"),
        ("package[a b]", "", "not the name of a package"),
        ("package[x]", "names = ['a', 'a']", "twice"),
        ("package[x]", "version = 'new'\nensure = 'latest'\narchive = '/a'", "archive"),
        ("package[x]", "ensure = 'absent'\nhold = true", "takes away"),
        ("service[a/b]", "", "cannot be in it"),
        ("service[a]", "masked = true\nrunning = true", "masked"),
        ("user[a:b]", "", "not a user"),
        ("user[a]", "comment = 'a:b'", "passwd(5)"),
        ("user[a]", "password = 'hunter2'", "not a hash"),
        ("user[a]", "expires = 'tomorrow'", "YYYY-MM-DD"),
        ("user[root]", "ensure = 'absent'", "root"),
        ("user[a]", "authorized_keys = [\"k\\nk\"]", "one line"),
        ("group[a b]", "", "not a user or group name"),
        ("execute[x]", "env = { 'A=B' = 'c' }", "environment variable"),
        ("execute[x]", "exit_codes = []", "exit code"),
        ("execute[x]", "exit_codes = 256", "255"),
    ] {
        let id: ResourceId = id.parse().unwrap();
        let values: ByName<Value> = toml::from_str(properties).unwrap();
        let built = (registry().kind(id.kind()).unwrap().build)(&ResourceSpec::new(&id, &values));
        let error = built.err().unwrap_or_else(|| panic!("{id} {properties} was taken"));
        assert!(error.to_string().starts_with(&format!("cannot use {id}: ")), "{error}");
        assert!(error.to_string().contains(cause), "{error}");
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}
