//! Graphs and what is known of a node, and the catalogs that come of them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail as tests do")]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write;

use converge_model::{Diagnostic, Digest, Graph, Value};
use converge_policy::bind::{BindInput, Bound, NodeIdentity, bind};
use converge_policy::why::why;
use converge_policy::{BlobPlace, FileData, Repository, compile};
use support::{TestKinds, repository};

const FACTS: &str = r#"{"os":{"family":"debian"},"cpu":{"count":4},"hostname":"web-1"}"#;

fn input() -> BindInput {
    BindInput {
        facts: serde_json::from_str(FACTS).unwrap(),
        node: NodeIdentity {
            name: "web-1".into(),
            policy: "web".into(),
            group: Some("prod".into()),
            tags: vec!["eu".into()],
        },
        node_attributes: BTreeMap::new(),
    }
}

fn compiled(repository: &Repository) -> (Graph, BTreeMap<Digest, Vec<u8>>) {
    let compiled = compile(repository, "web", &TestKinds).unwrap_or_else(|found| panic!("{}", describe(&found)));
    let bytes = |place: &BlobPlace| match place {
        BlobPlace::Bytes(bytes) => bytes.clone(),
        BlobPlace::File(path) => match &repository.files[path] {
            FileData::Bytes(bytes) => bytes.clone(),
            FileData::Blob(_) => Vec::new(),
        },
    };
    let blobs = compiled.blobs.iter().map(|(digest, place)| (*digest, bytes(place))).collect();
    // What a node binds came over the wire.
    (Graph::from_bytes(&compiled.graph.to_bytes().unwrap()).unwrap(), blobs)
}

fn bound_with(files: &str, input: &BindInput) -> Result<Bound, Vec<Diagnostic>> {
    let (graph, blobs) = compiled(&repository(files));
    bind(&graph, input, &blobs, &TestKinds)
}

/// One line for each resource.
fn show(bound: &Bound) -> String {
    let mut text = String::new();
    let resources = &bound.catalog.resources;
    for resource in resources {
        let _ = write!(text, "{}", resource.id);
        for (name, value) in &resource.properties {
            let value = match value {
                Value::Blob(blob) => format!("blob:{}", blob.size),
                Value::String(text) => format!("{text:?}"),
                other => other.to_string(),
            };
            let secret = if resource.secret.contains(name) { "!" } else { "" };
            let _ = write!(text, " {name}{secret}={value}");
        }
        for guard in &resource.guards {
            let _ = write!(text, " {guard:?}");
        }
        if let Some(reason) = &resource.skipped {
            let _ = write!(text, " skipped: {reason}");
        }
        let id = |at: &usize| resources[*at].id.to_string();
        if !resource.requires.is_empty() {
            let _ = write!(text, " after {}", resource.requires.iter().map(id).collect::<Vec<_>>().join(", "));
        }
        for notify in &resource.notifies {
            let _ = write!(text, " {:?} {} {}", notify.timing, notify.action, id(&notify.target));
        }
        let options = (resource.timeout, resource.retries, resource.ignore_failure, resource.sensitive, resource.audit);
        if options != Default::default() {
            let _ = write!(text, " {options:?}");
        }
        text.push('\n');
    }
    text
}

fn describe(found: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in found {
        let _ = writeln!(text, "{diagnostic}");
        if !diagnostic.label.is_empty() {
            let _ = writeln!(text, "  {}", diagnostic.label);
        }
        for (span, note) in &diagnostic.related {
            let _ = writeln!(text, "  {}:{}: {note}", span.file, span.line);
        }
        if let Some(help) = &diagnostic.help {
            let _ = writeln!(text, "  help: {help}");
        }
    }
    text
}

