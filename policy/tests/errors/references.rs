//! Bad repositories: who names whom, and who waits for whom.

use super::check;

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
fn circles_within_and_through_custom_kinds() {
    check(
        r##"--- cookbooks/base/resources/site.toml
[file."/etc/{{ name }}"]
requires = "link[/etc/{{ name }}.on]"
[link."/etc/{{ name }}.on"]
to = "x"
--- cookbooks/base/resources/pool.toml
[file."/pool/{{ name }}"]
requires = "package[late]"
--- cookbooks/base/recipes/default.toml
[base_site.a]
[base_pool.a]
[package.late]
"##,
        r##"error: cookbooks/base/resources/pool.toml:2:12: resources wait for each other in a circle: base_pool[a] → package[late] → base_pool[a]
  base_pool[a] requires package[late]
  cookbooks/base/recipes/default.toml:3:10: package[late] is written after base_pool[a]
  help: remove one of these, or change the order; `ordered = false` on a recipe leaves only what is written
error: cookbooks/base/resources/site.toml:2:12: resources wait for each other in a circle: file[/etc/{{ name }}] → link[/etc/{{ name }}.on] → file[/etc/{{ name }}]
  file[/etc/{{ name }}] requires link[/etc/{{ name }}.on]
  cookbooks/base/resources/site.toml:3:7: link[/etc/{{ name }}.on] is written after file[/etc/{{ name }}]
  help: remove one of these, or change the order; `ordered = false` on a recipe leaves only what is written
"##,
    );
}
