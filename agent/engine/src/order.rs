//! The order of a run: the catalog's, and the edges that are found because one resource gives what another needs.

use std::collections::hash_map::Entry;

use converge_model::order::order;
use foldhash::{HashMap, HashMapExt};

use crate::item::Item;
use crate::keys::KeyRef;

/// A resource by its position, or, from the count of resources on, a hub: it stands between all who give the same thing
/// and all who need it, so that the edges stay as many as there are gives and needs.
type Node = usize;

/// The order in which the resources of a catalog converge, and what found edges say of who waits for whom.
pub(crate) struct Order {
    /// Every position, in order.
    pub(crate) sequence: Vec<usize>,
    found: Found,
}

/// The found edges.
struct Found {
    /// Who must come before the resource at each position: `blockers[starts[position]..starts[position + 1]]`.
    starts: Vec<usize>,
    blockers: Vec<Node>,
    /// Who feeds each hub, ascending.
    hubs: Vec<Vec<usize>>,
}

impl Order {
    /// Orders the resources of a catalog. The order written is kept unless a found edge says otherwise; found edges that
    /// contradict what was written give way to it.
    pub(crate) fn of(items: &[Item<'_>]) -> Self {
        let found = Found::of(items);
        let count = items.len();
        let forward = |position: usize| found.before(position).iter().all(|node| found.last_giver(*node) < position);
        let sequence = if (0..count).all(forward) { (0..count).collect() } else { found.sequence(items) };
        Self { sequence, found }
    }
}

impl Found {
    fn of(items: &[Item<'_>]) -> Self {
        let mut hubs = Vec::new();
        let givers = givers(items, &mut hubs);
        let mut found = Self { starts: Vec::with_capacity(items.len() + 1), blockers: Vec::new(), hubs };
        let mut before: Vec<Node> = Vec::new();
        for (position, item) in items.iter().enumerate() {
            found.starts.push(found.blockers.len());
            let is_own = |node: &Node| match node.checked_sub(items.len()) {
                Some(hub) => found.hubs[hub].binary_search(&position).is_ok(),
                None => *node == position,
            };
            before.extend(item.footprint.needs.iter().filter_map(KeyRef::of).filter_map(|key| {
                key.with_ancestors().filter_map(|key| givers.get(&key).copied()).find(|node| !is_own(node))
            }));
            before.sort_unstable();
            before.dedup();
            found.blockers.append(&mut before);
        }
        found.starts.push(found.blockers.len());
        found
    }

    fn count(&self) -> usize {
        self.starts.len() - 1
    }

    fn before(&self, position: usize) -> &[Node] {
        self.starts
            .get(position..position + 2)
            .map_or(&[], |bounds| self.blockers.get(bounds[0]..bounds[1]).unwrap_or_default())
    }

    fn feeders(&self, node: Node) -> Option<&[usize]> {
        self.hubs.get(node.checked_sub(self.count())?).map(Vec::as_slice)
    }

    fn last_giver(&self, node: Node) -> usize {
        self.feeders(node).and_then(<[usize]>::last).copied().unwrap_or(node)
    }

    /// The number of a node for sorting. Hubs get the lower ones, so that they are passed through as soon as they can be.
    fn number(&self, node: Node) -> usize {
        if node < self.count() { node + self.hubs.len() } else { node - self.count() }
    }

    /// The node with a number.
    fn node(&self, number: usize) -> Node {
        if number < self.hubs.len() { number + self.count() } else { number - self.hubs.len() }
    }

    /// The order with all edges or, where they make cycles, without the found edges within the cycles that point
    /// against the order written.
    fn sequence(&self, items: &[Item<'_>]) -> Vec<usize> {
        let nodes = self.count() + self.hubs.len();
        let (mut edges, mut found) = (Vec::new(), Vec::new());
        for (position, item) in items.iter().enumerate() {
            let declared = item.declared.requires.iter().filter(|required| **required < position);
            edges.extend(declared.map(|required| (self.number(*required), self.number(position))));
            found.extend(self.before(position).iter().map(|node| (self.number(*node), self.number(position))));
        }
        for (hub, feeders) in self.hubs.iter().enumerate() {
            edges.extend(feeders.iter().map(|feeder| (self.number(*feeder), hub)));
        }
        let all: Vec<(usize, usize)> = edges.iter().chain(&found).copied().collect();
        let ordered = order(nodes, &all).or_else(|_| {
            let core = core(nodes, &all);
            edges.extend(found.iter().filter(|edge| !self.contradicts(**edge, &core)));
            order(nodes, &edges)
        });
        match ordered {
            Ok(ordered) => ordered.into_iter().filter_map(|number| number.checked_sub(self.hubs.len())).collect(),
            // What is left points forward within every cycle there was, so that there is always an order.
            Err(_) => (0..self.count()).collect(),
        }
    }

    /// Whether a found edge lies in `core` and lets somebody wait for who was written later.
    fn contradicts(&self, (earlier, later): (usize, usize), core: &[bool]) -> bool {
        let giver = self.node(earlier);
        let givers = self.feeders(giver).unwrap_or(std::slice::from_ref(&giver));
        let against = |giver: &usize| core[self.number(*giver)] && *giver > self.node(later);
        core[earlier] && core[later] && givers.iter().any(against)
    }
}

/// Who gives each key: a resource, or the hub of all that do. Who needs what it gives, as a service does its unit, works on
/// what others give: it comes after them, and nobody waits for it.
fn givers<'a>(items: &'a [Item<'_>], hubs: &mut Vec<Vec<usize>>) -> HashMap<KeyRef<'a>, Node> {
    let mut givers = HashMap::with_capacity(items.iter().map(|item| item.footprint.gives.len()).sum());
    for (position, item) in items.iter().enumerate() {
        let needed = |key: &KeyRef<'_>| item.footprint.needs.iter().any(|need| KeyRef::of(need) == Some(*key));
        for key in item.footprint.gives.iter().filter_map(KeyRef::of).filter(|key| !needed(key)) {
            match givers.entry(key) {
                Entry::Vacant(vacant) => {
                    vacant.insert(position);
                }
                Entry::Occupied(mut occupied) => match occupied.get().checked_sub(items.len()) {
                    Some(hub) if hubs[hub].last() != Some(&position) => hubs[hub].push(position),
                    None if *occupied.get() != position => {
                        hubs.push(vec![*occupied.get(), position]);
                        occupied.insert(items.len() + hubs.len() - 1);
                    }
                    _ => {}
                },
            }
        }
    }
    givers
}

/// The nodes that lie on a cycle, or on a way from one cycle to another.
fn core(nodes: usize, edges: &[(usize, usize)]) -> Vec<bool> {
    let behind = stuck(nodes, edges);
    let reversed: Vec<_> = edges.iter().map(|&(earlier, later)| (later, earlier)).collect();
    let before = stuck(nodes, &reversed);
    behind.into_iter().zip(before).map(|(behind, before)| behind && before).collect()
}

/// The nodes that are never free of blockers: on a cycle, or behind one.
fn stuck(nodes: usize, edges: &[(usize, usize)]) -> Vec<bool> {
    let mut blockers = vec![0_usize; nodes];
    let mut sorted = edges.to_vec();
    sorted.sort_unstable();
    for &(_, later) in edges {
        blockers[later] += 1;
    }
    let mut free: Vec<usize> = (0..nodes).filter(|&node| blockers[node] == 0).collect();
    while let Some(node) = free.pop() {
        let first = sorted.partition_point(|&(earlier, _)| earlier < node);
        for &(_, later) in sorted[first..].iter().take_while(|&&(earlier, _)| earlier == node) {
            blockers[later] -= 1;
            if blockers[later] == 0 {
                free.push(later);
            }
        }
    }
    blockers.into_iter().map(|left| left > 0).collect()
}

/// Who failed, and who waits for them.
pub(crate) struct Blocked<'a> {
    found: &'a Found,
    /// For each resource that failed or was not processed, whose failure it comes down to.
    roots: Vec<Option<usize>>,
    /// The same for each hub.
    hub_roots: Vec<Option<usize>>,
    /// The hubs that each resource feeds, collected when the first one fails.
    hubs_of: Option<HashMap<usize, Vec<usize>>>,
}

impl<'a> Blocked<'a> {
    /// Nobody failed yet, among `count` resources of which the first are those of `order`.
    pub(crate) fn new(order: &'a Order, count: usize) -> Self {
        let found = &order.found;
        Self { found, roots: vec![None; count], hub_roots: vec![None; found.hubs.len()], hubs_of: None }
    }

    /// The resource at `position` failed, or was not processed because the one at `root` failed.
    pub(crate) fn fail(&mut self, position: usize, root: usize) {
        let hubs_of = self.hubs_of.get_or_insert_with(|| {
            let mut hubs_of: HashMap<usize, Vec<usize>> = HashMap::new();
            for (hub, feeders) in self.found.hubs.iter().enumerate() {
                feeders.iter().for_each(|feeder| hubs_of.entry(*feeder).or_default().push(hub));
            }
            hubs_of
        });
        self.roots[position] = Some(root);
        for hub in hubs_of.get(&position).into_iter().flatten() {
            self.hub_roots[*hub].get_or_insert(root);
        }
    }

    /// Whose failure keeps the resource at `position`, which requires those at `requires`, from being converged.
    pub(crate) fn root(&self, position: usize, requires: &[usize]) -> Option<usize> {
        let declared =
            requires.iter().filter(|required| **required < position).find_map(|required| self.roots[*required]);
        let found = |node: &Node| match node.checked_sub(self.found.count()) {
            Some(hub) => self.hub_roots[hub],
            None => self.roots[*node],
        };
        declared.or_else(|| self.found.before(position).iter().find_map(found))
    }
}

#[cfg(test)]
mod tests {
    use converge_model::{Footprint, Key, order::order};
    use proptest::prelude::*;

    use super::*;
    use crate::orphan::undeclared;

    /// What each resource gives, needs and requires, as small numbers.
    type Shape = Vec<(Vec<u8>, Vec<u8>, Vec<usize>)>;

    fn ordered(shape: &Shape) -> Vec<usize> {
        let users = |numbers: &[u8]| numbers.iter().map(|number| Key::User(number.to_string())).collect::<Vec<_>>();
        let declared: Vec<_> = shape
            .iter()
            .enumerate()
            .map(|(position, (_, _, requires))| {
                let mut resource = undeclared(&format!("file[/{position}]").parse().unwrap());
                resource.requires = requires.iter().copied().filter(|required| *required < position).collect();
                resource
            })
            .collect();
        let items: Vec<_> = shape
            .iter()
            .zip(&declared)
            .map(|((gives, needs, _), declared)| Item {
                declared,
                resource: Ok(None),
                footprint: Footprint { gives: users(gives), needs: users(needs) },
                orphan: false,
            })
            .collect();
        Order::of(&items).sequence
    }

    type Pairs = Vec<(usize, usize)>;

    /// Every pair of which the first must come before the second, one by one: those written, and those found.
    fn pairs(shape: &Shape) -> (Pairs, Pairs) {
        let (mut written, mut found) = (Vec::new(), Vec::new());
        for (later, (_, needs, requires)) in shape.iter().enumerate() {
            written.extend(requires.iter().filter(|earlier| **earlier < later).map(|earlier| (*earlier, later)));
            for (earlier, (gives, also_needs, _)) in shape.iter().enumerate() {
                let gives = |key: &&u8| gives.contains(key) && !also_needs.contains(key);
                found.extend(needs.iter().find(gives).filter(|_| earlier != later).map(|_| (earlier, later)));
            }
        }
        (written, found)
    }

    proptest! {
        #[test]
        fn what_is_written_holds_always_and_what_is_found_holds_where_it_can(
            shape in prop::collection::vec(
                (prop::collection::vec(0_u8..6, 0..3), prop::collection::vec(0_u8..6, 0..3), prop::collection::vec(0_usize..12, 0..2)),
                0..12,
            )
        ) {
            let sequence = ordered(&shape);
            let mut place = vec![usize::MAX; shape.len()];
            for (at, position) in sequence.iter().enumerate() {
                place[*position] = at;
            }
            prop_assert!(sequence.len() == shape.len() && !place.contains(&usize::MAX), "{sequence:?}");
            let (written, found) = pairs(&shape);
            let all: Vec<_> = written.iter().chain(&found).copied().collect();
            prop_assert!(written.iter().all(|(earlier, later)| place[*earlier] < place[*later]), "{sequence:?}");
            if let Ok(best) = order(shape.len(), &all) {
                prop_assert_eq!(best, sequence, "the order written is kept as far as it can be");
            }
        }
    }
}
