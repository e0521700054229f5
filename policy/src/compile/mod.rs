//! Compiles a policy repository: parse, resolve, link. Pure, and it knows no machine.
//!
//! - *Parse*: every document is read into a tree whose nodes know their places (`toml`, `sources`).
//! - *Resolve*: documents become declarations, held against the schemas of kinds, the attributes that cookbooks declare and
//!   the names that expressions may use (`world`).
//! - *Link*: what a policy's run list reaches becomes one graph; references, circles and doubles are found (`link`).
//!
//! Nothing stops at the first error: what cannot be read is reported and left out, and everything else is still checked.
//!
//! # What means what
//!
//! - A recipe converges its resources in the order in which their names are written. Above the first one it may have a
//!   `description`, `ordered = false`, and `requires`, a list of recipes that come before it wherever the run list has them.
//! - Recipes converge as the run list has them, those of included policies first. A recipe waits for those that it requires,
//!   and for those before it that belong to a cookbook that its own depends on, directly or not: across these a failure
//!   crosses, and across no others.
//! - A cookbook sees its own attributes, kinds, templates and files, and the attributes and kinds of those that it depends on
//!   directly.
//! - What a policy sets wins over what those that it includes set, level by level; `orphans` is its own alone. What it sets
//!   for cookbooks that its run list does not reach has no effect.
//! - A resource declared twice with the same words is one. A recipe's name is compared as it is written, so that
//!   `file[{{ attr.base.root }}/x]` is found by the same text; a name in a loop is known only to the node.

mod attributes;
mod blobs;
mod common;
mod content;
mod context;
mod cookbook;
mod declaration;
mod judgement;
mod levels;
mod link;
mod lint;
mod names;
mod network;
mod policy_file;
mod reached_paths;
mod recipe;
mod reference;
mod run_list;
mod scope;
mod sources;
mod toml;
mod value;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use converge_model::{Diagnostic, Digest, Graph, Kinds, suggest};

pub use blobs::BlobPlace;

use crate::repository::Repository;
use names::{Names, role};
use sources::{Findings, Place, Sources, has_errors};
use world::{World, documents};

/// A compiled policy.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The graph.
    pub graph: Graph,
    /// Where the bytes of every blob are that the graph names.
    pub blobs: BTreeMap<Digest, BlobPlace>,
    /// What somebody will be sorry about.
    pub warnings: Vec<Diagnostic>,
}

/// Compiles one policy: what it includes, the cookbooks of its run list, and those that they depend on.
///
/// # Errors
/// Everything that is wrong there, in the order of the files; warnings too.
pub fn compile(repository: &Repository, policy: &str, kinds: &dyn Kinds) -> Result<Compiled, Vec<Diagnostic>> {
    let names = Names::of(repository);
    if !names.policies.contains(policy) {
        return Err(vec![no_policy(policy, &names)]);
    }
    let (sources, found) = Sources::load(repository, reached_paths::reached_paths(repository, policy));
    let mut findings = Findings::new(&sources, found);
    let documents = documents(&sources, &mut findings);
    let schemas = context::schemas(kinds);
    let world = World::read(repository, &documents, &schemas, &mut findings);
    // A custom kind within itself has no end.
    let linked = if world.is_finite { link::link(&world, policy, &mut BTreeSet::new(), &mut findings) } else { None };
    let found = findings.into_sorted();
    match linked {
        Some((graph, blobs)) if !has_errors(&found) => Ok(Compiled { graph, blobs: blobs.places, warnings: found }),
        _ => Err(found),
    }
}

/// Checks a whole repository: every cookbook, every policy, and the recipes that no policy runs.
pub fn check(repository: &Repository, kinds: &dyn Kinds) -> Vec<Diagnostic> {
    let compiled = repository.files.keys().map(String::as_str).filter(|path| role(path).is_some());
    let (sources, found) = Sources::load(repository, compiled);
    let mut findings = Findings::new(&sources, found);
    let documents = documents(&sources, &mut findings);
    let schemas = context::schemas(kinds);
    let world = World::read(repository, &documents, &schemas, &mut findings);
    check_places(repository, &world, &mut findings);
    if world.is_finite {
        let mut seen = BTreeSet::new();
        let mut used: BTreeSet<String> = BTreeSet::new();
        for name in world.policies.keys() {
            if let Some((graph, _)) = link::link(&world, name, &mut seen, &mut findings) {
                used.extend(graph.recipes.into_iter().map(|recipe| recipe.name).chain(graph.kinds.into_keys()));
            }
        }
        link::check_unused(&world, &used, &mut seen, &mut findings);
    }
    findings.into_sorted()
}

fn no_policy(policy: &str, names: &Names<'_>) -> Diagnostic {
    let diagnostic = Diagnostic::error(format!("there is no policy `{policy}` in the repository"), None);
    let known: Vec<&str> = names.policies.iter().copied().collect();
    diagnostic.with_help(match suggest::nearest(policy, known.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None if known.is_empty() => format!("write it in policies/{policy}.toml"),
        None => format!("there are: {}", known.join(", ")),
    })
}

/// Reports what lies where nothing reads it, and cookbooks without a cookbook.toml.
fn check_places(repository: &Repository, world: &World<'_>, findings: &mut Findings<'_>) {
    for cookbook in world.names.cookbooks.keys() {
        if !repository.files.contains_key(&format!("cookbooks/{cookbook}/cookbook.toml")) {
            findings
                .error_without_place(format!("cookbooks/{cookbook} has no cookbook.toml"))
                .help(format!("write it, with `name = \"{cookbook}\"` and `version = \"1.0.0\"`"));
        }
    }
    for path in repository.files.keys().filter(|path| path.ends_with(".toml") && role(path).is_none()) {
        let parts: Vec<&str> = path.split('/').collect();
        let is_ours = matches!(parts[..], ["policies", ..] | ["cookbooks", _, "recipes" | "resources", ..]);
        if is_ours {
            findings
                .warning_without_place(format!("{path} is not read"))
                .help("recipes, custom kinds and policies lie in their directory, not further below");
        }
    }
}

/// The places that were reported already: many policies run one recipe.
type Seen = BTreeSet<Place>;
