//! What a plan is not sure of because a guard may be decided otherwise in the run, and whom that reaches.

use converge_model::report::Mode;
use converge_model::{Footprint, Key, Outcome, System};

use crate::keys::ChangedKeys;
use crate::run::Run;

/// What is in doubt, and through whom.
#[derive(Default)]
pub(crate) struct Doubts<'a> {
    /// What a guard may yet change, or keep from being changed.
    keys: ChangedKeys<'a>,
    /// For each mark on the keys, the resource whose guard it comes of.
    roots: Vec<usize>,
    /// Whether the guards of the resource whose turn it is were decided on what may not be so.
    guard: bool,
}

impl Doubts<'_> {
    /// The guards of the resource whose turn it is took something for granted.
    pub(crate) fn guard(&mut self) {
        self.guard = true;
    }
}

impl Run<'_> {
    /// Before the resource at `position` ends as `outcome` says: what it leans on may be otherwise, and so may what leans on
    /// it. A run asks its guards when everything before them is done, and doubts nothing.
    pub(crate) fn pass_on_doubt(&mut self, position: usize, outcome: Outcome) {
        let guard = std::mem::take(&mut self.doubts.guard) && outcome != Outcome::UpToDate;
        if self.request.mode != Mode::Plan || (!guard && self.doubts.roots.is_empty()) {
            return;
        }
        let items = self.items;
        let footprint = &items[position].footprint;
        let doubts = &self.doubts.keys;
        let last = doubts.last(footprint).max(doubts.last(&through_links(footprint, self.request.system)));
        let root = usize::try_from(last)
            .unwrap_or(usize::MAX)
            .checked_sub(1)
            .and_then(|mark| self.doubts.roots.get(mark))
            .copied();
        if let Some(root) = root {
            let id = &items[root].declared.id;
            self.assumed.push(format!("a guard of {id} is taken to be decided in the run as it is now"));
        }
        if root.is_some() || guard {
            if outcome == Outcome::Skipped {
                self.doubts.keys.mark(footprint);
            } else {
                // A plan that has a command run says by itself that it may have changed anything.
                self.doubts.keys.mark_named(footprint);
            }
            self.doubts.roots.push(root.unwrap_or(position));
        }
    }
}

/// What a footprint needs behind links: the directories that those it needs lead to.
fn through_links(footprint: &Footprint, system: &dyn System) -> Footprint {
    let paths = footprint.needs.iter().filter_map(|key| match key {
        Key::Path(path) => Some(path),
        _ => None,
    });
    let leads = paths.filter_map(|path| system.files().resolve(path).ok().filter(|leads| leads != path));
    let needs = leads.map(Key::Path).collect();
    // Who asks here takes nothing for granted that was not before.
    system.take_assumptions();
    Footprint { gives: Vec::new(), needs }
}
