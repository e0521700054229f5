//! Rows: service.

use converge_system::memory::{MemoryMachine, Release};

use crate::harness::{Row, debian, row};

fn web(ready: impl FnOnce(&MemoryMachine) -> &MemoryMachine) -> MemoryMachine {
    debian(|machine| {
        machine.unit("web.service");
        ready(machine)
    })
}

const UNIT: &str = r#"content = "[Service]\nExecStart=/bin/own\n[Install]\nWantedBy=multi-user.target\n""#;

/// Rows: service.
pub(crate) fn rows() -> Vec<Row> {
    [rows_of_units(), rows_of_files()].into_iter().flatten().collect()
}

fn rows_of_units() -> Vec<Row> {
    vec![
        row(
            &[("service[web]", "running = true\nenabled = true")],
            vec![
                ("one that does neither", web(|m| m)),
                ("one that runs", web(|m| m.running("web.service"))),
                ("one that starts at boot", web(|m| m.enabled("web.service"))),
                ("one that failed", web(|m| m.failed("web.service"))),
                ("one that does both", web(|m| m.running("web.service").enabled("web.service"))),
            ],
            &["unit web.service active enabled"],
        ),
        row(
            &[("service[web]", "running = true\nenabled = true\nmasked = false")],
            vec![("a masked one", web(|m| m.masked("web.service")))],
            &["unit web.service active enabled"],
        ),
        row(
            &[("service[web]", "running = false\nenabled = false")],
            vec![
                ("one that does both", web(|m| m.running("web.service").enabled("web.service"))),
                ("one that does neither", web(|m| m)),
            ],
            &["unit web.service inactive disabled"],
        ),
        row(
            &[("service[web]", "running = false\nmasked = true")],
            vec![("one that runs", web(|m| m.running("web.service").enabled("web.service")))],
            &["unit web.service inactive masked"],
        ),
    ]
}

fn rows_of_files() -> Vec<Row> {
    vec![
        Row {
            gone: &["unit"],
            ..row(
                &[("service[none]", "running = false\nenabled = false\nmasked = false")],
                vec![("nothing", debian(|m| m))],
                &[],
            )
        },
        row(
            &[("file[/etc/systemd/system/own.service]", UNIT), ("service[own]", "running = true\nenabled = true")],
            vec![
                ("nothing", debian(|m| m)),
                (
                    "an old unit file",
                    debian(|m| {
                        let text = "[Service]\nExecStart=/bin/old\n[Install]\nWantedBy=multi-user.target\n";
                        m.file("/etc/systemd/system/own.service", text).running("own.service").enabled("own.service")
                    }),
                ),
            ],
            &["unit own.service active enabled"],
        ),
        row(
            &[
                ("package[shop]", ""),
                ("file[/etc/shop.conf]", "content = 'x'\nowner = 'shop'\ngroup = 'shop'\nmode = '0640'"),
                ("user[alice]", "groups = ['shop']"),
                ("service[shop]", "running = true\nenabled = true"),
            ],
            vec![("a package that brings the user and the unit", {
                debian(|m| {
                    let unit = &b"[Service]\nExecStart=/bin/shop\n[Install]\nWantedBy=multi-user.target\n"[..];
                    let release = Release::default().adding_user("shop");
                    m.package(
                        "shop",
                        "1",
                        release.shipping("/usr/lib/systemd/system/shop.service".parse().unwrap(), unit),
                    )
                })
            })],
            &["/etc/shop.conf file shop:shop 0640 \"x\"", "unit shop.service active enabled"],
        ),
    ]
}

#[test]
fn a_changed_unit_file_is_read_anew_and_that_is_a_change() {
    let machine = web(|m| m.running("web.service").enabled("web.service"));
    let recipe = &[
        ("directory[/etc/systemd/system/web.service.d]", ""),
        ("file[/etc/systemd/system/web.service.d/limits.conf]", "content = \"[Service]\\nLimitNOFILE=1\\n\""),
        ("service[web]", "running = true"),
    ];
    let changes = crate::harness::converge(&machine, recipe).unwrap();
    let (id, changes) = changes.last().unwrap();
    assert_eq!((id.to_string().as_str(), changes.has("unit files")), ("service[web]", true));
    assert_eq!(machine.unit_reloads(), 1);
}
