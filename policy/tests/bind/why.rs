//! Where a resource comes from.

use converge_policy::bind::bind;
use converge_policy::why::{standing, why, why_line};
use serde_json::json;

use super::support::{TestKinds, repository};
use super::{compiled, input};

/// A template within a custom kind within a loop over an attribute.
const FILES: &str = r#"
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
key = "{{ attr.base.password }}"
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

/// What the content of `file[/sites/b]` is made from.
fn content_uses() -> serde_json::Value {
    json!([
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
    ])
}

#[test]
fn why_leads_from_a_property_to_who_set_what_it_is_made_from() {
    let (graph, blobs) = compiled(&repository(FILES));
    let bound = bind(&graph, &input(), &blobs, &TestKinds).unwrap();
    let id = "file[/sites/b]".parse().unwrap();
    let found = why(&graph, &bound, &blobs, &TestKinds, &id, None).unwrap();
    let json = serde_json::to_value(&found).unwrap();
    let at = |pointer: &str| json.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!((at("/cookbook"), at("/recipe")), ("base 1.2.0".into(), "base::default".into()));
    assert_eq!(at("/declared"), json!({"file": "cookbooks/base/resources/site.toml", "line": 3}));
    assert_eq!(at("/within/0/resource"), "base_site[b]");
    let property = |name: &str| found.properties.iter().find(|property| property.name == name).unwrap();
    assert!(property("key").hidden && property("key").value.is_none());
    let content = serde_json::to_value(property("content")).unwrap();
    assert_eq!(content["uses"], content_uses(), "{content:#}");
    assert!(!json.to_string().contains("hunter2"));
}

#[test]
fn why_knows_custom_kinds_and_what_is_near() {
    let (graph, blobs) = compiled(&repository(FILES));
    let bound = bind(&graph, &input(), &blobs, &TestKinds).unwrap();
    let id: converge_model::ResourceId = "file[/sites/b]".parse().unwrap();
    let custom = why(&graph, &bound, &blobs, &TestKinds, &"base_site[b]".parse().unwrap(), Some("port")).unwrap();
    assert_eq!((custom.members, custom.properties.len()), (vec![id], 1));
    for (id, property, message) in [
        ("file[/sites/c]", None, "declares no file[/sites/c] on this node; did you mean file[/sites/"),
        ("file[/sites/b]", Some("kye"), "nothing is written of `kye` of file[/sites/b]; did you mean `key`?"),
    ] {
        let error = why(&graph, &bound, &blobs, &TestKinds, &id.parse().unwrap(), property).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}

#[test]
fn of_a_sensitive_property_why_shows_where_it_comes_from_and_no_value() {
    let files = FILES.replace("{{ attr.base.password }}", "{{ param.port ~ 'opensesame' }}");
    let (graph, blobs) = compiled(&repository(&files));
    let bound = bind(&graph, &input(), &blobs, &TestKinds).unwrap();
    let found = why(&graph, &bound, &blobs, &TestKinds, &"file[/sites/b]".parse().unwrap(), Some("key")).unwrap();
    let json = serde_json::to_value(&found.properties[0]).unwrap();
    assert!(found.properties[0].hidden && found.properties[0].value.is_none());
    let text = json.to_string();
    assert!(!text.contains("opensesame") && !text.contains("\"value\""), "{text}");
    assert_eq!(json["uses"][0]["place"], json!({"file": "cookbooks/base/recipes/default.toml", "line": 3}));
}

#[test]
fn a_line_leads_to_the_lines_of_its_template() {
    let template =
        "# head\n{% for word in attr.base.sites %}\n{{ word }} = {{ port }}\n{% endfor %}\nlast {{ facts.hostname }}\n";
    let files = FILES.replace("{{ attr.base.workers }} {{ port }} {{ facts.hostname }}\n", template)
        + "--- cookbooks/base/files/plain\nfirst\nsecond\n--- cookbooks/base/recipes/more.toml\n[file.\"/plain\"]\nsource = \"plain\"\n[file.\"/text\"]\n\
           content = \"a\\nb\"\n";
    let files = files.replace("run_list = [\"base\"]", "run_list = [\"base\", \"base::more\"]");
    let (graph, blobs) = compiled(&repository(&files));
    let bound = bind(&graph, &input(), &blobs, &TestKinds).unwrap();
    let line = |id: &str, line| why_line(&graph, &bound, &input(), &blobs, &TestKinds, &id.parse().unwrap(), line);
    let site = "cookbooks/base/templates/site.j2";
    for (id, number, text, file, at) in [
        ("file[/sites/b]", 1, "# head", site, 1),
        ("file[/sites/b]", 2, "a = 4", site, 3),
        ("file[/sites/b]", 3, "b = 4", site, 3),
        ("file[/sites/b]", 4, "last web-1", site, 5),
        ("file[/plain]", 2, "second", "cookbooks/base/files/plain", 2),
        ("file[/text]", 2, "b", "cookbooks/base/recipes/more.toml", 4),
    ] {
        let found = line(id, number).unwrap();
        assert_eq!(found.text.as_deref(), Some(text), "{id} {number}");
        let from: Vec<_> = found.from.iter().map(|place| (place.file.as_str(), place.line)).collect();
        assert_eq!(from, [(file, at)], "{id} {number}");
    }
    let uses = serde_json::to_string(&line("file[/sites/b]", 2).unwrap().uses).unwrap();
    assert!(uses.contains("\"sites\"") && uses.contains("\"port\"") && !uses.contains("hostname"), "{uses}");
    for (id, number, part) in [
        ("file[/sites/b]", 5, "has 4 lines"),
        ("file[/sites/b]", 0, "has 4 lines"),
        ("base_site[b]", 1, "declares no base_site[b]"),
    ] {
        let error = line(id, number).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_line_that_cannot_be_followed_is_not_guessed() {
    let files = FILES
        .replace("{{ attr.base.workers }}", "{% set x %}\nabc\n{% endset %}{{ x | length }} {{ attr.base.workers }}");
    let (graph, blobs) = compiled(&repository(&files));
    let bound = bind(&graph, &input(), &blobs, &TestKinds).unwrap();
    let id = "file[/sites/b]".parse().unwrap();
    let error = why_line(&graph, &bound, &input(), &blobs, &TestKinds, &id, 1).unwrap_err();
    assert!(error.contains("no line of it can be followed"), "{error}");
}

#[test]
fn a_resource_stands_as_before_wherever_it_is_declared() {
    let text = |files: &str, id: &str, property: Option<&str>| {
        let (graph, blobs) = compiled(&repository(files));
        let bound = bind(&graph, &input(), &blobs, &TestKinds).unwrap();
        standing(&graph, &bound, &id.parse().unwrap(), property)
    };
    let moved = FILES.replace("[base_site.\"{{", "[package.first]\n\n[base_site.\"{{");
    let other = FILES.replace("workers = 2", "workers = 3");
    for (id, property, same_in_other) in [
        ("file[/sites/b]", None, false),
        ("file[/sites/b]", Some("key"), true),
        ("file[/sites/b]", Some("content"), false),
        ("base_site[b]", None, false),
        ("base_site[b]", Some("port"), true),
    ] {
        let before = text(FILES, id, property);
        assert!(before.is_some(), "{id} {property:?}");
        assert_eq!(before, text(&moved, id, property), "{id} {property:?}");
        assert_eq!(before == text(&other, id, property), same_in_other, "{id} {property:?}");
    }
    assert_eq!(text(FILES, "file[/sites/c]", None), None);
    assert_eq!(text(FILES, "file[/sites/b]", Some("mode")), None);
}
