//! Bind: a graph and what is known of one node make the catalog of one run.
//!
//! Pure: the same inputs give the same catalog, byte for byte. Everything that is wrong is found in one go.
//!
//! 1. Attributes are evaluated over their four levels ([`crate::attribute`]).
//! 2. Declarations are expanded: `for_each`, `when`, custom kinds, names, properties, templates (`expand`); those of a large
//!    graph on all processors (`parts`).
//! 3. Identical declarations become one, references become positions, and everything gets an order (`link`).

mod content;
mod declaration;
mod draft;
mod duplicates;
mod expand;
mod input;
mod link;
mod parameters;
mod parts;
pub(crate) mod place;
mod sequence;
mod values;

use std::collections::BTreeMap;
use std::sync::Arc;

use converge_model::graph::Declaration;
use converge_model::{Catalog, Diagnostic, Graph, Kinds, ResourceId, Severity};

pub use input::{BindInput, BlobReader, MOST_RESOURCES, NodeIdentity};

use crate::attribute::{ResolvedAttributes, resolve};
use crate::expression::{Attributes, Expressions, Roots, Scope};
use crate::supports;
use content::Templates;
use draft::Findings;
use parts::{Expanded, Shared, expand_all};
use values::Values;

/// A catalog, and where everything in it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// The resources of the run.
    pub catalog: Catalog,
    /// The attributes of the node, with who set them.
    pub attributes: ResolvedAttributes,
    /// For each resource of the catalog, its declaration in the graph.
    pub declarations: Vec<DeclarationIndex>,
    /// The resources of custom kinds, with their declarations. The catalog has what they consist of.
    pub custom: BTreeMap<ResourceId, DeclarationIndex>,
    /// What does not stop a run, and somebody should know.
    pub warnings: Vec<Diagnostic>,
}

/// A declaration within a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeclarationIndex {
    /// What declares it.
    pub owner: Owner,
    /// Its index there.
    pub index: usize,
}

/// What declares resources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The recipe at this index of [`Graph::recipes`].
    Recipe(usize),
    /// The custom kind at this position of [`Graph::kinds`], in the order of their names.
    Kind(usize),
}

impl DeclarationIndex {
    /// The declaration, in the graph that was bound.
    pub fn find(self, graph: &Graph) -> Option<&Declaration> {
        let resources = match self.owner {
            Owner::Recipe(recipe) => &graph.recipes.get(recipe)?.resources,
            Owner::Kind(kind) => &graph.kinds.values().nth(kind)?.resources,
        };
        resources.get(self.index)
    }
}

/// Binds a graph to a node.
///
/// # Errors
/// Everything that is wrong with the graph on this node, each with its place in the policy repository. Their
/// `start` and `end` are 0: a node has no sources.
pub fn bind(
    graph: &Graph,
    input: &BindInput,
    blobs: &dyn BlobReader,
    kinds: &dyn Kinds,
) -> Result<Bound, Vec<Diagnostic>> {
    let names = graph.cookbooks.iter().flat_map(|cookbook| {
        cookbook.attributes.keys().map(move |attribute| (cookbook.name.as_str(), attribute.as_str()))
    });
    let table = Arc::new(Attributes::new(names));
    let roots = Roots::new(Arc::clone(&input.facts), Arc::clone(&table), &input.node.to_value());
    let scope = Scope::new(Arc::new(roots.with_secrets(&input.secrets)));
    let templates = Templates::of(graph, blobs);
    let expressions = Expressions::new();
    let mut found = supports::unsupported(graph, &input.facts);
    let attributes =
        resolve(graph, &input.node_attributes, input.node.group.as_deref(), &expressions, &scope, &table, &mut found);
    let mut findings = Findings::of(found);
    let values = || Values::new(graph, &attributes, &templates);
    let Expanded { drafts, groups, recipes } = expand_all(&Shared::new(graph, kinds), values, &scope, &mut findings);
    let custom = groups.iter().rev().map(|group| (group.id.clone(), group.index)).collect();
    let linked = link::link(graph, kinds, drafts, groups, &recipes, &mut findings);
    let findings = findings.finish();
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(findings);
    }
    let (resources, declarations) = linked;
    let catalog = Catalog { policy: graph.policy.clone(), orphans: graph.orphans, resources };
    Ok(Bound { catalog, attributes, declarations, custom, warnings: findings })
}
