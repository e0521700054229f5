//! Rows: user, group.

use converge_model::system::accounts::User;
use converge_system::memory::MemoryMachine;

use crate::harness::{Row, debian, row};

const HASH: &str = "$6$saltsalt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g.";

fn alice(ready: impl FnOnce(&MemoryMachine) -> &MemoryMachine) -> MemoryMachine {
    debian(|machine| {
        machine.user("alice", 1000).directory("/home/alice").owner("/home/alice", 1000, 1000);
        ready(machine)
    })
}

/// Rows: user, group.
pub(crate) fn rows() -> Vec<Row> {
    [user_rows(), key_rows(), absent_rows(), group_rows()].into_iter().flatten().collect()
}

fn user_rows() -> Vec<Row> {
    vec![
        row(
            &[(
                "user[alice]",
                "uid = 1500\ncomment = 'Alice Example'\nshell = '/bin/zsh'\ngroups = ['adm', 'sudo']\nexpires = '2030-01-01'",
            )],
            vec![
                ("nothing", debian(|m| m)),
                (
                    "another user of that name",
                    debian(|m| {
                        m.group("alice", 1500).group_of("sudo", 27, &["alice"]).user_as(User {
                            name: "alice".into(),
                            uid: 1700,
                            gid: 1500,
                            comment: "A".into(),
                            home: "/home/alice".into(),
                            shell: "/bin/sh".into(),
                        })
                    }),
                ),
            ],
            &["user alice 1500:alice /home/alice /bin/zsh \"Alice Example\" expires 21915", "group adm 4 alice"],
        ),
        row(
            &[("user[alice]", "groups = ['users', 'alice']\ngroups_mode = 'exact'")],
            vec![("other groups", {
                alice(|m| m.group_of("adm", 4, &["alice", "daemon"]).group_of("sudo", 27, &["alice"]))
            })],
            &["group adm 4 daemon", "group sudo 27", "group users 100 alice"],
        ),
        row(
            &[("group[dev]", "gid = 600"), ("user[alice]", "group = 'dev'\nhome = '/srv/alice'\nmove_home = true")],
            vec![("nothing", debian(|m| m))],
            &["group dev 600"],
        ),
        row(
            &[("user[alice]", "create_home = true")],
            vec![("a user without home", debian(|m| m.user("alice", 1000)))],
            &["/home/alice directory alice:alice 0700"],
        ),
        row(
            &[("user[alice]", "system = true")],
            vec![("a group of that name", debian(|m| m.group("alice", 70)))],
            &["group alice 70"],
        ),
        row(
            &[(
                "user[alice]",
                "password = '$6$saltsalt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g.'\nlocked = true",
            )],
            vec![("nothing", debian(|m| m)), ("a user without a password", alice(|m| m))],
            &[],
        ),
        row(&[("user[alice]", "password = '*'")], vec![("nothing", debian(|m| m)), ("a user", alice(|m| m))], &[]),
    ]
}

fn key_rows() -> Vec<Row> {
    const KEYS: &str = "authorized_keys = ['ssh-ed25519 AAAA a', 'ssh-ed25519 BBBB b']";
    const END: &[&str] = &[
        "/home/alice/.ssh directory alice:alice 0700",
        "/home/alice/.ssh/authorized_keys file alice:alice 0600 \"ssh-ed25519 AAAA a\\nssh-ed25519 BBBB b\\n\"",
    ];
    vec![
        row(
            &[("user[alice]", KEYS)],
            vec![
                ("no keys", alice(|m| m)),
                ("other keys", { alice(|m| m.file("/home/alice/.ssh/authorized_keys", "ssh-rsa CCCC c\n")) }),
                ("a planted link", {
                    alice(|m| {
                        m.directory("/home/alice/.ssh")
                            .symlink("/home/alice/.ssh/authorized_keys", "/etc/apt/sources.list");
                        m.owner("/home/alice/.ssh", 1000, 1000).owner("/home/alice/.ssh/authorized_keys", 1000, 1000)
                    })
                }),
            ],
            END,
        ),
        row(
            &[("user[alice]", "create_home = true\nauthorized_keys = ['ssh-ed25519 AAAA a']")],
            vec![("a user without home", debian(|m| m.user("alice", 1000)))],
            &["/home/alice/.ssh/authorized_keys file alice:alice 0600 \"ssh-ed25519 AAAA a\\n\""],
        ),
        row(
            &[("user[alice]", "authorized_keys = []")],
            vec![("no file", alice(|m| m))],
            &["/home/alice directory alice:alice 0755"],
        ),
        row(
            &[("user[alice]", "authorized_keys = []")],
            vec![("a key", alice(|m| m.file("/home/alice/.ssh/authorized_keys", "ssh-rsa CCCC c\n")))],
            &["/home/alice/.ssh/authorized_keys file alice:alice 0600 \"\""],
        ),
    ]
}

fn absent_rows() -> Vec<Row> {
    vec![
        Row {
            gone: &["user alice", "/home/alice"],
            ..row(
                &[("user[alice]", "ensure = 'absent'\nremove_home = true")],
                vec![("nothing", debian(|m| m)), ("a user", alice(|m| m.file("/home/alice/a/b", "x")))],
                &[],
            )
        },
        Row {
            gone: &["user alice"],
            ..row(
                &[("user[alice]", "ensure = 'absent'\nremove_home = true")],
                vec![("a user whose home is not its own", alice(|m| m.owner("/home/alice", 0, 0)))],
                &["/home/alice directory root:root 0755"],
            )
        },
        Row {
            gone: &["user alice"],
            ..row(
                &[("user[alice]", "ensure = 'absent'")],
                vec![("a user", alice(|m| m))],
                &["/home/alice directory 1000:1000 0755"],
            )
        },
    ]
}

fn group_rows() -> Vec<Row> {
    vec![
        row(
            &[("group[dev]", "gid = 600\nmembers = ['daemon', 'nobody']")],
            vec![("nothing", debian(|m| m)), ("another number", debian(|m| m.group_of("dev", 601, &["nobody"])))],
            &["group dev 600 daemon,nobody"],
        ),
        row(
            &[("group[dev]", "members = ['daemon']\nmembers_mode = 'exact'")],
            vec![("other members", debian(|m| m.group_of("dev", 601, &["nobody", "www-data"])))],
            &["group dev 601 daemon"],
        ),
        Row {
            gone: &["group dev"],
            ..row(
                &[("group[dev]", "ensure = 'absent'")],
                vec![("nothing", debian(|m| m)), ("a group", debian(|m| m.group("dev", 600)))],
                &[],
            )
        },
    ]
}

#[test]
fn a_new_hash_does_not_open_what_somebody_locked_and_is_never_shown() {
    let machine = alice(|m| m);
    let recipe = &[(
        "user[alice]",
        "password = '$6$saltsalt$IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g.'",
    )];
    let changes = crate::harness::converge(&machine, recipe).unwrap();
    assert!(!format!("{changes:?}").contains("IxDD3"), "{changes:?}");
    let password = |machine: &MemoryMachine| {
        use converge_model::System as _;
        machine.accounts().password("alice").unwrap().unwrap()
    };
    assert_eq!((password(&machine).hash.as_str(), password(&machine).locked), (HASH, false));
    crate::harness::converge(&machine, &[("user[alice]", "locked = true")]).unwrap();
    let other = &[(
        "user[alice]",
        "password = '$6$saltsalt$JxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g.'",
    )];
    crate::harness::converge(&machine, other).unwrap();
    assert!(password(&machine).locked && password(&machine).hash != HASH);
}
