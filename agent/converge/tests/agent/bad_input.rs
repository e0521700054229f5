//! Wrong policies: everything at once, each with its place and what to do, and nothing of the machine touched.

use crate::desk::Desk;

/// Every error of one recipe, one resource each: what is written, and what must be said of it.
const WRONG: &[(&str, &[&str])] = &[
    ("[file.\"@/a1\"]\ncontents = 'x'", &["unknown property `contents` for file", "did you mean `content`?"]),
    ("[file.\"@/a2\"]\nmode = 12", &["`mode` for file", "\"0644\""]),
    ("[file.\"@/a3\"]\ncontent = ['x']", &["`content` for file"]),
    ("[fil.\"@/a4\"]", &["unknown kind `fil`", "did you mean `file`?"]),
    ("[file.\"@/a5\"]\ntemplate = 'none.j2'", &["there is no cookbooks/test/templates/none.j2"]),
    ("[file.\"@/a6\"]\nrequires = 'file[/nope]'", &["declares no file[/nope]"]),
    ("[file.\"@/a\\nb\"]", &["holds the control character '\\n'"]),
    ("[file.\"@/a\\u0000b\"]", &["holds the control character '\\0'"]),
    ("[file.\"@/../b\"]", &["holds `..`; write where it leads"]),
    ("[file.relative]", &["relative", "absolute path"]),
    ("[file.\"@/a7\"]\ncontent = '{{ attr.test.none }}'", &["cookbook `test` declares no attribute `none`"]),
    ("[file.\"@/a8\"]\ncontent = '{{ nope }}'", &["unknown name `nope`"]),
    ("[file.\"@/a9\"]\ncontent = '{{ 1 + }}'", &["default.toml:"]),
    ("[user.\"root:0\"]", &["root:0"]),
    (
        "[execute.one]\ncommand = 'true'\nrequires = 'execute[two]'\n[execute.two]\ncommand = 'true'\nrequires = 'execute[one]'",
        &["in a circle: execute[one] → execute[two] → execute[one]"],
    ),
];

#[test]
fn every_error_is_said_at_once_with_its_place() {
    let recipe: Vec<&str> = WRONG.iter().map(|(text, _)| *text).collect();
    let desk = Desk::new(&recipe.join("\n\n"));
    let parts: Vec<&str> = WRONG.iter().flat_map(|(_, parts)| *parts).copied().collect();
    desk.run(&["check"]).with_code(1).saying(&parts).saying(&["cookbooks/test/recipes/default.toml:2:1"]);
    // A run says the same, and touches nothing.
    desk.run(&["--once", "--policy", "policies/test.toml"]).with_code(1).saying(&parts);
    assert_eq!(std::fs::read_dir(desk.path("out")).unwrap().count(), 0);
}

#[test]
fn each_error_is_one_for_programs_too() {
    for (text, parts) in WRONG {
        let desk = Desk::new(text);
        let found = desk.run(&["check", "--json"]).with_code(1).json();
        let found = found.as_array().unwrap();
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        let error = &found[0];
        assert_eq!(error["severity"], "error");
        assert_eq!(error["span"]["file"], "cookbooks/test/recipes/default.toml", "{error:#}");
        assert!(error["span"]["line"].as_u64().unwrap() >= 1 && error["span"]["column"].as_u64().unwrap() >= 1);
        let said = format!("{} {} {}", error["message"], error["label"], error["help"]).replace("\\\\", "\\");
        for part in parts.iter().filter(|part| !part.ends_with(':')) {
            assert!(said.replace("\\\"", "\"").contains(part), "{part:?} is not in {said}");
        }
    }
}

#[test]
fn documents_that_cannot_be_read_are_named_together() {
    let desk = Desk::new("[file.\"@/good\"]");
    desk.file("cookbooks/test/recipes/open.toml", "[file");
    desk.file("cookbooks/test/recipes/bytes.toml", b"# \xff\xfe\n");
    desk.file("policies/other.toml", "name = \nrun_list = 3\n");
    desk.file("policies/far.toml", "name = \"far\"\nrun_list = [\"tset\", \"test::defualt\"]\nincldue = [\"test\"]\n");
    desk.file(
        "cookbooks/shapes/cookbook.toml",
        "name = \"shapes\"\nversion = \"one\"\n[attributes.x]\ntype = \"strin\"\n",
    );
    desk.run(&["check"]).with_code(1).saying(&[
        "cookbooks/test/recipes/open.toml:1:6",
        "cookbooks/test/recipes/bytes.toml is not UTF-8: byte 0xff at offset 2, in line 1",
        "save the file as UTF-8",
        "policies/other.toml:1:8",
        "tset",
        "did you mean `test",
        "test::default",
        "did you mean `include`?",
        "did you mean `string`?",
        "cookbooks/shapes/cookbook.toml:2:",
    ]);
}

