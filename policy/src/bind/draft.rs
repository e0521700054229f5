//! Resources on their way into the catalog: evaluated, with references that are still names.

use std::ops::Range;

use converge_model::graph::{Declaration, Spot};
use converge_model::{CatalogResource, Diagnostic, ResourceId, Timing, Value};

use super::DeclarationIndex;

/// One resource of a built-in kind.
#[derive(Debug)]
pub(super) struct Draft<'g> {
    /// What will be in the catalog, without `requires` and `notifies`.
    pub(super) resource: CatalogResource,
    /// How it was declared.
    pub(super) declaration: &'g Declaration,
    /// Where that is.
    pub(super) index: DeclarationIndex,
    /// The other resources that it names.
    pub(super) links: Vec<Link>,
}

/// One resource of a custom kind.
#[derive(Debug)]
pub(super) struct Group<'g> {
    /// Its identity.
    pub(super) id: ResourceId,
    /// How it was declared.
    pub(super) declaration: &'g Declaration,
    /// Where that is.
    pub(super) index: DeclarationIndex,
    /// The drafts that it consists of.
    pub(super) members: Range<usize>,
    /// Its parameters.
    pub(super) parameters: Value,
    /// `when` said no: it has no members.
    pub(super) skipped: bool,
    /// The other resources that it names.
    pub(super) links: Vec<Link>,
}

/// A name of another resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Which property names it.
    pub(super) role: Role,
    /// The other resource.
    pub(super) target: ResourceId,
    /// Where it is written, in the file of the declaration.
    pub(super) at: Spot,
}

/// Which property names another resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// `requires`
    Requires,
    /// `before`
    Before,
    /// `notifies`
    Notifies(String, Timing),
    /// `subscribes`
    Subscribes(String, Timing),
}

impl Role {
    /// The property's name.
    pub(super) fn property(&self) -> &'static str {
        match self {
            Role::Requires => "requires",
            Role::Before => "before",
            Role::Notifies(..) => "notifies",
            Role::Subscribes(..) => "subscribes",
        }
    }
}

/// Resources in the order in which they are written.
#[derive(Debug)]
pub(super) enum Unit {
    /// The draft at an index.
    One(usize),
    /// What a custom kind, or a recipe, consists of.
    Many {
        /// Each waits for the one before it.
        ordered: bool,
        /// What is in it.
        units: Vec<Unit>,
    },
}

impl Unit {
    /// The same unit, where `first` other drafts come before those that it knows.
    pub(super) fn after(self, first: usize) -> Self {
        match self {
            Unit::One(at) => Unit::One(at + first),
            Unit::Many { ordered, units } => {
                Unit::Many { ordered, units: units.into_iter().map(|unit| unit.after(first)).collect() }
            }
        }
    }
}

/// What was found to be wrong. A mistake in a loop of thousands is told often enough, not thousands of times.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Diagnostic>,
    untold: usize,
}

/// How many are told.
const MOST_FINDINGS: usize = 200;

impl Findings {
    /// Findings that begin with these.
    pub(super) fn of(list: Vec<Diagnostic>) -> Self {
        Self { list, untold: 0 }
    }

    /// Adds one. The same is told once.
    pub(super) fn push(&mut self, finding: Diagnostic) {
        if self.list.len() >= MOST_FINDINGS {
            self.untold += 1;
        } else if !self.list.contains(&finding) {
            self.list.push(finding);
        }
    }

    /// Adds those that were found elsewhere.
    pub(super) fn append(&mut self, others: Findings) {
        others.list.into_iter().for_each(|finding| self.push(finding));
        self.untold += others.untold;
    }

    /// All of them, in the order in which they were found.
    pub(super) fn finish(mut self) -> Vec<Diagnostic> {
        if self.untold > 0 {
            self.list.push(Diagnostic::error(format!("{} more errors are not shown", self.untold), None));
        }
        self.list
    }
}
