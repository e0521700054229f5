//! Machines from documents, and what differs between two of them.

use std::time::Duration;

use converge_model::System;
use converge_model::system::accounts::UserSettings;
use converge_model::system::services::UnitAction;

use crate::memory::MemoryMachine;

const DOCUMENT: &str = r#"
base = "empty"
package_lock = { holder = "apt (1)", left = "1m" }

[files]
"/etc/motd" = "hello\n"
"/etc/key" = { content = "secret", mode = "0600", owner = "alice", group = "crew", immutable = true }
"/etc/second" = { hard_link = "/etc/motd" }
"/etc/alias" = { link = "motd" }
"/srv/empty" = { directory = true, mode = "1777" }

[groups.crew]
gid = 2000
members = ["alice"]

[users.alice]
uid = 1000
password = "$6$x"

[packages.web]
installed = "1.0"
held = true
[packages.web.versions."1.0"]
files = { "/etc/web.conf" = "shipped\n" }
[packages.web.versions."2.0"]
unpublished = true

[units."web.service"]
enabled = true
running = true

[commands."make *"]
writes = { "/srv/built" = "x" }
"#;

#[test]
fn a_document_says_all_that_a_dump_shows() {
    let machine = MemoryMachine::from_toml(DOCUMENT).unwrap();
    machine.with_services();
    let unit = "\"[Service]\\nExecStart=/usr/bin/web.service\\nExecReload=/bin/kill -HUP $MAINPID\\n\\n\
                [Install]\\nWantedBy=multi-user.target\\n\"";
    let expected = format!(
        "/etc directory 0:0 0755
/etc/alias link 0:0 -> motd
/etc/key file alice:crew 0600 \"secret\"
/etc/motd file 0:0 0644 \"hello\\n\"
/etc/second is /etc/motd
/etc/web.conf file 0:0 0644 \"shipped\\n\"
/srv directory 0:0 0755
/srv/empty directory 0:0 1777
/usr directory 0:0 0755
/usr/lib directory 0:0 0755
/usr/lib/systemd directory 0:0 0755
/usr/lib/systemd/system directory 0:0 0755
/usr/lib/systemd/system/web.service file 0:0 0644 {unit}
user alice 1000:alice /home/alice /bin/bash password 1d36be1b7e5b unlocked
group alice 1000
group crew 2000 alice
package web 1.0 installed held
unit web.service active enabled
"
    );
    let dump = machine.dump();
    let digest = dump.split("password ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    assert_eq!(dump, expected.replace("1d36be1b7e5b", &digest));
    assert!(!dump.contains("$6$x"), "a password's hash is shown nowhere");
}

#[test]
fn what_a_document_cannot_mean_is_refused_with_its_place() {
    for (text, part) in [
        ("[files]\n\"relative\" = \"x\"", "absolute"),
        ("[files]\n\"/a\" = { contents = \"x\" }", "/a"),
        ("[files]\n\"/a\" = { content = \"x\", mode = \"rw\" }", "files./a: the mode \"rw\" is not octal"),
        ("[files]\n\"/a\" = { content = \"x\", owner = \"nemo\" }", "nobody is called nemo"),
        ("[files]\n\"/a\" = \"x\"\n\"/a/b\" = \"y\"", "files./a/b: "),
        ("[units.\"a.service\"]\ntext = \"[Service]\"\nenabled = true", "units.a.service: cannot enable"),
        ("file = 1", "unknown field"),
    ] {
        let error = MemoryMachine::from_toml(text).err().unwrap();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn what_differs_is_shown_by_its_subject() {
    let before = MemoryMachine::debian();
    before.file("/etc/motd", "old\n").unit("web.service");
    let machine = before.clone();
    assert_eq!(machine.changes_since(&before), "");
    machine.file("/etc/motd", "new\n").file("/srv/x", "x").erase("/opt");
    let settings = UserSettings { uid: Some(1234), ..UserSettings::default() };
    machine.accounts().add_user("alice", &settings).unwrap();
    machine.services().perform("web.service", UnitAction::Restart, Duration::from_secs(1)).unwrap();
    assert_eq!(
        machine.changes_since(&before),
        "- /etc/motd file root:root 0644 \"old\\n\"
+ /etc/motd file root:root 0644 \"new\\n\"
- /opt directory root:root 0755
+ /srv/x file root:root 0644 \"x\"
+ group alice 1234
- unit web.service inactive disabled
+ unit web.service active disabled restarted=1
+ user alice 1234:alice /home/alice /bin/sh
"
    );
}