#[test]
fn names_and_kinds_of_files_that_no_repository_holds_are_refused() {
    use std::os::unix::ffi::OsStrExt;
    let desk = Desk::new("[file.\"@/good\"]");
    let name = std::ffi::OsStr::from_bytes(b"odd-\xff");
    let odd = desk.path("cookbooks/test").join(name);
    std::fs::write(&odd, "").unwrap();
    desk.run(&["check"]).with_code(1).saying(&["its name is not UTF-8", "rename it"]);
    std::fs::remove_file(odd).unwrap();
    std::os::unix::fs::symlink("/etc/shadow", desk.path("cookbooks/test/files")).unwrap();
    desk.run(&["check"]).with_code(1).saying(&["cookbooks/test/files", "put a copy in place of a link"]);
}

#[test]
fn what_only_a_node_can_know_is_wrong_before_anything_is_touched() {
    let endless = "{% for i in range(9999) %}{% for j in range(9999) %}{% for k in range(9999) %}x{% endfor %}{% endfor %}{% endfor %}";
    let huge = "{{ 'x' * 100000000000 }}";
    let itself = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
    for (content, said) in [
        (endless, "too many steps"),
        (huge, "file["),
        (itself, "file["),
        ("{{ facts.nope }}", "`facts.nope` is undefined"),
        ("{{ facts.os.nope.deeper }}", "undefined"),
        ("{{ 1 // 0 }}", "file["),
    ] {
        let recipe = format!("[file.\"@/first\"]\n\n[file.\"@/wrong\"]\ncontent = {content:?}\n");
        let desk = Desk::new(&recipe);
        let ended = desk.once().saying(&[said, "default.toml:4:1"]);
        assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
        assert!(ended.took.as_secs() < 20, "{content}: {:?}", ended.took);
        assert_eq!(desk.out("first"), None, "{content}");
    }
    // Both at once.
    let desk = Desk::new("[file.\"@/a\"]\ncontent = '{{ facts.x }}'\n[file.\"@/b\"]\ncontent = '{{ facts.y }}'\n");
    let report = desk.once().with_code(1);
    assert_eq!(report.conclusion(), "not_started");
    report.saying(&["`facts.x` is undefined", "`facts.y` is undefined"]);
}

#[test]
fn templates_that_include_themselves_end() {
    let desk = Desk::new("[file.\"@/loop\"]\ntemplate = 'a.j2'\n");
    desk.file("cookbooks/test/templates/a.j2", "{% include 'b.j2' %}");
    desk.file("cookbooks/test/templates/b.j2", "{% include 'a.j2' %}");
    let ended = desk.once().saying(&["a.j2"]);
    assert!(matches!(ended.code, Some(1 | 2)), "{ended:?}");
    assert_eq!(desk.out("loop"), None);
}

#[test]
fn a_hundred_thousand_resources_in_one_recipe_are_planned_and_converged() {
    // A build without optimization takes ten times as long.
    let many = if cfg!(debug_assertions) { 20_000 } else { 100_000 };
    let recipe =
        |many: usize| -> String { (0..many).map(|n| format!("[file.\"@/f{n}\"]\ncontent = \"{n}\"\n")).collect() };
    let desk = Desk::new(&recipe(many));
    let plan = desk.run(&["plan", "--json", "--policy", "policies/test.toml"]).with_code(0).json();
    assert_eq!(plan["counts"]["would_update"], many);
    // Writing them all would be a test of the disk.
    desk.recipe(&recipe(many / 10));
    let report = desk.once().with_code(0).json();
    assert_eq!(report["counts"]["updated"], many / 10);
    assert_eq!(desk.out("f7").as_deref(), Some("7"));
    let idle = desk.once().with_code(0).json();
    assert_eq!(idle["counts"], serde_json::json!({ "up_to_date": many / 10 }));
}
