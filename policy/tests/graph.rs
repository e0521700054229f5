//! A good repository, and the graph that it becomes.

#![expect(clippy::panic, reason = "a test's helper fails the test")]

mod support;

use converge_model::{BlobRef, Graph};
use converge_policy::{BlobPlace, Compiled, FileData, Repository, compile};
use support::{TestKinds, repository};

const REPOSITORY: &str = r##"--- cookbooks/base/cookbook.toml
name = "base"
version = "2.1.0"
[attributes.domain]
type = "string"
required = true
pattern = "[a-z.]+"
[attributes.tuning]
type = "map"
default = { swap = false }
--- cookbooks/base/recipes/default.toml
[package.curl]
--- cookbooks/nginx/cookbook.toml
name = "nginx"
version = "1.4.0"
supports = ["debian >= 11"]
[depends]
base = "^2"
[attributes.sites]
type = "map"
default = {}
[attributes.workers]
type = "integer"
minimum = 1
default = "{{ facts.cpu.count }}"
node_settable = true
description = "How many"
--- cookbooks/nginx/recipes/default.toml
description = "Web server"
ordered = false
[package.nginx]
retries = { count = 3, delay = "5s" }
timeout = "{{ attr.nginx.workers }}m"
[file."/etc/nginx/nginx.conf"]
template = "nginx.conf.j2"
vars = { list = [1, "{{ attr.base.domain }}"] }
mode = "0644"
requires = "package[nginx]"
notifies = [{ reload = "service[nginx]" }, { restart = ["service[nginx]"], timing = "immediate" }]
[file."/etc/nginx/{{ each.key }}.conf"]
for_each = "attr.nginx.sites"
when = "each.value.enabled"
source = "{{ facts.os.family }}.conf"
not_if = { exists = "/x" }
audit = true
[nginx_site.shop]
server_name = "shop.{{ attr.base.domain }}"
[service.nginx]
running = true
enabled = "{{ facts.init == 'systemd' }}"
subscribes = { restart = "package[nginx]" }
before = ["nginx_site[shop]"]
--- cookbooks/nginx/resources/site.toml
[parameters.server_name]
type = "string"
required = true
[file."/etc/sites/{{ name }}"]
content = "{{ param.server_name }}"
--- cookbooks/nginx/templates/nginx.conf.j2
{{ list }} {{ attr.nginx.workers }}
--- cookbooks/nginx/files/debian.conf
debian
--- cookbooks/nginx/files/redhat.conf
redhat
--- policies/web.toml
name = "web"
run_list = ["nginx"]
include = ["hardened"]
orphans = "remove"
[attributes.nginx]
workers = 8
[groups.prod.attributes.nginx]
workers = 16
--- policies/hardened.toml
name = "hardened"
run_list = ["base"]
[attributes.base]
domain = "example.org"
"##;

