//! What `deny.toml` says of the crates from outside, held against what cargo resolved: licences, banned crates, versions that
//! there are twice, sources. It needs no network. What `[advisories]` says is left to `cargo deny`, which asks the registry.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use toml::Table;

use crate::licences::is_allowed;
use crate::tree::{none, root};

/// Where crates come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[test]
fn every_crate_from_outside_is_one_that_deny_toml_allows() {
    let deny: Table = std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["metadata", "--format-version=1", "--locked", "--offline"]).current_dir(root());
    for target in texts(&deny, "graph", "targets") {
        cargo.args(["--filter-platform", target]);
    }
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    none("deny.toml does not allow it:", findings(&deny, &metadata));
}

/// A crate that was resolved.
struct Package<'m> {
    name: &'m str,
    version: &'m str,
    licence: &'m str,
    source: Option<&'m str>,
    /// Each dependency that is written with `*`.
    wildcards: Vec<&'m str>,
    is_member: bool,
}

/// Everything that `metadata` has and `deny` does not allow; also what `deny` says and nothing here holds.
fn findings(deny: &Table, metadata: &Value) -> Vec<String> {
    let packages = shipped(metadata);
    let mut findings = not_understood(deny);
    let allowed = texts(deny, "licenses", "allow");
    let banned = specs(deny, "deny");
    for package in &packages {
        let whole = format!("{} {}", package.name, package.version);
        match is_allowed(package.licence, &allowed) {
            Ok(true) => {}
            Ok(false) => findings.push(format!("{whole}: its licence is `{}`", package.licence)),
            Err(problem) => findings.push(format!("{whole}: its licence cannot be read: {problem}")),
        }
        if let Some((_, reason)) = banned.iter().find(|(spec, _)| matches(spec, package)) {
            findings.push(format!("{whole} is banned: {reason}"));
        }
        match package.source {
            None if package.is_member => {}
            Some(REGISTRY) => {}
            source => findings.push(format!("{whole} comes from {}", source.unwrap_or("a path out of the workspace"))),
        }
        findings.extend(package.wildcards.iter().map(|used| format!("{whole} takes any version of {used}")));
    }
    findings.extend(twice(deny, &packages));
    findings
}

/// What the workspace consists of, but for what only tests use.
fn shipped(metadata: &Value) -> Vec<Package<'_>> {
    let members: BTreeSet<&str> = array(&metadata["workspace_members"]).filter_map(Value::as_str).collect();
    let nodes: BTreeMap<&str, &Value> =
        array(&metadata["resolve"]["nodes"]).filter_map(|node| Some((node["id"].as_str()?, node))).collect();
    let mut reached = members.clone();
    let mut open: Vec<&str> = members.iter().copied().collect();
    while let Some(id) = open.pop() {
        for dependency in nodes.get(id).into_iter().flat_map(|node| array(&node["deps"])) {
            let is_shipped = array(&dependency["dep_kinds"]).any(|kind| kind["kind"] != "dev");
            if let Some(other) = dependency["pkg"].as_str().filter(|other| is_shipped && reached.insert(other)) {
                open.push(other);
            }
        }
    }
    let package = |package| read(package, &members).filter(|_| reached.contains(package["id"].as_str().unwrap_or("")));
    array(&metadata["packages"]).filter_map(package).collect()
}

fn read<'m>(package: &'m Value, members: &BTreeSet<&str>) -> Option<Package<'m>> {
    let is_any = |dependency: &&Value| dependency["req"] == "*" && dependency["path"].is_null();
    let wildcards = array(&package["dependencies"]).filter(is_any).filter_map(|other| other["name"].as_str());
    Some(Package {
        name: package["name"].as_str()?,
        version: package["version"].as_str()?,
        licence: package["license"].as_str().unwrap_or(""),
        source: package["source"].as_str(),
        wildcards: wildcards.collect(),
        is_member: members.contains(package["id"].as_str()?),
    })
}

