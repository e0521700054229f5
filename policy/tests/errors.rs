//! Bad repositories, and what an author is told about them.

mod support;

use std::fmt::Write;

use converge_model::Diagnostic;
use converge_policy::{FileData, Repository, check as check_repository, compile};
use support::{TestKinds, repository};

/// One line for each diagnostic, one for each thing it says besides.
fn describe(found: &[Diagnostic]) -> String {
    let mut text = String::new();
    for diagnostic in found {
        let severity = format!("{:?}", diagnostic.severity).to_lowercase();
        let _ = writeln!(text, "{severity}: {diagnostic}");
        if !diagnostic.label.is_empty() {
            let _ = writeln!(text, "  {}", diagnostic.label);
        }
        for (span, note) in &diagnostic.related {
            let _ = writeln!(text, "  {}:{}:{}: {note}", span.file, span.line, span.column);
        }
        if let Some(help) = &diagnostic.help {
            let _ = writeln!(text, "  help: {help}");
        }
    }
    text
}

/// Checks the repository that `files` describes (see [`repository`]) and compares what is found.
#[track_caller]
fn check(files: &str, expected: &str) {
    check_files(&repository(files), expected);
}

#[track_caller]
fn check_files(files: &Repository, expected: &str) {
    let found = describe(&check_repository(files, &TestKinds));
    assert!(found == expected, "expected:\n{expected}\nfound:\n{found}");
}