const GRAPH: &str = r##"{
  "format": 2,
  "policy": "web",
  "orphans": "remove",
  "sources": [
    "cookbooks/base/cookbook.toml",
    "cookbooks/base/recipes/default.toml",
    "cookbooks/nginx/cookbook.toml",
    "cookbooks/nginx/recipes/default.toml",
    "cookbooks/nginx/resources/site.toml",
    "policies/hardened.toml",
    "policies/web.toml"
  ],
  "cookbooks": [
    {
      "name": "base",
      "version": "2.1.0",
      "attributes": {
        "domain": {"type": "string", "pattern": "[a-z.]+", "required": true, "at": [0, 3, 13]},
        "tuning": {"type": "map", "default": [{"swap": false}, [9, 11]], "at": [0, 7, 13]}
      }
    },
    {
      "name": "nginx",
      "version": "1.4.0",
      "supports": ["debian >= 11"],
      "attributes": {
        "sites": {"type": "map", "default": [{}, [8, 11]], "at": [2, 6, 13]},
        "workers": {
          "type": "integer",
          "minimum": 1,
          "node_settable": true,
          "default": [{"$expression": "facts.cpu.count"}, [12, 11]],
          "description": "How many",
          "at": [2, 9, 13]
        }
      }
    }
  ],
  "levels": [
    {"policy": "hardened", "attributes": {"base": {"domain": {"value": "example.org", "at": [5, 4, 1]}}}},
    {"policy": "web", "attributes": {"nginx": {"workers": {"value": 8, "at": [6, 6, 1]}}}},
    {"policy": "web", "group": "prod", "attributes": {"nginx": {"workers": {"value": 16, "at": [6, 8, 1]}}}}
  ],
  "recipes": [
    {
      "name": "base::default",
      "cookbook": 0,
      "resources": [{"kind": "package", "name": "curl", "at": [1, 1, 10]}]
    },
    {
      "name": "nginx::default",
      "cookbook": 1,
      "unordered": true,
      "requires": [0],
      "resources": [
        {
          "kind": "package",
          "name": "nginx",
          "at": [3, 3, 10],
          "timeout": [{"$text": "{{ attr.nginx.workers }}m"}, [5, 11]],
          "retries": [{"count": 3, "delay": "5s"}, [4, 11]]
        },
        {
          "kind": "file",
          "name": "/etc/nginx/nginx.conf",
          "at": [3, 6, 7],
          "properties": {"mode": ["0644", [9, 8]]},
          "content": {
            "template": {
              "path": "nginx.conf.j2",
              "vars": {"list": [[1, {"$expression": "attr.base.domain"}], [8, 17]]},
              "at": [7, 12]
            }
          },
          "requires": [["package[nginx]", [10, 12]]],
          "notifies": [
            {"action": "reload", "resource": "service[nginx]", "at": [11, 24]},
            {"action": "restart", "resource": "service[nginx]", "timing": "immediate", "at": [11, 57]}
          ]
        },
        {
          "kind": "file",
          "name": {"$text": "/etc/nginx/{{ each.key }}.conf"},
          "at": [3, 12, 7],
          "content": {"file": {"path": {"$text": "{{ facts.os.family }}.conf"}, "at": [15, 10]}},
          "for_each": [{"$expression": "attr.nginx.sites"}, [13, 12]],
          "when": [{"$expression": "each.value.enabled"}, [14, 8]],
          "not_if": [{"exists": "/x"}, [16, 10]],
          "audit": [true, [17, 9]]
        },
        {
          "kind": "nginx_site",
          "name": "shop",
          "at": [3, 18, 13],
          "properties": {"server_name": [{"$text": "shop.{{ attr.base.domain }}"}, [19, 15]]}
        },
        {
          "kind": "service",
          "name": "nginx",
          "at": [3, 20, 10],
          "properties": {"enabled": [{"$expression": "facts.init == 'systemd'"}, [22, 11]], "running": [true, [21, 11]]},
          "before": [["nginx_site[shop]", [24, 11]]],
          "subscribes": [{"action": "restart", "resource": "package[nginx]", "at": [23, 26]}]
        }
      ]
    }
  ],
  "kinds": {
    "nginx_site": {
      "cookbook": 1,
      "parameters": {"server_name": {"type": "string", "required": true, "at": [4, 1, 13]}},
      "resources": [
        {
          "kind": "file",
          "name": {"$text": "/etc/sites/{{ name }}"},
          "at": [4, 4, 7],
          "properties": {"content": [{"$expression": "param.server_name"}, [5, 11]]}
        }
      ]
    }
  },
  "blobs": {
    "nginx/files/debian.conf": {
      "digest": "53ad2edfc7474c3122e601b9f23fca705eae85b405c7c52b9b53d400618a9bd4",
      "size": 7
    },
    "nginx/files/redhat.conf": {
      "digest": "75fa176aecdc7a1b6b53778b38eac87c7152d5c916a755cb56071a93c01e040d",
      "size": 7
    },
    "nginx/templates/nginx.conf.j2": {
      "digest": "300493dc8434b5de29c8c5f0274a10fe775ecae0002b4e33c829a52cf50be2dd",
      "size": 36
    }
  }
}
"##;

fn compiled(files: &Repository) -> Compiled {
    compile(files, "web", &TestKinds).unwrap_or_else(|found| panic!("{found:?}"))
}

