//! What only a node can show to be wrong, and what is said about it.

use std::collections::BTreeMap;

use converge_model::Digest;
use converge_policy::bind::bind;

use super::support::{TestKinds, repository};
use super::{check, compiled, describe, input};

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
        cookbooks/base/cookbook.toml:5:11: attribute `base.broken`: `facts.nope` is undefined
          help: `facts` has no `nope`; write `| default(…)` if it may be missing
        cookbooks/base/templates/t.j2:2:4: the template of file[/t]: `facts.hostnam` is undefined
          cookbooks/base/recipes/default.toml:3:12: the template is used here
          help: did you mean `facts.hostname`?
        cookbooks/base/recipes/default.toml:4:7: "web-1" is not an absolute path; it must begin with /
        cookbooks/base/recipes/default.toml:5:10: the name "a\nb" of a service holds the control character '\n'
        cookbooks/base/recipes/default.toml:7:11: `running` of service[s]: expected `true` or `false`, found the string "web-1"
        cookbooks/base/recipes/default.toml:11:8: `when` of a service must give true or false; this is of type string
          help: compare it with something, or write `… | bool`
        cookbooks/base/recipes/default.toml:13:12: `for_each` of a package needs a list or a map; this is of type integer
        cookbooks/base/recipes/default.toml:9:23: package[x] notifies service[web-1], which is not declared on this node"#,
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
        cookbooks/base/recipes/default.toml:7:11: resources wait for each other: service[d] → package[c] → package[b] → service[d]
          package[c] comes after service[d]: the other says `before`
          cookbooks/base/recipes/default.toml:4:12: package[b] comes after package[c]: it says `requires`
          cookbooks/base/recipes/default.toml:8:26: service[d] comes after package[b]: it says `subscribes`
          help: take one of these edges away, or write the resources in the order in which they depend on each other",
    );
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
