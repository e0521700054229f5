//! Bad repositories: names and properties of resources.

use super::check;

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
fn what_is_often_mistyped_is_told_with_the_right_words() {
    check(
        r##"--- cookbooks/base/recipes/default.toml
[file."/a"]
mode = 0644
--- cookbooks/base/recipes/one.toml
[file."/a"]
when = "facts.os.name = 'debian'"
content = "{{ 1 if facts.os.name = 2 }}"
"##,
        r##"error: cookbooks/base/recipes/default.toml:2:8: a number cannot begin with 0
  help: write a mode in quotes, as in "0644"; any other number without the zero
error: cookbooks/base/recipes/one.toml:2:23: unexpected input after expression
  help: to compare, write `==`
error: cookbooks/base/recipes/one.toml:3:34: unexpected input after expression
  help: to compare, write `==`
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
