//! Bad repositories: policies, cookbooks and attributes.

use super::check;

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
fn attributes_that_need_each_other() {
    check(
        r##"--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"

[attributes.a]
type = "integer"
default = "{{ attr.base.b }}"
[attributes.b]
type = "integer"
default = "{{ attr.base.a }}"
[attributes.c]
type = "string"
default = "{{ attr.base.d }}"
[attributes.d]
type = "string"
default = "{{ attr.base.c }}"
--- cookbooks/base/recipes/default.toml
--- policies/web.toml
name = "web"
run_list = ["base"]
[attributes.base]
c = "x"
[groups.prod.attributes.base]
a = 1
"##,
        r##"error: cookbooks/base/cookbook.toml:6:11: attributes need each other: base.a needs base.b needs base.a
  cookbooks/base/cookbook.toml:9:11: attribute `base.b` is set here
  help: set one of them to a value that does not need the others
"##,
    );
}

#[test]
fn policies_that_others_include() {
    check(
        r##"--- cookbooks/base/cookbook.toml
name = "base"
version = "1.0.0"

[attributes.x]
type = "integer"
default = 1
[attributes.y]
type = "integer"
default = 1
--- cookbooks/base/recipes/default.toml
--- policies/hardened.toml
name = "hardened"
[attributes.base]
x = "{{ attr.base.y + facts.cpu.count }}"
z = 1
[attributes.other]
x = 1
--- policies/web.toml
name = "web"
run_list = ["base"]
include = ["hardened"]
--- cookbooks/other/cookbook.toml
name = "other"
version = "1.0.0"
[attributes.x]
type = "integer"
"##,
        r##"error: policies/hardened.toml:4:1: cookbook `base` declares no attribute `z`
  help: it declares: x, y
"##,
    );
}
