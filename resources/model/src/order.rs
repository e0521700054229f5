//! A topological order that keeps to the order in which things were written, or the shortest cycle that forbids one.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Orders `count` things so that of every edge `(earlier, later)` the earlier comes first, and that otherwise the lower
/// number comes first (Kahn's algorithm with a heap on position). Linear in edges but for the heap.
///
/// # Errors
/// A shortest cycle through some thing that lies on one: each thing in it must come before the next, and the last before
/// the first.
pub fn order(count: usize, edges: &[(usize, usize)]) -> Result<Vec<usize>, Vec<usize>> {
    let graph = Adjacency::new(count, edges);
    let mut blockers = vec![0_usize; count];
    for &(_, later) in edges {
        blockers[later] += 1;
    }
    let mut ready: BinaryHeap<Reverse<usize>> = (0..count).filter(|&node| blockers[node] == 0).map(Reverse).collect();
    let mut ordered = Vec::with_capacity(count);
    while let Some(Reverse(node)) = ready.pop() {
        ordered.push(node);
        for &later in graph.after(node) {
            blockers[later] -= 1;
            if blockers[later] == 0 {
                ready.push(Reverse(later));
            }
        }
    }
    if ordered.len() == count { Ok(ordered) } else { Err(shortest_cycle(&graph, &blockers)) }
}

/// Edges as one list of targets and where each node's begin: two allocations, whatever the count.
struct Adjacency {
    starts: Vec<usize>,
    targets: Vec<usize>,
}

impl Adjacency {
    fn new(count: usize, edges: &[(usize, usize)]) -> Self {
        let mut starts = vec![0_usize; count + 1];
        for &(earlier, _) in edges {
            starts[earlier + 1] += 1;
        }
        for node in 0..count {
            starts[node + 1] += starts[node];
        }
        let mut next = starts.clone();
        let mut targets = vec![0_usize; edges.len()];
        for &(earlier, later) in edges {
            targets[next[earlier]] = later;
            next[earlier] += 1;
        }
        Self { starts, targets }
    }

    fn after(&self, node: usize) -> &[usize] {
        &self.targets[self.starts[node]..self.starts[node + 1]]
    }
}

/// Every node left with blockers is on a cycle or behind one. Walking backwards from any of them ends on a cycle; a
/// breadth-first search from each node of that one finds a shorter one where there is one.
fn shortest_cycle(graph: &Adjacency, blockers: &[usize]) -> Vec<usize> {
    /// Searches from more nodes than these would cost more than a shorter message is worth.
    const SEARCHES: usize = 64;
    let count = blockers.len();
    let stuck = |node: usize| blockers[node] > 0;
    let mut before = vec![usize::MAX; count];
    for node in (0..count).filter(|&node| stuck(node)) {
        for &later in graph.after(node) {
            if stuck(later) {
                before[later] = node;
            }
        }
    }
    let Some(mut start) = (0..count).find(|&node| stuck(node)) else { return Vec::new() };
    for _ in 0..count {
        start = before[start];
    }
    let around = std::iter::successors(Some(before[start]), |&node| (node != start).then(|| before[node]));
    around.take(SEARCHES).filter_map(|node| cycle_through(node, graph, &stuck)).min_by_key(Vec::len).unwrap_or_default()
}

fn cycle_through(start: usize, graph: &Adjacency, stuck: &dyn Fn(usize) -> bool) -> Option<Vec<usize>> {
    let mut came_from = std::collections::HashMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        for &later in graph.after(node).iter().filter(|&&later| stuck(later)) {
            if later == start {
                let back = |at: &usize| (*at != start).then(|| came_from.get(at).copied()).flatten();
                let mut cycle: Vec<usize> = std::iter::successors(Some(node), back).collect();
                cycle.reverse();
                return Some(cycle);
            }
            came_from.entry(later).or_insert_with(|| {
                queue.push_back(later);
                node
            });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::order;

    #[test]
    fn written_order_is_kept_unless_an_edge_says_otherwise() {
        assert_eq!(order(4, &[]), Ok(vec![0, 1, 2, 3]));
        assert_eq!(order(4, &[(3, 0)]), Ok(vec![1, 2, 3, 0]));
        assert_eq!(order(3, &[(2, 1), (1, 0)]), Ok(vec![2, 1, 0]));
        assert_eq!(order(2, &[(0, 1), (0, 1)]), Ok(vec![0, 1]));
    }

    #[test]
    fn the_cycle_is_the_short_one_and_leaves_out_what_only_waits_for_it() {
        assert_eq!(order(2, &[(1, 1)]), Err(vec![1]));
        let error = order(7, &[(0, 1), (1, 2), (2, 3), (3, 1), (3, 4), (4, 5), (5, 6), (2, 1)]).unwrap_err();
        assert_eq!(error.len(), 2);
        assert!(error.contains(&1) && error.contains(&2), "{error:?}");
    }
}