fn plain(text: &str) -> String {
    text.trim().lines().map(|line| line.strip_prefix("        ").unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// Binds the repository (see [`repository`]) and compares the catalog, or what is wrong.
#[track_caller]
fn check(files: &str, expected: &str) {
    check_with(files, &input(), expected);
}

#[track_caller]
fn check_with(files: &str, input: &BindInput, expected: &str) {
    let found = match bound_with(files, input) {
        Ok(bound) => show(&bound),
        Err(found) => describe(&found),
    };
    assert_eq!(found.trim(), plain(expected), "\n{found}");
}

#[test]
fn a_recipe_is_a_chain_and_values_keep_their_types() {
    check(
        r#"
--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"
[attributes.workers]
type = "integer"
default = "{{ facts.cpu.count * 2 }}"
[attributes.on]
type = "boolean"
default = "{{ attr.base.workers > 4 }}"
--- cookbooks/base/recipes/default.toml
[package.nginx]
[file."/etc/nginx.conf"]
content = "workers {{ attr.base.workers }} on {{ node.name }} in {{ node.group }} {{ node.tags }} as {{ name }}"
owner = "{{ none }}"
notifies = { reload = "service[nginx]" }
[service.nginx]
running = "{{ attr.base.on }}"
subscribes = { restart = "package[nginx]", timing = "immediate" }
timeout = "{{ attr.base.workers }}s"
retries = 2
audit = true
"#,
        r#"
        package[nginx] Immediate restart service[nginx]
        file[/etc/nginx.conf] content="workers 8 on web-1 in prod [\"eu\"] as /etc/nginx.conf" after package[nginx] Delayed reload service[nginx]
        service[nginx] running=true after package[nginx], file[/etc/nginx.conf] (Some(Span(8s)), Some(Retries { count: 2, delay: Span(1s) }), false, false, true)"#,
    );
}

#[test]
fn loops_conditions_and_templates() {
    check(
        r#"
--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"
[attributes.sites]
type = "map"
default = { blog = { enabled = false }, shop = { enabled = true, port = 80 } }
--- cookbooks/base/templates/site.j2
{% if site.enabled %}
port {{ site.port }}
{% endif %}
of {{ each.key }} {{ each.index }} {{ name }}
--- cookbooks/base/files/style.css
body {}
--- cookbooks/base/recipes/default.toml
[file."/sites/{{ each.key }}"]
for_each = "attr.base.sites"
when = "each.value.enabled"
template = "site.j2"
vars = { site = "{{ each.value }}" }
[file."/lines/{{ each.value }}"]
for_each = ["a", "b"]
content = "{{ each.key | string }}"
[link."/l"]
when = false
to = "{{ facts.not_there }}"
[file."/style.css"]
source = "style.css"
only_if = { exists = "/{{ facts.hostname }}" }
not_if = ["test", "-e", "/x"]
"#,
        r#"
        file[/sites/blog] skipped: `when` does not hold: each.value.enabled
        file[/sites/shop] content="port 80\nof shop 1 /sites/shop\n"
        file[/lines/a] content="0" after file[/sites/shop]
        file[/lines/b] content="1" after file[/lines/a]
        link[/l] skipped: `when` is false
        file[/style.css] content=blob:8 OnlyIf(Exists("/web-1")) NotIf(Command(Argv(["test", "-e", "/x"]))) after file[/lines/b]"#,
    );
}

const SITE: &str = r#"
--- cookbooks/nginx/cookbook.toml
name = "nginx"
version = "2.0.0"
--- cookbooks/nginx/recipes/default.toml
[service.nginx]
--- cookbooks/nginx/resources/site.toml
[parameters.server_name]
type = "string"
required = true
[parameters.port]
type = "integer"
default = 80
maximum = 65535
[parameters.url]
type = "string"
default = "http://{{ node.name }}"
[nginx_page.index]
text = "{{ param.url }} of {{ name }}"
[file."/sites/{{ name }}"]
content = "{{ param.server_name }}:{{ param.port }}"
--- cookbooks/nginx/resources/page.toml
[parameters.text]
type = "string"
[file."/pages/{{ name }}"]
content = "{{ param.text }}"
--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"
[depends]
nginx = "*"
"#;

#[test]
fn edges_reach_the_whole_of_a_custom_kind_both_ways() {
    check(
        &format!(
            r#"{SITE}
--- cookbooks/base/recipes/default.toml
ordered = false
[package.nginx]
[nginx_site.shop]
server_name = "shop.example"
requires = ["package[nginx]"]
notifies = {{ reload = "service[nginx]" }}
audit = true
[service.nginx]
[file."/done"]
requires = ["nginx_site[shop]"]
"#
        ),
        r#"
        package[nginx]
        file[/pages/index] content="http://web-1 of shop" after package[nginx] Delayed reload service[nginx] (None, None, false, false, true)
        file[/sites/shop] content="shop.example:80" after package[nginx], file[/pages/index] Delayed reload service[nginx] (None, None, false, false, true)
        service[nginx]
        file[/done] after file[/pages/index], file[/sites/shop]"#,
    );
    check(
        &format!(
            r#"{SITE}
--- cookbooks/base/recipes/default.toml
[nginx_site.a]
server_name = "{{{{ facts.hostname }}}}"
port = "{{{{ facts.cpu.count * 100000 }}}}"
[nginx_site."{{{{ each.value }}}}"]
for_each = [true]
server_name = "x"
[nginx_site.b]
when = false
server_name = "x"
[file."/x"]
requires = "nginx_site[b]"
"#
        ),
        r#"
        cookbooks/base/recipes/default.toml:3:1: `port` of nginx_site[a]: 400000 is greater than the maximum, 65535"#,
    );
}

#[test]
fn recipes_wait_for_what_they_depend_on_and_only_for_that() {
    let files = r#"
--- cookbooks/one/cookbook.toml
name = "one"
version = "1.0.0"
--- cookbooks/one/recipes/default.toml
[package.a]
[package.b]
--- cookbooks/two/cookbook.toml
name = "two"
version = "1.0.0"
--- cookbooks/two/recipes/default.toml
[package.c]
--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"
[depends]
one = "*"
--- cookbooks/base/recipes/default.toml
[package.d]
[package.b]
[package.e]
--- policies/web.toml
name = "web"
run_list = ["one", "two", "base"]
"#;
    check(
        files,
        "
        package[a]
        package[b] after package[a]
        package[c]
        package[d] after package[b]
        package[e] after package[b], package[d]",
    );
}

#[test]
fn the_same_resource_twice_is_one_or_an_error() {
    check(
        r#"
--- cookbooks/base/recipes/default.toml
[file."/etc/{{ 'a' }}"]
content = "x"
[file."/etc/a/"]
content = "{{ 'x' }}"
[file."/b"]
when = "facts.os.family == 'redhat'"
content = "red"
[file."/./b"]
when = "facts.os.family == 'debian'"
content = "deb"
[file."//c"]
requires = "file[{{ '/b/' }}]"
"#,
        r#"
        file[/etc/a] content="x"
        file[/b] content="deb" after file[/etc/a]
        file[/c] after file[/b]"#,
    );
    check(
        r#"
--- cookbooks/base/recipes/default.toml
[file."/{{ each.value }}"]
for_each = ["a", "a"]
content = "{{ each.key | string }}"
"#,
        r#"
        cookbooks/base/recipes/default.toml:1:7: file[/a] is declared twice, and differently
          other than before: `content`
          cookbooks/base/recipes/default.toml:1: it is declared here first
          help: declare it once, or alike; `when` may choose between declarations that differ"#,
    );
}

#[test]
fn everything_wrong_on_a_node_is_told_at_once_with_its_place() {
    check(
        r#"
--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"
[attributes.broken]
type = "string"
default = "{{ facts.nope }}"
[attributes.needs_broken]
type = "string"
default = "{{ attr.base.broken }}"
--- cookbooks/base/templates/t.j2
one
{{ facts.hostnam }}
--- cookbooks/base/recipes/default.toml
[file."/{{ attr.base.needs_broken }}"]
[file."/t"]
template = "t.j2"
[file."{{ facts.hostname }}"]
[service."{{ 'a\nb' }}"]
[service.s]
running = "{{ facts.hostname }}"
[package.x]
notifies = { reload = "service[{{ facts.hostname }}]" }
[service.t]
when = "facts.hostname"
[package."{{ each.value }}"]
for_each = "facts.cpu.count"
"#,
        r#"
        cookbooks/base/cookbook.toml:5:1: attribute `base.broken`: `facts.nope` is undefined
          help: `facts` has no `nope`; write `| default(…)` if it may be missing
        cookbooks/base/templates/t.j2:2:4: the template of file[/t]: `facts.hostnam` is undefined
          cookbooks/base/recipes/default.toml:3: the template is used here
          help: did you mean `facts.hostname`?
        cookbooks/base/recipes/default.toml:4:7: "web-1" is not an absolute path; it must begin with /
        cookbooks/base/recipes/default.toml:5:10: the name "a\nb" of a service holds the control character '\n'
        cookbooks/base/recipes/default.toml:7:1: `running` of service[s]: expected `true` or `false`, found the string "web-1"
        cookbooks/base/recipes/default.toml:11:1: `when` of a service must give true or false; this is of type string
          help: compare it with something, or write `… | bool`
        cookbooks/base/recipes/default.toml:13:1: `for_each` of a package needs a list or a map; this is of type integer
        cookbooks/base/recipes/default.toml:9:1: package[x] notifies service[web-1], which is not declared on this node"#,
    );
}

#[test]
fn cycles_show_every_edge() {
    check(
        r#"
--- cookbooks/base/recipes/default.toml
ordered = false
[package.a]
[package.b]
requires = "package[{{ 'c' }}]"
[package.c]
[service.d]
before = ["package[{{ 'c' }}]"]
subscribes = { restart = "package[{{ 'b' }}]" }
"#,
        "
        cookbooks/base/recipes/default.toml:7:1: resources wait for each other: service[d] → package[c] → package[b] → service[d]
          package[c] comes after service[d]: the other says `before`
          cookbooks/base/recipes/default.toml:4: package[b] comes after package[c]: it says `requires`
          cookbooks/base/recipes/default.toml:8: service[d] comes after package[b]: it says `subscribes`
          help: take one of these edges away, or write the resources in the order in which they depend on each other",
    );
}

#[test]
fn levels_merge_maps_and_replace_the_rest() {
    let files = r#"
--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"
[attributes.limits]
type = "map"
default = { a = 1, deep = { x = "{{ facts.cpu.count }}" } }
[attributes.list]
type = "list"
default = ["{{ facts.never.evaluated }}"]
[attributes.word]
type = "string"
one_of = ["one", "two"]
default = "one"
node_settable = true
[attributes.fixed]
type = "integer"
default = 1
--- cookbooks/base/recipes/default.toml
[file."/f"]
content = "{{ attr.base.limits }} {{ attr.base.list }} {{ attr.base.word }}"
--- policies/common.toml
name = "common"
run_list = []
[attributes.base]
limits = { a = 2, b = 2 }
list = [1]
--- policies/web.toml
name = "web"
run_list = ["base"]
include = ["common"]
[attributes.base.limits]
b = 3
deep = { y = "{{ node.name }}" }
[groups.prod.attributes.base]
limits = { c = 4 }
[groups.dev.attributes.base]
limits = { d = 5 }
"#;
    check(files, r#"file[/f] content="{\"a\":2,\"b\":3,\"c\":4,\"deep\":{\"x\":4,\"y\":\"web-1\"}} [1] one""#);
    let node = |json: &str| BindInput { node_attributes: serde_json::from_str(json).unwrap(), ..input() };
    let two = node(r#"{"base":{"word":"two","gone":1}}"#);
    let bound = bound_with(files, &two).unwrap();
    assert!(show(&bound).contains("[1] two"), "{}", show(&bound));
    assert!(describe(&bound.warnings).contains("`base.gone` is set for this node"), "{:?}", bound.warnings);
    check_with(
        files,
        &node(r#"{"base":{"word":"six","fixed":2}}"#),
        "
        cookbooks/base/cookbook.toml:14:13: attribute `base.fixed` is set for this node, and cannot be
          help: take the value away from the node, or declare the attribute with `node_settable = true`
        cookbooks/base/cookbook.toml:9:13: attribute `base.word`: `six` is not one of `one`, `two`, set for this node in the store
          cookbooks/base/cookbook.toml:9: it is declared here",
    );
}

#[test]
fn attributes_that_need_each_other_or_lack_a_value_are_errors() {
    check(
        r#"
--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"
[attributes.a]
type = "integer"
default = "{{ attr.base.b }}"
node_settable = true
[attributes.b]
type = "integer"
default = 1
--- policies/web.toml
name = "web"
run_list = ["base"]
[groups.prod.attributes.base]
b = "{{ attr.base.a + 1 }}"
"#,
        "
        cookbooks/base/cookbook.toml:5:1: attributes need each other: base.a needs base.b needs base.a
          policies/web.toml:4: attribute `base.b` is set here
          help: set one of them to a value that does not need the others",
    );
    check(
        r#"
--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"
[attributes.a]
type = "integer"
required = true
--- policies/web.toml
name = "web"
run_list = ["base"]
[groups.dev.attributes.base]
a = 1
"#,
        "
        cookbooks/base/cookbook.toml:3:13: attribute `base.a` has no value on this node
          help: set it in the policy: [attributes.base] a = …",
    );
}

#[test]
fn what_touches_a_secret_is_secret_and_is_in_no_message() {
    let files = |recipe: &str| {
        format!(
            r#"
--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"
[attributes.password]
type = "string"
secret = true
default = "hunter2"
[attributes.url]
type = "string"
default = "db://{{{{ attr.base.password }}}}"
[attributes.open]
type = "string"
default = "open"
[attributes.accounts]
type = "map"
secret = true
default = {{ ann = "hunter2" }}
--- cookbooks/base/resources/db.toml
[parameters.url]
type = "string"
[file."/db"]
content = "{{{{ param.url }}}}"
owner = "{{{{ name }}}}"
--- cookbooks/base/templates/t.j2
{{{{ text }}}}
--- cookbooks/base/recipes/default.toml
{recipe}"#
        )
    };
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
fn templates_whose_bytes_are_missing_or_changed_are_errors() {
    let text = "--- cookbooks/base/templates/t.j2\nx\n--- cookbooks/base/recipes/default.toml\n[file.\"/t\"]\ntemplate = \"t.j2\"\n";
    let (graph, blobs) = compiled(&repository(text));
    let nothing: BTreeMap<Digest, Vec<u8>> = BTreeMap::new();
    let changed: BTreeMap<Digest, Vec<u8>> = blobs.keys().map(|digest| (*digest, b"y\n".to_vec())).collect();
    for (blobs, part) in [(nothing, "it is not at hand"), (changed, "not those that were published")] {
        let found = describe(&bind(&graph, &input(), &blobs, &TestKinds).unwrap_err());
        assert!(found.contains(part), "{found}");
    }
}

#[test]
fn why_leads_from_a_property_to_who_set_what_it_is_made_from() {
    let files = r#"
--- cookbooks/base/cookbook.toml
name = "base"
version = "1.2.0"
[attributes.workers]
type = "integer"
default = 1
[attributes.password]
type = "string"
secret = true
default = "hunter2"
[attributes.sites]
type = "map"
default = { a = 1 }
--- cookbooks/base/resources/site.toml
[parameters.port]
type = "integer"
[file."/sites/{{ name }}"]
template = "site.j2"
vars = { port = "{{ param.port }}" }
owner = "{{ attr.base.password }}"
--- cookbooks/base/templates/site.j2
{{ attr.base.workers }} {{ port }} {{ facts.hostname }}
--- cookbooks/base/recipes/default.toml
[base_site."{{ each.key }}"]
for_each = "attr.base.sites"
port = "{{ each.value + attr.base.workers }}"
--- policies/web.toml
name = "web"
run_list = ["base"]
[attributes.base]
workers = 2
[groups.prod.attributes.base]
sites = { b = 2 }
"#;
    let (graph, blobs) = compiled(&repository(files));
    let bound = bind(&graph, &input(), &blobs, &TestKinds).unwrap();
    let id = "file[/sites/b]".parse().unwrap();
    let found = why(&graph, &bound, &blobs, &id, None).unwrap();
    let json = serde_json::to_value(&found).unwrap();
    let at = |pointer: &str| json.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!((at("/cookbook"), at("/recipe")), ("base 1.2.0".into(), "base::default".into()));
    assert_eq!(at("/declared"), serde_json::json!({"file": "cookbooks/base/resources/site.toml", "line": 3}));
    assert_eq!(at("/within/0/resource"), "base_site[b]");
    let property = |name: &str| found.properties.iter().find(|property| property.name == name).unwrap();
    assert!(property("owner").hidden && property("owner").value.is_none());
    let content = serde_json::to_value(property("content")).unwrap();
    assert_eq!(
        content["uses"],
        serde_json::json!([
            {
                "use": "parameter", "name": "port", "of": "base_site[b]",
                "place": {"file": "cookbooks/base/recipes/default.toml", "line": 3},
                "uses": [
                    {
                        "use": "each", "place": {"file": "cookbooks/base/recipes/default.toml", "line": 2},
                        "uses": [{
                            "use": "attribute", "cookbook": "base", "name": "sites", "value": {"a": 1, "b": 2},
                            "set_by": [
                                {"level": "default", "place": {"file": "cookbooks/base/cookbook.toml", "line": 12}, "value": {"a": 1}},
                                {"level": "group", "policy": "web", "group": "prod",
                                 "place": {"file": "policies/web.toml", "line": 6}, "value": {"b": 2}}
                            ]
                        }]
                    },
                    {
                        "use": "attribute", "cookbook": "base", "name": "workers", "value": 2,
                        "set_by": [{"level": "policy", "policy": "web", "place": {"file": "policies/web.toml", "line": 4}, "value": 2}]
                    }
                ]
            },
            {
                "use": "content", "file": "cookbooks/base/templates/site.j2",
                "uses": [
                    {
                        "use": "attribute", "cookbook": "base", "name": "workers", "value": 2,
                        "set_by": [{"level": "policy", "policy": "web", "place": {"file": "policies/web.toml", "line": 4}, "value": 2}]
                    },
                    {"use": "given", "path": "facts.hostname"}
                ]
            }
        ]),
        "{content:#}"
    );
    assert!(!json.to_string().contains("hunter2"));
    let custom = why(&graph, &bound, &blobs, &"base_site[b]".parse().unwrap(), Some("port")).unwrap();
    assert_eq!((custom.members, custom.properties.len()), (vec![id.clone()], 1));
    for (id, property, message) in [
        ("file[/sites/c]", None, "declares no file[/sites/c] on this node; did you mean file[/sites/"),
        ("file[/sites/b]", Some("ownr"), "nothing is written of `ownr` of file[/sites/b]; did you mean `owner`?"),
    ] {
        let error = why(&graph, &bound, &blobs, &id.parse().unwrap(), property).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}