#[test]
fn several_syntax_errors_are_found_at_once() {
    check(
        r##"--- cookbooks/base/recipes/default.toml

[file."/a"]
mode = 
content "x"

[file."/a"]
content = "x"
[file
"##,
        r##"error: cookbooks/base/recipes/default.toml:3:8: string values must be quoted, expected literal string
  help: the syntax is described at https://toml.io/en/v1.0.0
error: cookbooks/base/recipes/default.toml:4:9: key with no value, expected `=`
  help: the syntax is described at https://toml.io/en/v1.0.0
error: cookbooks/base/recipes/default.toml:8:6: unclosed table, expected `]`
  help: the syntax is described at https://toml.io/en/v1.0.0
"##,
    );
}

#[test]
fn a_repository_without_errors_says_nothing() {
    check(r##""##, r##""##);
}

#[test]
fn unknown_words_are_found_where_they_stand() {
    check(
        r##"--- cookbooks/base/recipes/default.toml

descripton = "typo"
[fiel."/a"]
[zebra."/a"]
[file."/a"]
contents = "hello"
quux = 1
[file."/b"]
content = "x"
ordered = false
"##,
        r##"error: cookbooks/base/recipes/default.toml:2:1: unknown key `descripton` in the recipe
  did you mean `description`?
error: cookbooks/base/recipes/default.toml:3:2: unknown kind `fiel`
  did you mean `file`?
error: cookbooks/base/recipes/default.toml:4:2: unknown kind `zebra`
  help: built-in kinds are file, link, package, service; a custom kind is called <cookbook>_<file in resources/>
error: cookbooks/base/recipes/default.toml:6:1: unknown property `contents` for file
  did you mean `content`?
error: cookbooks/base/recipes/default.toml:7:1: unknown property `quux` for file
  help: file takes: content, owner, mode, ensure, validate, template, vars, source
error: cookbooks/base/recipes/default.toml:10:1: unknown property `ordered` for file
  help: what belongs to the whole recipe stands above its first resource
"##,
    );
}

#[test]
fn wrong_types_are_found_before_any_node() {
    check(
        r##"--- cookbooks/base/recipes/default.toml

[file."/a"]
content = 5
mode = 644
owner = ["root"]
ensure = "gone"
validate = []
audit = "yes"
timeout = "soon"
retries = { count = 500 }
only_if = { exist = "/x" }
when = 1
for_each = true
[service.x]
running = "{{ 1 }}x"
enabled = "yes"
[link."/l"]
[package.p]
version = 2026-01-01
names = [nan, 99999999999999999999]
"##,
        r##"error: cookbooks/base/recipes/default.toml:2:7: every turn of `for_each` would declare the same file
  help: put `{{ each.key }}` or `{{ each.value }}` into the name
error: cookbooks/base/recipes/default.toml:3:11: `content` for file: expected text, found the integer 5
error: cookbooks/base/recipes/default.toml:4:8: `mode` for file: "644" is not a mode; write an octal string of three or four digits, such as "0644"
error: cookbooks/base/recipes/default.toml:5:9: `owner` for file: expected a string, found the list ["root"]
error: cookbooks/base/recipes/default.toml:6:10: `ensure` for file: gone is not one of `present`, `absent`
error: cookbooks/base/recipes/default.toml:7:12: `validate` for file: an argument vector needs a program first
error: cookbooks/base/recipes/default.toml:8:9: `audit` for file: expected `true` or `false`, found the string "yes"
error: cookbooks/base/recipes/default.toml:9:11: `timeout` for file: `soon` is not a duration; write for example `90s`, `5m` or `1h30m`
error: cookbooks/base/recipes/default.toml:10:11: `retries` for file: 500 retries are more than 100
error: cookbooks/base/recipes/default.toml:11:11: `only_if` for file: unknown key `exist`; known are: exists
error: cookbooks/base/recipes/default.toml:12:8: `when` for file must be an expression, `true` or `false`
error: cookbooks/base/recipes/default.toml:13:12: `for_each` for file must be an expression, a list or a map
error: cookbooks/base/recipes/default.toml:15:11: `running` for service: expected `true` or `false`, found text
  help: one whole `{{ expression }}`, with nothing around it, keeps its type
error: cookbooks/base/recipes/default.toml:16:11: `enabled` for service: expected `true` or `false`, found the string "yes"
error: cookbooks/base/recipes/default.toml:17:7: link[/l] needs `to`
error: cookbooks/base/recipes/default.toml:19:11: a value cannot be a date or time
  help: write it in quotes
error: cookbooks/base/recipes/default.toml:20:10: nan is not a number that a value can have
error: cookbooks/base/recipes/default.toml:20:15: 99999999999999999999 does not fit in 64 bits
"##,
    );
}

#[test]
fn names_are_checked() {
    check(
        r##"--- cookbooks/base/recipes/default.toml

[file."relative"]
[file."/a/../b"]
[file."/a\nb"]
[file."/a\u0000b"]
[file.""]
[file."/x"]
for_each = ["a"]
[file]
"/y" = 1
[[package]]
name = "x"
"##,
        r##"error: cookbooks/base/recipes/default.toml:2:7: "relative" is not an absolute path; it must begin with /
  help: the name of such a resource is its absolute path
error: cookbooks/base/recipes/default.toml:3:7: the path "/a/../b" holds `..`; write where it leads
  help: the name of such a resource is its absolute path
error: cookbooks/base/recipes/default.toml:4:7: the name "/a\nb" of a file holds the control character '\n'
  help: the name of such a resource is its absolute path
error: cookbooks/base/recipes/default.toml:5:7: the name "/a\0b" of a file holds the control character '\0'
  help: the name of such a resource is its absolute path
error: cookbooks/base/recipes/default.toml:6:7: a file needs a name; this one is empty
  help: the name of such a resource is its absolute path
error: cookbooks/base/recipes/default.toml:7:7: every turn of `for_each` would declare the same file
  help: put `{{ each.key }}` or `{{ each.value }}` into the name
error: cookbooks/base/recipes/default.toml:10:1: `/y` is not a resource
  help: a resource is a table: [file.NAME], with its properties below
error: cookbooks/base/recipes/default.toml:11:3: a resource needs a name
  help: write [package.NAME], with single brackets
"##,
    );
}

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
owner = "{{ secret('db') }}{{ query.backends }}"
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
error: cookbooks/base/recipes/default.toml:21:13: the function `secret` is not available in this version
  help: declare an attribute with `secret = true` and set it instead
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
  help: choose another name; these are taken: facts, attr, node, each, param, name, query
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

#[test]
fn references_must_lead_somewhere() {
    check(
        r##"--- cookbooks/base/recipes/default.toml

[service.nginx]
[file."/etc/x/{{ facts.os }}.conf"]
[file."/a"]
requires = "servcie[nginx]"
before = ["service[ngnix]", "nonsense", "file[]"]
notifies = { reload = "service[nginx]", timing = "soon" }
[file."/b"]
requires = ["file[/etc/x/debian.conf]", "file[/etc/y/debian.conf]", "file[{{ facts.y }}]", "file[/var/{{ facts.y }}]"]
notifies = [{ reloda = "service[nginx]" }, { reload = "file[/a]" }, {}]
subscribes = { restart = "file[/a]" }
[file."/c"]
notifies = "service[nginx]"
[service.x]
subscribes = { restart = ["file[/a]", "file[/z]"], timing = "immediate" }
"##,
        r##"error: cookbooks/base/recipes/default.toml:5:12: unknown kind `servcie`
  did you mean `service`?
error: cookbooks/base/recipes/default.toml:6:11: policy `web` declares no service[ngnix]
  did you mean `service[nginx]`?
error: cookbooks/base/recipes/default.toml:6:29: "nonsense" is not a resource; write `kind[name]`, for example `service[nginx]`
error: cookbooks/base/recipes/default.toml:6:41: a file needs a name; this one is empty
error: cookbooks/base/recipes/default.toml:7:50: `soon` is no timing
  help: write "immediate", or "delayed" for the end of the run, which is the default
error: cookbooks/base/recipes/default.toml:9:41: policy `web` declares no file[/etc/y/debian.conf]
  help: declare it, or put the recipe that does into the run list
error: cookbooks/base/recipes/default.toml:9:92: policy `web` declares no file[/var/{{ facts.y }}]
  help: declare it, or put the recipe that does into the run list
error: cookbooks/base/recipes/default.toml:10:24: service has no action `reloda`
  did you mean `reload`?
  help: its actions: reload, restart
error: cookbooks/base/recipes/default.toml:10:55: file has no action `reload`
  help: its actions: none
error: cookbooks/base/recipes/default.toml:10:69: `notifies` names no resource
  help: write `notifies = { reload = "service[nginx]" }`
error: cookbooks/base/recipes/default.toml:11:26: file has no action `restart`
  help: its actions: none
error: cookbooks/base/recipes/default.toml:13:12: `notifies` must say what is to be done
  help: write `notifies = { reload = "service[nginx]" }`
error: cookbooks/base/recipes/default.toml:15:39: policy `web` declares no file[/z]
  help: declare it, or put the recipe that does into the run list
"##,
    );
}

#[test]
fn circles_are_shown_with_every_place() {
    check(
        r##"--- cookbooks/base/recipes/default.toml

ordered = false
[file."/a"]
requires = "file[/b]"
[file."/b"]
requires = "file[/c]"
[file."/c"]
requires = "file[/a]"
[file."/d"]
before = "file[/e]"
[file."/e"]
before = "file[/d]"
[file."/f"]
requires = "file[/f]"
"##,
        r##"error: cookbooks/base/recipes/default.toml:8:12: resources wait for each other in a circle: file[/c] → file[/a] → file[/b] → file[/c]
  file[/c] requires file[/a]
  cookbooks/base/recipes/default.toml:4:12: file[/a] requires file[/b]
  cookbooks/base/recipes/default.toml:6:12: file[/b] requires file[/c]
  help: remove one of these, or change the order; `ordered = false` on a recipe leaves only what is written
error: cookbooks/base/recipes/default.toml:12:10: resources wait for each other in a circle: file[/d] → file[/e] → file[/d]
  file[/e] comes before file[/d]
  cookbooks/base/recipes/default.toml:10:10: file[/d] comes before file[/e]
  help: remove one of these, or change the order; `ordered = false` on a recipe leaves only what is written
error: cookbooks/base/recipes/default.toml:14:12: file[/f] waits for itself
  help: remove the reference
"##,
    );
}

#[test]
fn an_ordered_recipe_is_a_chain() {
    check(
        r##"--- cookbooks/base/recipes/default.toml

[file."/a"]
requires = "file[/b]"
[file."/b"]
"##,
        r##"error: cookbooks/base/recipes/default.toml:3:12: resources wait for each other in a circle: file[/a] → file[/b] → file[/a]
  file[/a] requires file[/b]
  cookbooks/base/recipes/default.toml:4:7: file[/b] is written after file[/a]
  help: remove one of these, or change the order; `ordered = false` on a recipe leaves only what is written
"##,
    );
}

#[test]
fn recipes_that_require_each_other() {
    check(
        r##"--- cookbooks/base/recipes/default.toml
requires = ["base::one", "base::default", "base::tow", "other"]
--- cookbooks/base/recipes/one.toml
requires = ["base"]
--- policies/web.toml
name = "web"
run_list = ["base", "base::one"]
--- policies/half.toml
name = "half"
run_list = ["base::one"]
"##,
        r##"error: cookbooks/base/recipes/default.toml:1:13: recipes require each other in a circle: base::one → base::default → base::one
  cookbooks/base/recipes/one.toml:1:13: and here
  help: remove one of the `requires`, or change the order of the run list
error: cookbooks/base/recipes/default.toml:1:26: the recipe requires itself
error: cookbooks/base/recipes/default.toml:1:43: cookbook `base` has no recipe `tow`
  help: it has: base::default, base::one
error: cookbooks/base/recipes/default.toml:1:56: cookbook `other` is not in the repository
error: cookbooks/base/recipes/one.toml:1:13: recipe `base::one` requires `base::default`, which policy `half` does not run
  help: add "base::default" to the run list in policies/half.toml
"##,
    );
}

#[test]
fn an_edge_against_the_order_of_recipes() {
    check(
        r##"--- cookbooks/base/recipes/default.toml
requires = ["base::one"]
[file."/b"]
--- cookbooks/base/recipes/one.toml
[file."/a"]
requires = "file[/b]"
--- policies/web.toml
name = "web"
run_list = ["base", "base::one"]
"##,
        r##"error: cookbooks/base/recipes/one.toml:2:12: resources wait for each other in a circle: file[/a] → file[/b] → file[/a]
  file[/a] requires file[/b]
  cookbooks/base/recipes/default.toml:2:7: file[/b] is in base::default, which comes after base::one
  help: remove one of these, or change the order; `ordered = false` on a recipe leaves only what is written
"##,
    );
}

#[test]
fn the_same_resource_twice() {
    check(
        r##"--- cookbooks/base/recipes/default.toml
[file."/a"]
content = "x"
mode = "0600"
[file."/b"]
content = "same"
--- cookbooks/base/recipes/one.toml
[file."/a"]
content = "y"
mode = "0600"

[file."/b"]
content = "same"
--- policies/web.toml
name = "web"
run_list = ["base", "base::one"]
"##,
        r##"error: cookbooks/base/recipes/one.toml:1:7: file[/a] is declared twice, in different ways
  `content` differs
  cookbooks/base/recipes/default.toml:1:7: the other declaration
  help: declare it once, or make both the same
"##,
    );
}

#[test]
fn policies_are_checked() {
    check(
        r##"--- policies/web.toml
name = "wbe"
run_list = ["bsae", "base::tls", "base", 5]
include = ["hardned", "loop"]
orphans = "romove"
[attributes.base]
x = 1
[attributes.bsae]
x = 1
[attributes.unused]
y = 2
[queries.backends]
policy = "app"
[exports]
port = 1
[groups.prod]
attribtes = {}
--- policies/hardened.toml
name = "hardened"
--- policies/loop.toml
name = "loop"
include = ["web"]
--- policies/Bad Name.toml
name = "Bad Name"
--- policies/empty.toml
--- policies/sub/x.toml
--- cookbooks/unused/cookbook.toml
name = "unused"
version = "1.0.0"
[attributes.y]
type = "integer"
"##,
        r##"warning: policies/sub/x.toml is not read
  help: recipes, custom kinds and policies lie in their directory, not further below
error: policies/Bad Name.toml:1:1: `Bad Name` cannot be the name of a policy
  help: use lower-case letters, digits, _ and -, at most 64 of them
error: policies/empty.toml:1:1: the policy has no `name`
  help: add `name = "empty"`
error: policies/web.toml:1:8: policy `wbe` is in policies/web.toml
  write "web", or rename the file
error: policies/web.toml:2:13: cookbook `bsae` is not in the repository
  did you mean `base`?
error: policies/web.toml:2:21: cookbook `base` has no recipe `tls`
  help: it has: base::default
error: policies/web.toml:2:42: an item of `run_list` must be a string
  this is an integer
error: policies/web.toml:3:12: there is no policy `hardned`
  did you mean `hardened`?
error: policies/web.toml:3:23: policies include each other in a circle: loop → web → loop
  help: remove one of the includes
error: policies/web.toml:4:11: `romove` is nothing that can happen to orphans
  did you mean `remove`?
  help: write "report", which is the default, or "remove"
error: policies/web.toml:6:1: cookbook `base` declares no attribute `x`
  help: it declares none
error: policies/web.toml:7:13: cookbook `bsae` is not in the repository
  did you mean `base`?
warning: policies/web.toml:9:13: nothing in the run list uses cookbook `unused`
  help: these values have no effect: remove them, or add a recipe of the cookbook to the run list
error: policies/web.toml:11:2: `queries` is not supported yet
  help: set what other nodes would say as an attribute
error: policies/web.toml:13:2: `exports` is not supported yet
  help: set what other nodes would say as an attribute
error: policies/web.toml:16:1: unknown key `attribtes` in group `prod`
  did you mean `attributes`?
"##,
    );
}

#[test]
fn cookbooks_are_checked() {
    check(
        r##"--- cookbooks/base/cookbook.toml
name = "bsae"
version = "1"
descripton = "x"
supports = ["debian >= 11", "debian 11", "my os"]
[depends]
other = "^2"
missing = "*"
toher = "*"
broken = "new"
--- cookbooks/other/cookbook.toml
name = "other"
version = "1.5.0"
[depends]
base = "*"
--- cookbooks/broken/cookbook.toml
--- cookbooks/none/recipes/default.toml
--- cookbooks/Bad-Name/cookbook.toml
name = "Bad-Name"
version = "1.0.0"
"##,
        r##"error: cookbooks/none has no cookbook.toml
  help: write it, with `name = "none"` and `version = "1.0.0"`
error: cookbooks/Bad-Name/cookbook.toml:1:1: `Bad-Name` cannot be the name of a cookbook: use lower-case letters, digits and _, a letter first
  help: rename its directory
error: cookbooks/base/cookbook.toml:1:8: cookbook `bsae` is in the directory cookbooks/base
  write "base", or rename the directory
error: cookbooks/base/cookbook.toml:2:11: `1` is no version: unexpected end of input while parsing major version number
  help: a version has three numbers, such as "1.4.0" (https://semver.org)
error: cookbooks/base/cookbook.toml:3:1: unknown key `descripton` in cookbook.toml
  did you mean `description`?
error: cookbooks/base/cookbook.toml:4:29: `debian 11` is no system that can be supported
  help: write for example "debian" or "debian >= 11" (operators: >=, >, <=, <, =)
error: cookbooks/base/cookbook.toml:4:42: `my os` is no system that can be supported
  help: write for example "debian" or "debian >= 11" (operators: >=, >, <=, <, =)
error: cookbooks/base/cookbook.toml:6:1: cookbook `base` needs `other` ^2
  the repository has 1.5.0
  cookbooks/other/cookbook.toml:2:11: its version
error: cookbooks/base/cookbook.toml:6:1: cookbooks depend on each other in a circle: base → other → base
  cookbooks/other/cookbook.toml:4:1: and here
  help: move what both need into a cookbook of its own
error: cookbooks/base/cookbook.toml:7:1: cookbook `missing` is not in the repository
error: cookbooks/base/cookbook.toml:8:1: cookbook `toher` is not in the repository
  did you mean `other`?
error: cookbooks/base/cookbook.toml:9:10: `new` is no version requirement: unexpected character 'n' while parsing major version number
  help: write for example "^2", ">= 1.2, < 3" or "*"
error: cookbooks/broken/cookbook.toml:1:1: the cookbook has no `name`
  help: add `name = "broken"`
error: cookbooks/broken/cookbook.toml:1:1: the cookbook has no `version`
  help: add `version = "1.0.0"`
"##,
    );
}

#[test]
fn attributes_are_checked() {
    check(
        r##"--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"

[attributes.no_type]
[attributes.bad_type]
type = "text"
[attributes."bad-name"]
type = "string"
[attributes.number]
type = "integer"
minimum = 10
maximum = 1
default = 5
[attributes.low]
type = "integer"
minimum = 1
default = 0
[attributes.word]
type = "string"
one_of = ["a", "b", 3]
default = "c"
[attributes.pattern]
type = "string"
pattern = "(["
[attributes.wrong]
type = "list"
pattern = "x"
minimum = 1
default = "text {{ facts.x }}"
[attributes.both]
type = "string"
required = true
default = "x"
[attributes.typo]
type = "string"
defualt = "x"
[attributes.expression]
type = "integer"
default = "{{ attr.base.nubmer }}"
[attributes.flat]
type = "map"
default = { "$x" = 1, "{{ y }}" = 2 }
--- cookbooks/base/recipes/default.toml
"##,
        r##"error: cookbooks/base/cookbook.toml:4:13: attribute `no_type` has no type
  help: add `type = "string"`; types are string, integer, float, boolean, list, map
error: cookbooks/base/cookbook.toml:6:8: unknown type `text`
  help: types are string, integer, float, boolean, list, map
error: cookbooks/base/cookbook.toml:7:13: `bad-name` cannot be the name of an attribute
  help: use lower-case letters, digits and _, a letter first: expressions must be able to name it
error: cookbooks/base/cookbook.toml:11:1: the minimum is greater than the maximum
error: cookbooks/base/cookbook.toml:13:11: 5 is less than the minimum, 10
error: cookbooks/base/cookbook.toml:17:11: 0 is less than the minimum, 1
error: cookbooks/base/cookbook.toml:20:21: expected a string, found the integer 3
error: cookbooks/base/cookbook.toml:21:11: `c` is not one of `a`, `b`
error: cookbooks/base/cookbook.toml:24:11: the pattern is no regular expression: found unclosed character class
error: cookbooks/base/cookbook.toml:27:11: a list has no pattern
error: cookbooks/base/cookbook.toml:28:1: a list has no minimum or maximum
error: cookbooks/base/cookbook.toml:29:11: expected a list, found text
  help: one whole `{{ expression }}`, with nothing around it, keeps its type
error: cookbooks/base/cookbook.toml:32:1: `both` is required and has a default
  cookbooks/base/cookbook.toml:33:1: the default
  help: with a default it never lacks a value: drop one of the two
error: cookbooks/base/cookbook.toml:36:1: unknown key `defualt` in attribute `typo`
  did you mean `default`?
error: cookbooks/base/cookbook.toml:39:15: cookbook `base` declares no attribute `nubmer`
  did you mean `number`?
error: cookbooks/base/cookbook.toml:42:13: the key `$x` begins with `$`
  help: such keys are kept for the graph; choose another
error: cookbooks/base/cookbook.toml:42:23: a key cannot hold an expression
  help: compute the whole map in one expression, or use `for_each`
error: policies/web.toml:2:13: policy `web` does not set `both` of cookbook `base`
  the cookbook requires it
  help: add `both = …` to [attributes.base] in policies/web.toml
"##,
    );
}

#[test]
fn settings_are_held_against_declarations() {
    check(
        r##"--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"

[attributes.workers]
type = "integer"
maximum = 64
[attributes.domain]
type = "string"
required = true
[attributes.secret]
type = "string"
required = true
node_settable = true
--- cookbooks/base/recipes/default.toml
--- policies/web.toml
name = "web"
run_list = ["base"]
[attributes.base]
workers = 65
wrokers = 1
[groups.prod.attributes.base]
workers = "many"
[groups.dev.attributes.base]
workers = "{{ attr.base.domian }}"
"##,
        r##"error: policies/web.toml:2:13: policy `web` does not set `domain` of cookbook `base`
  the cookbook requires it
  help: add `domain = …` to [attributes.base] in policies/web.toml
error: policies/web.toml:4:11: 65 is greater than the maximum, 64
error: policies/web.toml:5:1: cookbook `base` declares no attribute `wrokers`
  did you mean `workers`?
error: policies/web.toml:7:11: expected an integer, found the string "many"
error: policies/web.toml:9:15: cookbook `base` declares no attribute `domian`
  did you mean `domain`?
"##,
    );
}

#[test]
fn custom_kinds_are_checked() {
    check(
        r##"--- cookbooks/base/resources/site.toml
descripton = "x"
[parameters.server_name]
type = "string"
required = true
[parameters.port]
type = "integer"
maximum = 65535
default = 80
[parameters.when]
type = "string"
[file."/etc/sites/{{ name }}"]
content = "{{ param.prot }} {{ param.port }} {{ port }}"
notifies = { reload = "service[nginx]" }
--- cookbooks/base/resources/loop.toml
[base_pool."{{ name }}"]
--- cookbooks/base/resources/pool.toml
[base_loop."{{ name }}"]
--- cookbooks/base/resources/Bad.toml
--- cookbooks/other/cookbook.toml
name = "other"
version = "1.0.0"
--- cookbooks/other/resources/thing.toml
[package.x]
--- cookbooks/base/recipes/default.toml
[service.nginx]
[base_site.shop]
port = 70000
sever_name = "x"
[base_sit.shop]
[other_thing.x]
[file."/a"]
notifies = [{ reload = "base_site[shop]" }, { reload = "other_thing[x]" }]
requires = "base_site[shpo]"
"##,
        r##"error: cookbooks/base/recipes/default.toml:2:12: base_site[shop] needs `server_name`
error: cookbooks/base/recipes/default.toml:3:8: 70000 is greater than the maximum, 65535
error: cookbooks/base/recipes/default.toml:4:1: unknown property `sever_name` for base_site
  did you mean `server_name`?
error: cookbooks/base/recipes/default.toml:5:2: unknown kind `base_sit`
  did you mean `base_site`?
error: cookbooks/base/recipes/default.toml:6:2: cookbook `base` does not depend on `other`, whose kind this is
  help: add `other = "*"` to [depends] in cookbooks/base/cookbook.toml
error: cookbooks/base/recipes/default.toml:8:24: nothing within base_site has an action `reload`
  help: notify the resource itself, where it is declared outside the custom kind
error: cookbooks/base/recipes/default.toml:8:56: nothing within other_thing has an action `reload`
  help: notify the resource itself, where it is declared outside the custom kind
error: cookbooks/base/resources/Bad.toml:1:1: "base_Bad" is not the name of a kind (lower-case letters, digits and _, a letter first)
  help: rename Bad.toml: lower-case letters, digits and _
error: cookbooks/base/resources/loop.toml:1:12: a custom kind contains itself: base_loop → base_pool → base_loop
  cookbooks/base/resources/pool.toml:1:12: and here
  help: a custom kind is made of other kinds; take this resource out of it
error: cookbooks/base/resources/site.toml:1:1: unknown key `descripton` in the custom kind
  did you mean `description`?
error: cookbooks/base/resources/site.toml:2:2: every kind has a property `when` already
  help: choose another name for the parameter
error: cookbooks/base/resources/site.toml:12:15: `param` has no `prot`
  did you mean `port`?
error: cookbooks/base/resources/site.toml:12:49: unknown name `port`
  did you mean `param.port`?
"##,
    );
}

#[test]
fn recursion_of_a_custom_kind() {
    check(
        r##"--- cookbooks/base/resources/site.toml
[base_site."{{ name }}x"]
"##,
        r##"error: cookbooks/base/resources/site.toml:1:12: a custom kind contains itself: base_site → base_site
  help: a custom kind is made of other kinds; take this resource out of it
"##,
    );
}

#[test]
fn what_lies_in_wrong_places() {
    check(
        r##"--- converge.toml
stroe = "x"
store = "127.0.0.1"
signing_key = "x"
--- cookbooks/base/recipes/sub/x.toml
--- cookbooks/base/recipes/white space.toml
"##,
        r##"warning: cookbooks/base/recipes/sub/x.toml is not read
  help: recipes, custom kinds and policies lie in their directory, not further below
error: converge.toml:1:1: unknown key `stroe` in converge.toml
  did you mean `store`?
error: converge.toml:2:9: `127.0.0.1` is not the address of a store
  help: write for example `store = "http://127.0.0.1:8600"`
error: converge.toml:3:1: `signing_key` is not supported yet
error: cookbooks/base/recipes/white space.toml:1:1: `white space` cannot be the name of a recipe
  help: rename the file: letters, digits, _ and -
"##,
    );
}

#[test]
fn recipes_that_no_policy_runs_are_checked_too() {
    check(
        r##"--- cookbooks/base/recipes/unused.toml
ordered = false
[file."/a"]
requires = ["file[/b]", "file[/elsewhere]"]
[file."/b"]
requires = "file[/a]"
notifies = { reload = "service[no]" }
--- cookbooks/base/recipes/default.toml
[file."/elsewhere"]
"##,
        r##"error: cookbooks/base/recipes/unused.toml:3:13: resources wait for each other in a circle: file[/a] → file[/b] → file[/a]
  file[/a] requires file[/b]
  cookbooks/base/recipes/unused.toml:5:12: file[/b] requires file[/a]
  help: remove one of these, or change the order; `ordered = false` on a recipe leaves only what is written
error: cookbooks/base/recipes/unused.toml:6:23: the repository declares no service[no]
  help: declare it, or put the recipe that does into the run list
"##,
    );
}

#[test]
fn depth_has_a_limit() {
    check(
        r##"--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"
[attributes.a]
type="list"
default = [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]
--- cookbooks/base/recipes/default.toml
"##,
        r##"error: cookbooks/base/cookbook.toml:5:76: lists and maps nest deeper than 64
"##,
    );
}

#[test]
fn syntax_errors_of_headers() {
    check(
        r##"--- cookbooks/base/recipes/default.toml

[file."/a"]
mode = "0644"
mode = "0600"
[file."/a"]
content = "x"
"##,
        r##"error: cookbooks/base/recipes/default.toml:4:1: `mode` twice
  help: keep one of the two
error: cookbooks/base/recipes/default.toml:5:7: [file."/a"] twice
  cookbooks/base/recipes/default.toml:2:1: first here
  help: merge the two into one
"##,
    );
}

#[test]
fn more_expressions() {
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
fn files_that_are_no_text_are_named_with_the_byte() {
    let mut files = repository("");
    let path = "cookbooks/base/recipes/default.toml";
    files.files.insert(path.to_owned(), FileData::Bytes(b"# fine\n# \xff\n".to_vec()));
    files.files.insert("cookbooks/base/templates/x.j2".to_owned(), FileData::Blob(converge_model::BlobRef::of(b"x")));
    check_files(
        &files,
        "error: cookbooks/base/recipes/default.toml is not UTF-8: byte 0xff at offset 9, in line 2
  help: save the file as UTF-8; what is not text belongs below files/
error: cookbooks/base/templates/x.j2 was not read
  help: documents and templates must be at hand to be compiled
",
    );
}

#[test]
fn a_key_of_a_thousand_parts_is_refused_before_it_is_read() {
    let key = vec!["a"; 100_000].join(".");
    let found =
        check_repository(&repository(&format!("--- cookbooks/base/recipes/default.toml\n{key} = 1\n")), &TestKinds);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].message, "a key has more than 500 parts");
}

#[test]
fn compiling_a_policy_finds_what_is_wrong_with_what_it_reaches_and_nothing_else() {
    let files = "--- cookbooks/other/cookbook.toml\nbroken\n--- policies/else.toml\nbroken\n";
    assert!(compile(&repository(files), "web", &TestKinds).is_ok());
    let broken = format!("{files}--- cookbooks/base/recipes/unused.toml\n[fiel.x]\n");
    let found = compile(&repository(&broken), "web", &TestKinds).unwrap_err();
    assert_eq!(found.len(), 1, "{found:?}");
    let found = compile(&repository(files), "wbe", &TestKinds).unwrap_err();
    assert_eq!(describe(&found), "error: there is no policy `wbe` in the repository\n  help: did you mean `web`?\n");
}

#[test]
fn nothing_panics_on_what_is_cut_short() {
    let whole = "--- cookbooks/base/recipes/default.toml\nrequires = [\"base\"]\n[file.\"/é{{ each.key }}\"]\nfor_each = \"facts.x\"\n\
                 content = \"\"\"\n{{ attr.base.é }}\"\"\"\nnotifies = { reload = \"service[ü]\" }\n[service.'ü']\n\
                 when = \"x ~ 'é'\"\n";
    for end in (0..=whole.len()).filter(|&end| whole.is_char_boundary(end)) {
        let files = repository(&whole[..end]);
        for found in check_repository(&files, &TestKinds) {
            assert!(!converge_policy::render::diagnostic(&found, &files, Default::default()).is_empty());
        }
    }
}
