//! Rows: package.

use std::time::Duration;

use converge_model::system::packages::PackageState;
use converge_system::memory::{MemoryMachine, Release};

use crate::harness::{Row, debian, row};

/// A machine whose repositories have a few versions of `tool`, which needs `lib`.
fn shop(ready: impl FnOnce(&MemoryMachine) -> &MemoryMachine) -> MemoryMachine {
    debian(|machine| {
        let tool = || {
            let conf = "/etc/tool.conf".parse().unwrap();
            Release::default().needing("lib").shipping(conf, &b"shipped"[..])
        };
        machine.package("lib", "1", Release::default()).package("other", "7", Release::default());
        for version in ["1.0-1", "1.2-1", "1.2-3", "2.0-1"] {
            machine.package("tool", version, tool());
        }
        ready(machine)
    })
}

fn with(version: &'static str) -> impl FnOnce(&MemoryMachine) -> &MemoryMachine {
    move |machine| machine.installed("lib", "1").installed("tool", version)
}

fn in_state(version: &'static str, state: PackageState, held: bool) -> impl FnOnce(&MemoryMachine) -> &MemoryMachine {
    move |machine| machine.installed("lib", "1").installed("tool", version).package_state("tool", state, held)
}

/// Rows: package.
pub(crate) fn rows() -> Vec<Row> {
    [present_rows(), absent_rows(), hold_rows(), archive_rows()].into_iter().flatten().collect()
}

fn present_rows() -> Vec<Row> {
    use PackageState::{ConfigFiles, Unfinished};
    vec![
        row(
            &[("package[tool]", "")],
            vec![
                ("nothing", shop(|m| m)),
                ("an old index", shop(|m| m.without_index())),
                ("configuration files", shop(in_state("1.0-1", ConfigFiles, false))),
            ],
            &["package tool 2.0-1 installed", "package lib 1 installed"],
        ),
        row(
            &[("package[tool]", "")],
            vec![
                ("an older version", shop(with("1.0-1"))),
                ("a half installed one", shop(in_state("1.0-1", Unfinished, false))),
            ],
            &["package tool 1.0-1 installed"],
        ),
        row(
            &[("package[tool]", "version = '1.2.*'")],
            vec![("nothing", shop(|m| m)), ("an older version", shop(with("1.0-1")))],
            &["package tool 1.2-3 installed"],
        ),
        row(
            &[("package[tool]", "version = '1.2-1'")],
            vec![
                ("nothing", shop(|m| m)),
                ("a newer version", shop(with("2.0-1"))),
                ("an old index", shop(|m| m.without_index())),
            ],
            &["package tool 1.2-1 installed"],
        ),
        row(
            &[("package[tool]", "version = '>= 1.2, < 2'")],
            vec![("an old index", shop(|m| m.without_index())), ("an older version", shop(with("1.0-1")))],
            &["package tool 1.2-3 installed"],
        ),
        row(
            &[("package[tool]", "version = '< 2'\nallow_downgrade = true")],
            vec![("a newer version", shop(with("2.0-1")))],
            &["package tool 1.2-3 installed"],
        ),
        row(
            &[("package[tool]", "ensure = 'latest'")],
            vec![
                ("nothing", shop(|m| m)),
                ("an older version", shop(with("1.0-1"))),
                ("a half installed one", shop(in_state("1.0-1", Unfinished, false))),
            ],
            &["package tool 2.0-1 installed"],
        ),
        row(
            &[("package[tools]", "names = ['tool', 'other']")],
            vec![("nothing", shop(|m| m)), ("one of them", shop(with("2.0-1")))],
            &["package tool 2.0-1 installed", "package other 7 installed"],
        ),
    ]
}

fn absent_rows() -> Vec<Row> {
    vec![
        row(
            &[("package[tool]", "ensure = 'absent'")],
            vec![
                ("an installed one", shop(with("1.0-1"))),
                ("a half installed one", shop(in_state("1.0-1", PackageState::Unfinished, false))),
            ],
            &["package tool 1.0-1 removed, configuration kept", "/etc/tool.conf file root:root 0644 \"shipped\""],
        ),
        Row {
            gone: &["package tool", "/etc/tool.conf"],
            ..row(
                &[("package[tool]", "ensure = 'purged'")],
                vec![
                    ("nothing", shop(|m| m)),
                    ("an installed one", shop(with("1.0-1"))),
                    ("configuration files", shop(in_state("1.0-1", PackageState::ConfigFiles, false))),
                ],
                &[],
            )
        },
    ]
}

fn hold_rows() -> Vec<Row> {
    let held = |version| in_state(version, PackageState::Installed, true);
    vec![
        row(
            &[("package[tool]", "version = '1.2-3'\nhold = true")],
            vec![
                ("nothing", shop(|m| m)),
                ("the right version", shop(with("1.2-3"))),
                ("another version, held", shop(held("1.0-1"))),
            ],
            &["package tool 1.2-3 installed held"],
        ),
        row(
            &[("package[tool]", "hold = false")],
            vec![("a held one", shop(held("1.0-1")))],
            &["package tool 1.0-1 installed"],
        ),
        row(
            &[("package[tool]", "ensure = 'latest'")],
            vec![("one that somebody holds", shop(held("1.0-1")))],
            &["package tool 1.0-1 installed held"],
        ),
    ]
}

fn archive_rows() -> Vec<Row> {
    fn file(machine: &MemoryMachine) -> &MemoryMachine {
        machine.package_file("/srv/own.deb", "own", "3", Release::default())
    }
    vec![
        row(
            &[("package[own]", "archive = '/srv/own.deb'")],
            vec![
                ("nothing", shop(file)),
                ("an older version", {
                    shop(|m| {
                        file(m);
                        m.package("own", "2", Release::default()).installed("own", "2")
                    })
                }),
            ],
            &["package own 3 installed"],
        ),
        row(
            &[
                ("file[/srv/own_3_all.deb]", "content = \"Package: own\\nVersion: 3\\n\""),
                ("package[own]", "archive = '/srv/own_3_all.deb'"),
            ],
            vec![("a file that is yet to be written", {
                shop(|m| {
                    m.package_file("/srv/own_3_all.deb", "own", "3", Release::default()).erase("/srv/own_3_all.deb")
                })
            })],
            &["package own 3 installed"],
        ),
    ]
}

#[test]
fn the_index_is_fetched_when_it_must_be_and_not_otherwise() {
    for (recipe, ready, fetches) in [
        (&[("package[tool]", "")][..], None, 0),
        (&[("package[tool]", "version = '>= 1'")], None, 0),
        (&[("package[tool]", "version = '>= 3'")], Some(Duration::from_secs(1)), 1),
        (&[("package[tool]", "ensure = 'latest'")], None, 0),
        (&[("package[tool]", "ensure = 'latest'")], Some(Duration::from_secs(100_000)), 1),
        (&[("package[tool]", "ensure = 'latest'\nindex_age = '2d'")], Some(Duration::from_secs(100_000)), 0),
    ] {
        let machine = shop(with("1.0-1"));
        if let Some(age) = ready {
            machine.index_age(age);
        }
        let _ = crate::harness::converge(&machine, recipe);
        assert_eq!(machine.index_fetches(), fetches, "{recipe:?}");
    }
}
