//! What touches a secret stays hidden.

use std::sync::Arc;

use converge_model::{Error, ErrorKind, Result};
use converge_policy::bind::{BindInput, bind};
use converge_policy::expression::{SecretReader, Secrets};
use converge_policy::why::why;

use super::support::{TestKinds, repository};
use super::{bound_with, check, check_with, compiled, input};

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
"#,
        ),
        r#"
        file[/a] content!="db://hunter2" mode="0600" owner="open"
        file[/t] content!="hunter2\n" mode="0600" after file[/a]
        file[/db] content!="db://hunter2" mode="0600" owner="x" after file[/t]
        file[/home/ann] content!="hunter2" mode="0600" owner="ann" after file[/db]"#,
    );
}

/// An attribute that is made of a secret.
const MADE: &str = r#"[attributes.made]
type = "string"
default = "{{ secret('token') }}"
[attributes.open]"#;

/// Secrets of a node.
struct Known;

impl SecretReader for Known {
    fn read(&self, name: &str) -> Result<String> {
        match name {
            "db/password" | "token" => Ok(format!("hunter2 of {name}")),
            _ => Err(Error::new(ErrorKind::NotFound, "read", format!("the secret {name}"), "no rule gives it")),
        }
    }
}

fn node() -> BindInput {
    BindInput { secrets: Secrets::of(Arc::new(Known)), ..input() }
}

#[test]
fn a_secret_is_read_when_it_is_used_and_taints_what_used_it() {
    let files = files(
        r#"
[file."/a"]
content = "{{ secret('db/password') }}"
mode = "0640"
[file."/b"]
template = "s.j2"
[file."/c"]
template = "t.j2"
vars = { text = "{{ secret('token') | upper }}" }
[file."/d"]
content = "plain"
key = "{{ 'x' ~ secret('token') }}"
[file."/e"]
content = "{{ attr.base.made }}"
[file."/f"]
content = "{{ 'none' if true else secret('nosuch') }}"
[file."/g"]
ensure = "{{ 'absent' if secret('token') else 'present' }}"
when = "false"
[base_db.x]
url = "{{ secret('token') }}"
--- cookbooks/base/templates/s.j2
{% macro line(name) %}{{ name }}={{ secret('token') }}{% endmacro %}{{ line('t') }}
"#,
    )
    .replace("[attributes.open]", MADE);
    check_with(
        &files,
        &node(),
        r#"
        file[/a] content!="hunter2 of db/password" mode="0640"
        file[/b] content!="t=hunter2 of token\n" mode="0600" after file[/a]
        file[/c] content!="HUNTER2 OF TOKEN\n" mode="0600" after file[/b]
        file[/d] content="plain" key!="xhunter2 of token" after file[/c]
        file[/e] content!="hunter2 of token" mode="0600" after file[/d]
        file[/f] content!="none" mode="0600" after file[/e]
        file[/g] skipped: `when` does not hold: false
        file[/db] content!="hunter2 of token" mode="0600" owner="x" after file[/f]"#,
    );
    let (graph, _) = compiled(&repository(&files));
    assert_eq!(graph.secrets.iter().map(String::as_str).collect::<Vec<_>>(), ["db/password", "nosuch", "token"]);
    assert!(!String::from_utf8(graph.to_bytes().unwrap()).unwrap().contains("hunter2 of"));
}

#[test]
fn a_secret_goes_nowhere_where_everybody_sees_it() {
    for (recipe, expected) in [
        (r#"[file."/a"] content = "{{ secret('token') }}" mode = "0644""#, "it lets everybody in"),
        (r#"[file."/a"] owner = "{{ secret('token') }}""#, "`owner` of file[/a]: it uses a secret"),
        (r#"[file."/a"] validate = "look {{ secret('token') }}""#, "`validate` of file[/a]: it uses a secret"),
        (r#"[file."/a"] not_if = "look {{ secret('token') }}""#, "`not_if` of file[/a]: it uses a secret"),
        (r#"[file."/a"] only_if = { exists = "/{{ secret('token') }}" }"#, "`only_if` of file[/a]: it uses a secret"),
        (r#"[file."/a"] timeout = "{{ secret('token') }}""#, "`timeout` of file[/a]: it uses a secret"),
        (r#"[package.a] version = "{{ secret('token') }}""#, "`version` of package[a]: it uses a secret"),
        (r#"[package.a] names = ["{{ secret('token') }}"]"#, "`names` of package[a]: it uses a secret"),
        (r#"[package."{{ secret('token') }}"]"#, "the name of a package uses a secret"),
        (r#"[link."/a"] to = "/{{ secret('token') }}""#, "`to` of link[/a]: it uses a secret"),
        (
            r#"[file."/a"] content = "{{ secret('nosuch') }}""#,
            "no secret `nosuch` here: cannot read the secret nosuch: no rule gives it",
        ),
        (r#"[file."/a"] content = "{{ secret('token') | b64decode }}""#, "why is not shown"),
        (r#"[file."/a"] requires = "file[/{{ secret('token') }}]""#, "`requires` of file[/a]: it uses a secret"),
        (r#"[file."/a/{{ each.key }}"] for_each = "{secret('token'): 1}""#, "names a secret, and keys are shown"),
        (r#"[file."/a"] key = "{{ [secret('token')] }}""#, "which is secret"),
    ] {
        // A declaration on one line is easier to compare.
        let recipe = recipe.replacen("] ", "]\n", 1).replace("\" mode", "\"\nmode");
        let Err(found) = bound_with(&files(&recipe), &node()) else { panic!("{recipe} is taken") };
        let found = format!("{found:?}");
        assert!(found.contains(expected) && !found.contains("hunter2"), "{recipe}: {found}");
    }
    let recipe = "[file.\"/a\"]\ncontent = \"{{ secret('token') }}\"";
    let without = format!("{:?}", bound_with(&files(recipe), &input()).unwrap_err());
    assert!(without.contains("nothing says where secrets come from"), "{without}");
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
