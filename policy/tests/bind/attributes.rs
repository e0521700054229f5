//! The four levels of attributes.

use converge_policy::bind::BindInput;

use super::{bound_with, check, check_with, describe, input, show};

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
          cookbooks/base/cookbook.toml:9:13: it is declared here",
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
        cookbooks/base/cookbook.toml:5:11: attributes need each other: base.a needs base.b needs base.a
          policies/web.toml:4:1: attribute `base.b` is set here
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
