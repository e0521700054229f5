//! Revisions, seen and moved by operators: what differs, what goes from group to group, and the way back.

use crate::desk::{Desk, Ended};
use crate::machines::{ONCE, Store, on_machine, run};

/// A store with the desk's policy live in `dev`, signed by an author whom nodes trust.
struct Room {
    desk: Desk,
    store: Store,
}

const COOKBOOK: &str = "
name = 'test'
version = '1.0.0'

[attributes.title]
type = 'string'
default = 'none'

[attributes.pass]
type = 'string'
secret = true
default = 'hunter-one'

[attributes.unmarked]
type = 'string'
default = 'hunter-two'

[attributes.in_vars]
type = 'string'
default = 'hunter-seven'

[attributes.in_text]
type = 'string'
default = 'hunter-eight'

[attributes.quoted]
type = 'string'
default = 'hunter-nine'

[attributes.outer]
type = 'string'
default = '{{ attr.test.inner }}'

[attributes.inner]
type = 'string'
default = 'hunter-ten'

[attributes.accounts]
type = 'map'
default = { one = 'hunter-eleven' }
";

/// Attributes that become part of a sensitive file, each in another way.
const SENSITIVE: &str =
    "{{ given }} {{ attr.test.in_text }} {{ attr['test'].quoted }} {{ attr.test.outer }} {{ turn }}\n";

const FIRST: &str = "
[file.'@/page']
content = 'first'
[file.'@/page.conf']
template = 'page.j2'
[file.'@/gone']
[file.'@/key']
source = 'key'
sensitive = true
[file.'@/sensitive-{{ each.key }}']
template = 'sensitive.j2'
vars = { given = '{{ attr.test.in_vars }}', turn = '{{ each.value }}' }
for_each = 'attr.test.accounts'
sensitive = true
[test_phrase.x]
words = 'hunter-twelve'
[user.web]
password = '$6$abcdefgh$hunter-three'
when = 'false'
[user.api]
password = \"{{ attr.test.unmarked }}\"
when = 'false'
";

const SECOND: &str = "
# A comment is no difference.
[file.'@/page']
content = 'second'
mode = '0600'
[file.'@/page.conf']
template = 'page.j2'
[file.'@/new']
[file.'@/key']
source = 'key'
sensitive = true
[file.'@/sensitive-{{ each.key }}']
template = 'sensitive.j2'
vars = { given = '{{ attr.test.in_vars }}', turn = '{{ each.value }}' }
for_each = 'attr.test.accounts'
sensitive = true
[test_phrase.x]
words = 'hunter-thirteen'
[user.web]
password = '$6$abcdefgh$hunter-four'
when = 'false'
[user.api]
password = \"{{ attr.test.unmarked }}\"
when = 'false'
";

impl Room {
    fn new() -> Self {
        let desk = Desk::new(FIRST);
        desk.file("cookbooks/test/cookbook.toml", COOKBOOK);
        desk.file("cookbooks/test/templates/page.j2", "a\nold line\nz\n");
        desk.file("cookbooks/test/templates/sensitive.j2", SENSITIVE);
        let kind = "[parameters.words]\ntype = 'string'\n[file.'@/phrase']\ntemplate = 'phrase.j2'\nsensitive = true\n";
        desk.file("cookbooks/test/resources/phrase.toml", kind.replace('@', &desk.path("out").display().to_string()));
        desk.file("cookbooks/test/templates/phrase.j2", "{{ param.words }}\n");
        desk.file("cookbooks/test/files/key", "hunter-five\n");
        let store = Store::with_policy(&desk);
        Self { desk, store }
    }

    fn second(&self) {
        self.desk.recipe(SECOND);
        self.desk
            .file("cookbooks/test/cookbook.toml", COOKBOOK.replace("hunter-", "hunter-no-").replace("none", "some"));
        self.desk.file("cookbooks/test/templates/page.j2", "a\nnew line\nz\n");
        self.desk.file("cookbooks/test/files/key", "hunter-six\n");
        self.store.publish(&self.desk);
    }

    /// What a person sees, acting with the access in a file.
    fn shown_as(&self, access: &str, arguments: &[&str]) -> Ended {
        let mut all = arguments.to_vec();
        all.extend(["--access-file", access]);
        self.desk.run(&all)
    }

    fn shown(&self, arguments: &[&str]) -> Ended {
        self.shown_as(&self.store.access, arguments)
    }

    fn join(&self, machine: &str, group: &str) {
        let token = ["token", "create", "--policy", "test", "--group", group];
        let join = self.store.operate(&self.desk, &token).with_code(0).json()["join"].as_str().unwrap().to_owned();
        run(on_machine(&self.desk, machine, &["enroll", &join, "--name", machine])).with_code(0);
    }

    /// What the machine's run leaves on the page.
    fn page(&self, machine: &str) -> Option<String> {
        run(on_machine(&self.desk, machine, &ONCE)).with_code(0);
        self.desk.out("page")
    }
}

