//! Recipes, and the catalogs that come of them.

use super::check;

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
        cookbooks/base/recipes/default.toml:3:8: `port` of nginx_site[a]: 400000 is greater than the maximum, 65535"#,
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
          cookbooks/base/recipes/default.toml:1:7: it is declared here first
          help: declare it once, or alike; `when` may choose between declarations that differ"#,
    );
}
