//! What touches a secret stays hidden.

use converge_policy::bind::bind;
use converge_policy::why::why;

use super::support::{TestKinds, repository};
use super::{bound_with, check, compiled, input};

/// A cookbook with secrets. What follows is its recipe.
const SECRETS: &str = r#"
--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"
[attributes.password]
type = "string"
secret = true
default = "hunter2"
[attributes.url]
type = "string"
default = "db://{{ attr.base.password }}"
[attributes.open]
type = "string"
default = "open"
[attributes.accounts]
type = "map"
secret = true
default = { ann = "hunter2" }
--- cookbooks/base/resources/db.toml
[parameters.url]
type = "string"
[file."/db"]
content = "{{ param.url }}"
owner = "{{ name }}"
--- cookbooks/base/templates/t.j2
{{ text }}
--- cookbooks/base/recipes/default.toml
"#;

fn files(recipe: &str) -> String {
    format!("{SECRETS}{recipe}")
}

#[test]
fn what_touches_a_secret_is_secret() {
    check(
        &files(
            r#"
[file."/a"]
content = "{{ attr.base.url }}"
owner = "{{ attr.base.open }}"
[file."/t"]
template = "t.j2"
vars = { text = "{{ attr['base']['password'] }}" }
[base_db.x]
url = "{{ attr.base.url }}"
[file."/home/{{ each.key }}"]
for_each = "attr.base.accounts"
content = "{{ each.value }}"
owner = "{{ each.key }}"
not_if = "check {{ each.value }}"
"#,
        ),
        r#"
        file[/a] content!="db://hunter2" owner="open"
        file[/t] content!="hunter2\n" after file[/a]
        file[/db] content!="db://hunter2" owner="x" after file[/t]
        file[/home/ann] content!="hunter2" owner="ann" NotIf(Command(Shell("check hunter2"))) after file[/db]"#,
    );
    let bound = bound_with(&files("[file.\"/home\"]\nnot_if = \"{{ attr.base.password }}\""), &input()).unwrap();
    assert!(bound.catalog.resources[0].secret.contains("not_if"));
}

#[test]
fn no_message_holds_a_secret() {
    for recipe in [
        "[service.x]\nrunning = \"{{ attr.base.password }}\"",
        "[file.\"/{{ attr.base.password }}\"]",
        "[service.x]\nrunning = \"{{ attr.base.password | int }}\"",
        "[service.x]\nretries = \"{{ attr.base.password }}\"",
        "[package.x]\nwhen = \"attr.base.password\"",
        "[package.\"{{ each.key }}\"]\nfor_each = \"attr.base.password\"",
    ] {
        let Err(found) = bound_with(&files(recipe), &input()) else { panic!("{recipe}") };
        let text = format!("{found:?}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn why_shows_no_secret_that_a_recipe_gives_to_a_custom_kind() {
    let cookbook = SECRETS.replace("[parameters.url]\n", "[parameters.url]\nsecret = true\n");
    let (graph, blobs) = compiled(&repository(&format!("{cookbook}\n[base_db.x]\nurl = \"sesame\"\n")));
    let bound = bind(&graph, &input(), &blobs, &TestKinds).unwrap();
    for id in ["base_db[x]", "file[/db]"] {
        let found = why(&graph, &bound, &blobs, &TestKinds, &id.parse().unwrap(), None).unwrap();
        let json = serde_json::to_string(&found).unwrap();
        assert!(!json.contains("sesame") && json.contains(r#""hidden":true"#), "{json}");
    }
}