#[test]
fn what_differs_is_shown_and_what_is_secret_is_not() {
    let room = Room::new();
    room.second();
    for arguments in [&["diff", "test", "1", "2"][..], &["diff", "test", "1"], &["diff", "test", "1", "dev"]] {
        let diff = room.shown(arguments).with_code(0).stdout;
        for part in [
            "+ added    file[",
            "/new]",
            "- removed  file[",
            "/gone]",
            "content: first → second",
            "mode: 0600",
            "template test/page.j2",
            "-old line",
            "+new line",
            "~ changed  user[web]",
            "password: (sensitive) → (sensitive)",
            "words: (sensitive) → (sensitive)",
            "~ changed  attribute test.pass",
            "~ changed  attribute test.unmarked",
            "~ changed  attribute test.in_vars",
            "~ changed  attribute test.in_text",
            "~ changed  attribute test.quoted",
            "~ changed  attribute test.inner",
            "~ changed  attribute test.accounts",
            "~ changed  file test/key",
            "default: none → some",
            "test::default",
            "revision 1 → 2: 1 added, 1 removed, 13 changed",
        ] {
            assert!(diff.contains(part), "{part} is missing in\n{diff}");
        }
        assert!(!diff.contains("hunter"), "{diff}");
    }
    let document = room.store.operate(&room.desk, &["diff", "test", "2", "1"]).with_code(0).stdout;
    assert!(document.contains("\"fate\": \"removed\"") && !document.contains("hunter"), "{document}");
    room.shown(&["diff", "test", "2", "2"]).with_code(0).saying(&["hold the same"]);
    room.shown(&["diff", "test", "1", "prod"]).with_code(1).saying(&["nothing is live in a group of that name"]);
    room.shown(&["diff", "test", "1", "7"]).with_code(3).saying(&["no revision 7"]);
    room.shown(&["diff", "none", "1"]).with_code(1).saying(&["no such policy"]);
}

#[test]
fn a_group_gets_what_another_has_and_goes_back_to_what_it_had() {
    let room = Room::new();
    room.join("web-1", "dev");
    room.join("web-2", "prod");
    room.shown(&["promote", "test", "--from", "prod", "--to", "dev"]).with_code(1).saying(&["nothing is live"]);
    room.shown(&["promote", "test", "--from", "dev", "--to", "prod"])
        .with_code(0)
        .saying(&["revision 1 is live in group prod"]);
    assert_eq!(room.page("web-2").as_deref(), Some("first"));
    room.second();
    assert_eq!(room.page("web-1").as_deref(), Some("second"));

    // Without anybody who agrees, what the store says was there before is not signed.
    room.shown(&["rollback", "test", "--group", "dev"]).with_code(1).saying(&["it ran revision 1", "--to"]);
    let back = room.shown(&["rollback", "test", "--group", "dev", "--yes"]).with_code(0);
    back.saying(&["revision 3, which holds what 1 does, is live in group dev"]);
    assert_eq!(room.page("web-1").as_deref(), Some("first"));
    room.shown(&["diff", "test", "1", "3"]).with_code(0).saying(&["hold the same"]);

    // It was signed for dev alone: no other group can be taken back with it.
    let put = room.store.operate(&room.desk, &["revisions", "test"]).with_code(0).json();
    assert_eq!(
        (&put[0]["manifest"]["groups"], &put[0]["live_in"]),
        (&serde_json::json!(["dev"]), &serde_json::json!(["dev"]))
    );
    assert_eq!((&put[0]["by"], put.as_array().map(Vec::len)), (&"operator first".into(), Some(3)));
    let table = room.shown(&["revisions", "test", "--limit", "2"]).with_code(0).stdout;
    assert!(table.contains("operator first") && table.lines().count() == 3, "{table}");

    // What was signed for others is signed anew where it is promoted, and what is later stays.
    // Two signed it, and somebody has to agree: that it is what dev runs is the store's word.
    let other = converge_trust::SigningKey::generate("other").unwrap();
    room.desk.file("other", other.to_file().unwrap().unwrap());
    let graph = put[0]["manifest"]["graph"]["digest"].as_str().unwrap();
    room.shown(&["sign", "test", "3", "--key", "other", "--graph", graph]).with_code(0);
    let promote = ["promote", "test", "--from", "dev", "--to", "prod"];
    room.shown(&promote).with_code(1).saying(&["that revision 3 of ", "is live in group dev", "--revision 3"]);
    let another = [&promote[..], &["--revision", "1"]].concat();
    room.shown(&another).with_code(1).saying(&["revision 3 is live in group dev, and not 1"]);
    let newest = room.store.operate(&room.desk, &["revisions", "test"]).with_code(0).json()[0]["serial"].clone();
    assert_eq!(newest, 3, "nothing was signed");
    let anew = room.shown(&[&promote[..], &["--revision", "3"]].concat()).with_code(0);
    anew.saying(&[
        "revision 4, which holds what 3 does, is live in group prod",
        "revision 3 has 2 signatures, and 4 has one",
        "converge sign test 4",
    ]);
    room.shown(&["promote", "test", "--from", "dev", "--to", "prod"])
        .with_code(1)
        .saying(&["never go back", "rollback"]);
    room.shown(&["rollback", "test", "--group", "dev", "--to", "2"])
        .with_code(0)
        .saying(&["revision 5", "what 2 does"]);
    assert_eq!(room.page("web-1").as_deref(), Some("second"));
    for (arguments, code, said) in [
        (&["--group", "dev", "--to", "5"][..], 1, "live there already"),
        (&["--group", "dev", "--to", "4"], 1, "was signed for prod only"),
        (&["--group", "dev", "--to", "9"], 3, "no revision 9"),
        (&["--group", "none", "--to", "1"], 1, "nothing is live there"),
        (&["--group", "dev", "--to", "1", "--threshold", "2"], 3, "1 of the 2 trusted signatures"),
    ] {
        let all = [&["rollback", "test"], arguments].concat();
        room.shown(&all).with_code(code).saying(&[said]);
    }
    // What is later goes there as it is: no key is needed.
    room.store.publish(&room.desk);
    std::fs::remove_file(room.desk.path("author")).unwrap();
    room.shown(&["rollback", "test", "--group", "prod", "--to", "6"])
        .with_code(0)
        .saying(&["revision 6", "live in group prod"]);
    let audit = room.shown(&["audit"]).with_code(0).stdout;
    assert!(audit.contains("PUT /v1/policies/test/groups/prod"), "{audit}");
}

