//! The schemas: each kind's example is right, and each kind takes itself away again.

use std::collections::BTreeMap;

use converge_kinds::registry;
use converge_model::{ByName, Kinds, ResourceId, ResourceSpec, Value};

use crate::harness::debian;

/// The properties that every kind has, as far as the examples use them.
const COMMON: [&str; 1] = ["notifies"];

#[test]
fn the_example_of_every_kind_is_a_recipe() {
    for kind in registry().all() {
        let schema = (kind.schema)();
        let recipe: BTreeMap<String, BTreeMap<String, ByName<Value>>> =
            toml::from_str(schema.example).unwrap_or_else(|error| panic!("{}: {error}", schema.name));
        assert!(recipe.contains_key(schema.name), "the example of {} does not use it", schema.name);
        for (kind, resources) in &recipe {
            for (name, properties) in resources {
                let id = ResourceId::new(kind, name).unwrap();
                let kind = registry().kind(kind).unwrap();
                let schema = (kind.schema)();
                let properties: ByName<Value> =
                    properties.clone().into_iter().filter(|(name, _)| !COMMON.contains(&name.as_str())).collect();
                (schema.names.check)(name).unwrap();
                for (name, value) in &properties {
                    (schema.property(name).unwrap().check)(value).unwrap();
                }
                (kind.build)(&ResourceSpec::new(&id, &properties)).map(drop).unwrap();
            }
        }
    }
}

#[test]
fn every_property_and_action_says_what_it_means() {
    for kind in registry().all() {
        let schema = (kind.schema)();
        assert!(schema.doc.ends_with('.'), "{}", schema.name);
        for property in &schema.properties {
            assert!(property.doc.ends_with(['.', ')']), "{}: {}: {:?}", schema.name, property.name, property.doc);
        }
        assert!(schema.actions.iter().all(|(_, doc)| doc.ends_with('.')), "{}", schema.name);
    }
    assert!(registry().kind("files").is_none());
}

#[test]
fn what_left_the_policy_is_taken_away_and_nothing_else() {
    let machine = debian(|machine| {
        machine
            .file("/srv/d/f", "x")
            .directory("/srv/e")
            .symlink("/srv/l", "/opt")
            .user("alice", 1000)
            .group("dev", 600);
        machine.directory("/home/alice").unit("web.service").running("web.service").enabled("web.service");
        machine.installed("tool", "1").installed("own", "1")
    });
    for (id, properties, taken) in [
        ("file[/srv/d/f]", "content = 'x'\nmode = '0600'", true),
        ("directory[/srv/e]", "owner = 'root'\nmode = '0700'", true),
        ("link[/srv/l]", "to = '/opt'", true),
        ("user[alice]", "create_home = true", true),
        ("group[dev]", "gid = 600", true),
        ("package[tools]", "names = ['tool', 'own']", true),
        ("service[web]", "running = true", true),
        ("execute[true]", "", false),
    ] {
        let id: ResourceId = id.parse().unwrap();
        let values: ByName<Value> = toml::from_str(properties).unwrap();
        let kind = registry().kind(id.kind()).unwrap();
        let removal = (kind.removal)(&ResourceSpec::new(&id, &values));
        assert_eq!(removal.is_some(), taken, "{id}");
        let Some(removal) = removal else { continue };
        let resource = (kind.build)(&ResourceSpec::new(&id, &removal)).unwrap();
        let observed = resource.observe(&machine).unwrap();
        assert!(!observed.changes.is_empty(), "{id}");
        resource.apply(&machine, &observed).unwrap();
        assert!(resource.observe(&machine).unwrap().changes.is_empty(), "{id}");
    }
    let dump = machine.dump();
    for gone in ["/srv/d/f", "/srv/e", "/srv/l", "user alice", "group dev", "package tool", "package own"] {
        assert!(!dump.lines().any(|line| line.starts_with(gone)), "{gone} is in\n{dump}");
    }
    assert!(dump.contains("/home/alice directory") && dump.contains("unit web.service inactive disabled"), "{dump}");
}
