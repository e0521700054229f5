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
            let earlier = required.iter().filter_map(|&other| ends.get(other)).flatten();
            let mut waits: Vec<usize> = earlier.copied().collect();
            waits.sort_unstable();
            waits.dedup();
            self.unit(unit, &mut waits, Why::Recipe);
            ends.push(waits);
        }
    }

    /// Makes `unit` wait for `waits`, and leaves there what the next one must wait for in its turn. Where there is nothing
    /// in the unit that could fail, that is what it would have waited for itself: a chain never breaks.
    fn unit(&mut self, unit: &Unit, waits: &mut Vec<usize>, why: Why) {
        match unit {
            Unit::One(at) => self.one(*at, waits, why),
            Unit::Many { ordered: true, units } => {
                for (turn, unit) in units.iter().enumerate() {
                    self.unit(unit, waits, if turn == 0 { why } else { Why::Written });
                }
            }
            Unit::Many { ordered: false, units } => {
                let mut ends = Vec::new();
                for unit in units {
                    let mut own = waits.clone();
                    self.unit(unit, &mut own, why);
                    ends.append(&mut own);
                }
                ends.sort_unstable();
                ends.dedup();
                if !ends.is_empty() {
                    *waits = ends;
                }
            }
        }
    }

    fn one(&mut self, at: usize, waits: &mut Vec<usize>, why: Why) {
        let stands = self.stands_for[at];
        if self.drafts[stands].resource.skipped.is_some() {
            return;
        }
        if stands != at {
            // It was declared elsewhere, too, and waits for what is written there; what follows here waits for both.
            if !waits.contains(&stands) && self.drafts[at].resource.skipped.is_none() {
                waits.push(stands);
            }
            return;
        }
        waits.drain(..).for_each(|before| self.edges.add(Edge { before, after: at, why, at: None }));
        waits.push(at);
    }
}