#[test]
fn only_what_somebody_trusted_signed_is_signed_anew() {
    let room = Room::new();
    room.second();
    let stranger = converge_trust::SigningKey::generate("stranger").unwrap();
    room.desk.file("stranger", stranger.to_file().unwrap().unwrap());
    room.desk.recipe("[file.\"@/page\"]\ncontent = 'planted'\n");
    room.store.operate(&room.desk, &["publish", "test", "--key", "stranger", "--group", "dev"]).with_code(0);
    room.shown(&["promote", "test", "--from", "dev", "--to", "prod"]).with_code(0);
    room.shown(&["rollback", "test", "--group", "prod", "--to", "2"])
        .with_code(3)
        .saying(&["cannot build on revision 3"]);
    room.desk.recipe("[file.\"@/page\"]\ncontent = 'mended'\n");
    room.store.operate(&room.desk, &["publish", "test", "--serial", "4", "--group", "dev"]).with_code(0);
    let planted = room.shown(&["rollback", "test", "--group", "dev", "--to", "3"]).with_code(3);
    planted.saying(&["cannot sign anew what revision 3", "0 of the 1 trusted signatures", "converge publish"]);
    // Nor where nobody says who is to be believed.
    std::fs::remove_file(room.desk.path("allowed_signers")).unwrap();
    room.shown(&["rollback", "test", "--group", "dev", "--to", "3"]).with_code(3).saying(&["this key did not sign it"]);
    room.shown(&["rollback", "test", "--group", "dev", "--to", "2"]).with_code(0).saying(&["what 2 does"]);
    // Nor does the store choose a serial there: only by hand is one signed that is above a stranger's.
    let high = ["publish", "test", "--key", "stranger", "--serial", "1000", "--group", "dev"];
    room.store.operate(&room.desk, &high).with_code(0);
    std::fs::remove_file(room.desk.path("converge.toml")).unwrap();
    let back = ["rollback", "test", "--group", "dev", "--to", "2", "--key", "author"];
    room.shown(&back).with_code(3).saying(&["cannot build on revision 1000", "this key did not sign it", "--serial"]);
    let by_hand = [&back[..], &["--serial", "1001"]].concat();
    room.shown(&by_hand).with_code(0).saying(&["revision 1001, which holds what 2 does"]);
}

#[test]
fn who_may_deploy_moves_what_is_signed_and_signs_nothing() {
    let room = Room::new();
    room.second();
    for (name, role) in [("dora", "deployer"), ("vera", "viewer")] {
        let make =
            ["token", "create-operator", name, "--role", role, "--group", "dev", "--group", "prod", "--output", name];
        room.store.operate(&room.desk, &make).with_code(0);
    }
    let promote = ["promote", "test", "--from", "dev", "--to", "prod"];
    room.shown_as("vera", &promote).with_code(3).saying(&["needs the role deployer"]);
    room.shown_as("vera", &["revisions", "test"]).with_code(0);
    room.shown_as("dora", &promote).with_code(0);
    room.shown_as("dora", &["promote", "test", "--from", "dev", "--to", "other"])
        .with_code(3)
        .saying(&["not good for policy"]);
    room.shown_as("dora", &["rollback", "test", "--group", "prod", "--to", "1"])
        .with_code(3)
        .saying(&["needs the role author"]);
    let denied = room.shown(&["audit", "--denied"]).with_code(0).stdout;
    for part in ["operator vera", "POST /v1/policies/test/revisions"] {
        assert!(denied.contains(part), "{part} is missing in\n{denied}");
    }
}
