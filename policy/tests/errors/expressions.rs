//! Bad repositories: expressions and templates.

use super::check;

#[test]
fn expressions_and_what_they_name() {
    check(
        r##"--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"

[attributes.workers]
type = "integer"
default = 4
[attributes.sites]
type = "map"
default = {}
--- cookbooks/other/cookbook.toml
name = "other"
version = "1.0.0"
[attributes.x]
type = "string"
--- cookbooks/base/recipes/default.toml
[file."/a"]
content = "{{ attr.base.wrokers }} {{ attr.bsae.workers }} {{ attr.other.x }}"
owner = "{{ workers }}"
mode = "{{ each.value }}"
when = "attr.base.nothing_like_it"
validate = "{{ param.x }}"
[file."/b"]
content = "{{ 1 + }}"
owner = "{{ x | uper }}"
when = "{{ facts.x }}"
for_each = "node.tags"
[file."/c/{{ each.kye }}"]
for_each = "attr.base.sites"
content = """
first
{{ node.nmae }}
"""
owner = "a\tb {{ zzz }}"
[file."/d"]
content = "{% for x in y %}"
owner = "{{ secret(node.name) }}{{ query.backends }}"
"##,
        r##"error: cookbooks/base/recipes/default.toml:2:15: cookbook `base` declares no attribute `wrokers`
  did you mean `workers`?
error: cookbooks/base/recipes/default.toml:2:39: unknown cookbook `bsae`
  did you mean `base`?
  help: attributes are read as `attr.<cookbook>.<name>`
error: cookbooks/base/recipes/default.toml:2:63: cookbook `base` does not depend on `other`
  help: add `other = "*"` to [depends] in cookbooks/base/cookbook.toml
error: cookbooks/base/recipes/default.toml:3:13: unknown name `workers`
  did you mean `attr.base.workers`?
error: cookbooks/base/recipes/default.toml:4:12: there is no `each` here
  help: `each` is what `for_each` gives to the other properties and the name of its resource
error: cookbooks/base/recipes/default.toml:5:9: cookbook `base` declares no attribute `nothing_like_it`
  help: declare it in cookbooks/base/cookbook.toml, under [attributes.nothing_like_it]
error: cookbooks/base/recipes/default.toml:6:16: there is no `param` here
  help: `param` is what a custom kind takes; in a recipe, read `attr.<cookbook>.<name>`
error: cookbooks/base/recipes/default.toml:7:7: every turn of `for_each` would declare the same file
  help: put `{{ each.key }}` or `{{ each.value }}` into the name
error: cookbooks/base/recipes/default.toml:8:17: unexpected end of input, expected expression
  help: to write braces as they are, write `{{ '{{' }}`
error: cookbooks/base/recipes/default.toml:9:17: unknown filter `uper`
  help: did you mean `upper`?
error: cookbooks/base/recipes/default.toml:10:8: this is an expression already
  write "facts.x"
  help: braces mark an expression within a text; here nothing else can stand
error: cookbooks/base/recipes/default.toml:12:14: `each` has no `kye`
  did you mean `key`?
error: cookbooks/base/recipes/default.toml:16:4: `node` has no `nmae`
  did you mean `name`?
error: cookbooks/base/recipes/default.toml:18:9: unknown name `zzz`
  help: known here: facts, attr, node, each, name
error: cookbooks/base/recipes/default.toml:20:26: unexpected end of input, expected end of block
  help: to write braces as they are, write `{{ '{{' }}`
error: cookbooks/base/recipes/default.toml:21:13: `secret` takes the name of a secret, written out: `secret("db/password")`
  help: to write braces as they are, write `{{ '{{' }}`
"##,
    );
}

#[test]
fn names_that_depend_on_the_place() {
    check(
        r##"--- cookbooks/base/recipes/default.toml

[file."/a"]
content = "{{ query.backends }} {{ attr.base }} {{ name }} {{ facts['os'].name }}"
[file."/{{ name }}"]
[file."/b/{{ each.value }}"]
for_each = "each"
requires = "file[{{ each.value | nope }}]"
"##,
        r##"error: cookbooks/base/recipes/default.toml:3:15: queries are not supported yet
error: cookbooks/base/recipes/default.toml:4:12: unknown name `name`
  help: known here: facts, attr, node
error: cookbooks/base/recipes/default.toml:6:13: there is no `each` here
  help: `each` is what `for_each` gives to the other properties and the name of its resource
error: cookbooks/base/recipes/default.toml:7:34: unknown filter `nope`
"##,
    );
}

#[test]
fn templates_are_checked_where_they_are_used() {
    check(
        r##"--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"

[attributes.port]
type = "integer"
default = 1
--- cookbooks/base/templates/good.j2
{{ attr.base.port }} {{ facts.any.thing }} {{ name }} {{ title }} {{ maybe | default("x") }}
{% if other is defined %}{{ other }}{% endif %}
--- cookbooks/base/templates/bad.j2
line one
{% if x %}
--- cookbooks/base/templates/names.j2
{{ attr.base.prot }}
{{ titel }} {{ title }}
--- cookbooks/base/files/a/b.txt
x
--- cookbooks/base/recipes/default.toml
[file."/a"]
template = "good.j2"
vars = { title = "x" }
[file."/b"]
template = "bad.j2"
[file."/c"]
template = "names.j2"
vars = { title = "x", facts = 1, "a-b" = 2 }
[file."/c2"]
template = "names.j2"
vars = { title = "x" }
[file."/d"]
template = "god.j2"
[file."/e"]
template = "../secret"
[file."/f"]
source = "a/c.txt"
[file."/g"]
source = "a/b.txt"
content = "x"
[file."/h"]
vars = { a = 1 }
content = "x"
"##,
        r##"error: cookbooks/base/recipes/default.toml:8:23: the template would see `facts` of `vars` as something else
  help: choose another name; these are taken: facts, attr, node, each, param, name, query, secret
error: cookbooks/base/recipes/default.toml:8:34: a template cannot name `a-b`
  help: use letters, digits and _, a letter first
error: cookbooks/base/recipes/default.toml:13:12: there is no cookbooks/base/templates/god.j2
  did you mean `good.j2`?
error: cookbooks/base/recipes/default.toml:15:12: `../secret` is not a path below cookbooks/base/templates/
  help: write it relative to that directory, without `.`, `..` or a slash at either end
error: cookbooks/base/recipes/default.toml:17:10: there is no cookbooks/base/files/a/c.txt
  did you mean `a/b.txt`?
error: cookbooks/base/recipes/default.toml:20:1: both `source` and `content` say what the content is
  cookbooks/base/recipes/default.toml:19:1: the other one
  help: keep one of the two
error: cookbooks/base/recipes/default.toml:22:1: `vars` without a `template` that would see them
error: cookbooks/base/templates/bad.j2:2:9: unexpected end of input, expected end of block
error: cookbooks/base/templates/names.j2:1:4: cookbook `base` declares no attribute `prot`
  did you mean `port`?
  cookbooks/base/recipes/default.toml:7:12: the template is used here
error: cookbooks/base/templates/names.j2:2:4: unknown name `titel`
  did you mean `title`?
  cookbooks/base/recipes/default.toml:7:12: the template is used here
"##,
    );
}