/// Crates of which there are several versions, but for those to be skipped; and skipped ones that there are not.
fn twice(deny: &Table, packages: &[Package<'_>]) -> Vec<String> {
    let skipped = specs(deny, "skip");
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in packages.iter().filter(|package| !skipped.iter().any(|(spec, _)| matches(spec, package))) {
        versions.entry(package.name).or_default().push(package.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let twice = versions.iter().map(|(name, versions)| format!("{name} is there twice: {}", versions.join(", ")));
    let idle = skipped.iter().filter(|(spec, _)| !packages.iter().any(|package| matches(spec, package)));
    let idle = idle.map(|(spec, _)| format!("`skip` of [bans] names {spec}, which is not used any more"));
    twice.chain(idle).collect()
}

/// Whether a package is meant by `name`, or by `name@1.2`, which is all versions that begin so.
fn matches(spec: &str, package: &Package<'_>) -> bool {
    let (name, version) = spec.split_once('@').unwrap_or((spec, ""));
    let rest = package.version.strip_prefix(version);
    name == package.name && rest.is_some_and(|rest| version.is_empty() || rest.is_empty() || rest.starts_with('.'))
}

/// What the file may say, and means here: a section, a key, and the only word it may have where that is one.
const UNDERSTOOD: &[(&str, &str, Option<&str>)] = &[
    ("graph", "targets", None),
    ("licenses", "allow", None),
    ("bans", "multiple-versions", Some("deny")),
    ("bans", "wildcards", Some("deny")),
    ("bans", "allow-wildcard-paths", Some("true")),
    ("bans", "deny", None),
    ("bans", "skip", None),
    ("sources", "unknown-registry", Some("deny")),
    ("sources", "unknown-git", Some("deny")),
    ("advisories", "yanked", Some("deny")),
];

fn not_understood(deny: &Table) -> Vec<String> {
    let mut findings = Vec::new();
    for (section, entries) in deny {
        for (key, value) in entries.as_table().into_iter().flatten() {
            let word = value.as_str().map(str::to_owned).unwrap_or_else(|| value.to_string());
            let is_known = |known: &&(&str, &str, Option<&str>)| (known.0, known.1) == (section.as_str(), key.as_str());
            match UNDERSTOOD.iter().find(is_known) {
                None => findings.push(format!("`{key}` of [{section}]: nothing here holds that; teach it this test")),
                Some((_, _, Some(only))) if *only != word => {
                    findings.push(format!("`{key}` of [{section}] is {word}, and {only} is what is held here"));
                }
                Some(_) => {}
            }
        }
    }
    findings
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn texts<'d>(deny: &'d Table, section: &str, key: &str) -> Vec<&'d str> {
    let list = deny.get(section).and_then(|section| section.get(key)).and_then(toml::Value::as_array);
    list.into_iter().flatten().filter_map(toml::Value::as_str).collect()
}

/// The crates that a list of `[bans]` names, each with the reason.
fn specs<'d>(deny: &'d Table, key: &str) -> Vec<(&'d str, &'d str)> {
    let list = deny.get("bans").and_then(|bans| bans.get(key)).and_then(toml::Value::as_array);
    let spec = |entry: &'d toml::Value| Some((entry.get("crate")?.as_str()?, entry.get("reason")?.as_str()?));
    let read = |entry| spec(entry).unwrap_or_else(|| panic!("an entry of `{key}` needs `crate` and `reason`: {entry}"));
    list.into_iter().flatten().map(read).collect()
}

#[test]
fn each_rule_of_deny_toml_finds_what_breaks_it() {
    const DENY: &str = "[licenses]\nallow = [\"MIT\"]\n[bans]\nmultiple-versions = \"deny\"\n\
                        deny = [{ crate = \"bad\", reason = \"we have good\" }]\n\
                        skip = [{ crate = \"old@1\", reason = \"still used by new\" }]\n";
    let package = |name: &str, version: &str, licence: &str, source: &str| {
        serde_json::json!({ "id": format!("{name} {version}"), "name": name, "version": version, "license": licence,
                            "source": if source.is_empty() { Value::Null } else { source.into() },
                            "dependencies": [] })
    };
    let metadata = |packages: Vec<Value>| {
        let used: Vec<Value> = packages
            .iter()
            .map(|package| serde_json::json!({ "pkg": package["id"], "dep_kinds": [{ "kind": null }] }))
            .chain([serde_json::json!({ "pkg": "tool 1.0.0", "dep_kinds": [{ "kind": "dev" }] })])
            .collect();
        let own = package("own", "0.1.0", "MIT", "");
        let tool = package("tool", "1.0.0", "GPL-3.0-only", REGISTRY);
        let all = [vec![own.clone(), tool], packages].concat();
        serde_json::json!({ "workspace_members": [own["id"]], "packages": all,
                            "resolve": { "nodes": [{ "id": "own 0.1.0", "deps": used }] } })
    };
    let old = || package("old", "1.2.3", "MIT", REGISTRY);
    let mut any = old();
    any["dependencies"] = serde_json::json!([{ "name": "z", "req": "*" }]);
    let cases = [
        (DENY.to_owned(), vec![old(), package("old", "2.0.0", "MIT", REGISTRY)], None),
        (
            DENY.to_owned(),
            vec![package("old", "1.2.3", "GPL-3.0-only", REGISTRY)],
            Some("its licence is `GPL-3.0-only`"),
        ),
        (DENY.to_owned(), vec![package("old", "1.2.3", "", REGISTRY)], Some("cannot be read")),
        (DENY.to_owned(), vec![old(), package("bad", "1.0.0", "MIT", REGISTRY)], Some("banned: we have good")),
        (
            DENY.to_owned(),
            vec![package("old", "1.2.3", "MIT", "git+https://host.example/old")],
            Some("comes from git+"),
        ),
        (DENY.to_owned(), vec![package("old", "1.2.3", "MIT", "")], Some("a path out of the workspace")),
        (
            DENY.to_owned(),
            vec![old(), package("x", "1.0.0", "MIT", REGISTRY), package("x", "2.0.0", "MIT", REGISTRY)],
            Some("x is there twice: 1.0.0, 2.0.0"),
        ),
        (DENY.to_owned(), vec![package("old", "10.0.0", "MIT", REGISTRY)], Some("not used any more")),
        (DENY.to_owned(), vec![any], Some("takes any version of z")),
        (DENY.replace("versions = \"deny\"", "versions = \"warn\""), vec![old()], Some("is warn, and deny is")),
        (format!("{DENY}[sources]\nrequired-git-spec = \"rev\"\n"), vec![old()], Some("nothing here holds that")),
    ];
    for (deny, packages, expected) in cases {
        let found = findings(&deny.parse().unwrap(), &metadata(packages));
        match expected {
            None => assert!(found.is_empty(), "{found:?}"),
            Some(part) => assert!(found.len() == 1 && found[0].contains(part), "{part}: {found:?}"),
        }
    }
}