#[test]
fn a_repository_becomes_one_canonical_document() {
    let files = repository(REPOSITORY);
    let compiled_once = compiled(&files);
    let bytes = compiled_once.graph.to_bytes().unwrap();
    let read: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let expected: serde_json::Value = serde_json::from_str(GRAPH).unwrap();
    assert!(read == expected, "{}", serde_json::to_string_pretty(&read).unwrap());
    assert_eq!(Graph::from_bytes(&bytes).unwrap(), compiled_once.graph);
    assert!(compiled_once.warnings.is_empty(), "{:?}", compiled_once.warnings);

    // What the policy does not reach leaves no trace in it.
    let more =
        format!("{REPOSITORY}--- README.md\nx\n--- cookbooks/other/cookbook.toml\nbroken\n--- policies/else.toml\n");
    assert_eq!(compiled(&repository(&more)).graph.to_bytes().unwrap(), bytes);
    let changed = REPOSITORY.replace("How many", "How many?");
    assert_ne!(compiled(&repository(&changed)).graph.digest(), compiled_once.graph.digest());
}

#[test]
fn every_blob_of_the_graph_can_be_found() {
    let mut files = repository(REPOSITORY);
    let long = "x".repeat(257);
    let recipe = format!("[file.\"/long\"]\ncontent = \"{long}\"\n[file.\"/short\"]\ncontent = \"{}\"\n", &long[1..]);
    files.files.insert("cookbooks/base/recipes/default.toml".into(), FileData::Bytes(recipe.into_bytes()));
    // A file of gigabytes is known by its digest alone.
    let big = BlobRef { size: 5 << 30, ..BlobRef::of(b"big") };
    files.files.insert("cookbooks/nginx/files/redhat.conf".into(), FileData::Blob(big));
    let compiled = compiled(&files);
    assert_eq!(compiled.graph.blobs.get("nginx/files/redhat.conf"), Some(&big));
    assert!(compiled.graph.blobs.values().all(|blob| compiled.blobs.contains_key(&blob.digest)));
    let file = BlobPlace::File("cookbooks/nginx/files/redhat.conf".into());
    assert_eq!(compiled.blobs.get(&big.digest), Some(&file));
    let inline = BlobRef::of(long.as_bytes());
    assert_eq!(compiled.blobs.get(&inline.digest), Some(&BlobPlace::Bytes(long.clone().into_bytes())));
    let content = |at: usize| compiled.graph.recipes[0].resources[at].properties.get("content").unwrap().0.clone();
    assert_eq!(content(0), converge_model::Dynamic::Literal(converge_model::Value::Blob(inline)));
    assert_eq!(content(1).as_str().map(str::len), Some(256));
}

#[test]
fn required_recipes_come_first_and_the_run_list_decides_the_rest() {
    let order = |text: &str| -> Vec<(String, Vec<usize>)> {
        let recipes = compiled(&repository(text)).graph.recipes;
        recipes.into_iter().map(|recipe| (recipe.name, recipe.requires)).collect()
    };
    let text = "--- cookbooks/base/recipes/default.toml\nrequires = [\"base::last\"]\n--- cookbooks/base/recipes/last.toml\n\
                --- cookbooks/other/cookbook.toml\nname = \"other\"\nversion = \"1.0.0\"\n[depends]\nbase = \"1\"\n\
                --- cookbooks/other/recipes/default.toml\n\
                --- policies/web.toml\nname = \"web\"\nrun_list = [\"base\", \"other\", \"base\", \"base::last\"]\n";
    assert_eq!(
        order(text),
        [
            ("base::last".to_owned(), vec![]),
            ("base::default".to_owned(), vec![0]),
            // Of the cookbook that it depends on, it waits for what the run list has before it.
            ("other::default".to_owned(), vec![1]),
        ]
    );
}

#[test]
fn a_recipe_of_a_hundred_thousand_resources_is_compiled() {
    let recipe: String =
        (0..100_000).map(|n| format!("[file.\"/etc/{n}\"]\nrequires = \"file[/etc/{}]\"\n", n / 2)).collect();
    let text = format!("--- cookbooks/base/recipes/default.toml\n[file.\"/first\"]\n{recipe}")
        .replace("file[/etc/0]", "file[/first]");
    assert_eq!(compiled(&repository(&text)).graph.recipes[0].resources.len(), 100_001);
}
