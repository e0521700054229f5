//! The order that recipes give by themselves: each resource after its predecessor, recipes after those they depend on.

use super::draft::{Draft, Unit};
use super::link::{Edge, Edges, Why};
use converge_model::Graph;

/// The edges between resources that follow from where they are written.
pub(super) struct Sequencer<'a> {
    drafts: &'a [Draft<'a>],
    stands_for: &'a [usize],
    edges: &'a mut Edges,
}

impl<'a> Sequencer<'a> {
    pub(super) fn new(drafts: &'a [Draft<'a>], stands_for: &'a [usize], edges: &'a mut Edges) -> Self {
        Self { drafts, stands_for, edges }
    }

    /// Adds the edges of all recipes.
    pub(super) fn recipes(&mut self, graph: &Graph, recipes: &[Unit]) {
        let mut ends: Vec<Vec<usize>> = Vec::with_capacity(recipes.len());
        for (at, unit) in recipes.iter().enumerate() {
            let required = graph.recipes.get(at).map(|recipe| recipe.requires.as_slice()).unwrap_or_default();
            // A recipe that is required comes earlier in the run list.
            let mut before: Vec<usize> =
                required.iter().filter_map(|&other| ends.get(other)).flatten().copied().collect();
            before.sort_unstable();
            before.dedup();
            ends.push(self.unit(unit, before, Why::Recipe));
        }
    }

    /// Makes `unit` wait for `before`, and gives what the next one must wait for in its turn. Where there is nothing in the
    /// unit that could fail, that is what it would have waited for itself: a chain never breaks.
    fn unit(&mut self, unit: &Unit, before: Vec<usize>, why: Why) -> Vec<usize> {
        match unit {
            Unit::One(at) => self.one(*at, before, why),
            Unit::Many { ordered: true, units } => {
                units
                    .iter()
                    .fold((before, why), |(before, why), unit| {
                        let after = self.unit(unit, before, why);
                        (after, Why::Written)
                    })
                    .0
            }
            Unit::Many { ordered: false, units } => {
                let mut ends: Vec<usize> = units.iter().flat_map(|unit| self.unit(unit, before.clone(), why)).collect();
                ends.sort_unstable();
                ends.dedup();
                if ends.is_empty() { before } else { ends }
            }
        }
    }

    fn one(&mut self, at: usize, mut before: Vec<usize>, why: Why) -> Vec<usize> {
        let stands = self.stands_for[at];
        if self.drafts[stands].resource.skipped.is_some() {
            return before;
        }
        if stands != at {
            // It was declared elsewhere, too, and waits for what is written there; what follows here waits for both.
            if !before.contains(&stands) && self.drafts[at].resource.skipped.is_none() {
                before.push(stands);
            }
            return before;
        }
        before.into_iter().for_each(|before| self.edges.add(Edge { before, after: at, why, line: 0 }));
        vec![at]
    }
}
