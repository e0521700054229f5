//! Requests that are held until there is something new for their node. One costs an entry here and a task that sleeps;
//! nothing is looked at until somebody says what changed, and then only for those whom it concerns.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use converge_protocol::{Assignment, limits};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::{StoreError, StoreResult};
use crate::persistence::KnownNode;

/// What changed, as far as held requests can tell whether it concerns them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Changed<'a> {
    /// What is live in a group of a policy, or who signed that.
    Group(&'a str, &'a str),
    /// Something of a policy, in whichever groups.
    Policy(&'a str),
    /// Something of a node: its data, its key, or that it may ask at all.
    Node(&'a str),
}

/// The requests that are held: at most one of a node.
#[derive(Default)]
pub(crate) struct Held(Mutex<Requests>);

#[derive(Default)]
struct Requests {
    is_closed: bool,
    next: u64,
    by_node: HashMap<i64, Request>,
}

struct Request {
    number: u64,
    name: Box<str>,
    policy: Box<str>,
    group: Box<str>,
    bell: Arc<Notify>,
}

/// The place of a held request, until it is dropped.
pub(crate) struct Place {
    held: Arc<Held>,
    node: i64,
    number: u64,
    bell: Arc<Notify>,
}

impl Held {
    /// A place for a request of `node`. What changes from here on is not missed; what changed before is. A request of the
    /// same node that is held already ends. There is none in a store that goes down.
    ///
    /// # Errors
    /// Where [`limits::HELD_REQUESTS`] others are held: it should come back later.
    pub(crate) fn place(self: &Arc<Self>, node: &KnownNode) -> StoreResult<Place> {
        let mut requests = self.requests();
        if requests.by_node.len() >= limits::HELD_REQUESTS && !requests.by_node.contains_key(&node.id) {
            return Err(StoreError::holds_too_many());
        }
        let Assignment { name, policy, group, .. } = &node.assignment;
        let (number, bell) = (requests.next, Arc::new(Notify::new()));
        requests.next += 1;
        let (name, policy, group) = (name.as_str().into(), policy.as_str().into(), group.as_str().into());
        let request = Request { number, name, policy, group, bell: bell.clone() };
        if !requests.is_closed
            && let Some(earlier) = requests.by_node.insert(node.id, request)
        {
            earlier.bell.notify_one();
        }
        Ok(Place { held: self.clone(), node: node.id, number, bell })
    }

    /// Has those look again whom a change concerns.
    pub(crate) fn tell(&self, changed: Changed<'_>) {
        for request in self.requests().by_node.values() {
            let concerned = match changed {
                Changed::Group(policy, group) => *request.policy == *policy && *request.group == *group,
                Changed::Policy(policy) => *request.policy == *policy,
                Changed::Node(name) => *request.name == *name,
            };
            if concerned {
                request.bell.notify_one();
            }
        }
    }

    /// Ends all of them, and holds none any more.
    pub(crate) fn close(&self) {
        let mut requests = self.requests();
        requests.is_closed = true;
        for (_, request) in requests.by_node.drain() {
            request.bell.notify_one();
        }
    }

    /// Whether it was closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.requests().is_closed
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Whether it is told what concerns a node that is to run this.
    pub(crate) fn is_for(&self, assignment: &Assignment) -> bool {
        let requests = self.held.requests();
        requests
            .by_node
            .get(&self.node)
            .is_some_and(|request| *request.policy == *assignment.policy && *request.group == *assignment.group)
    }

    /// Waits until something changed that may concern it, and says whether to look again: not where its time is up, another
    /// request took its place, or the store goes down.
    pub(crate) async fn should_look_again(&self, until: Instant) -> bool {
        let told = tokio::time::timeout_at(until, self.bell.notified()).await.is_ok();
        told && self.is_there()
    }

    fn is_there(&self) -> bool {
        let requests = self.held.requests();
        !requests.is_closed && requests.by_node.get(&self.node).is_some_and(|request| request.number == self.number)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut requests = self.held.requests();
        if requests.by_node.get(&self.node).is_some_and(|request| request.number == self.number) {
            requests.by_node.remove(&self.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use converge_trust::node_key::NodePublicKey;

    use super::*;

    fn node(id: i64, policy: &str, group: &str) -> KnownNode {
        let assignment = Assignment {
            name: format!("node-{id}"),
            policy: policy.to_owned(),
            group: group.to_owned(),
            tags: Vec::new(),
            attributes: Default::default(),
            revision: None,
        };
        KnownNode { id, key: NodePublicKey::from_bytes([0; 32]), revoked: false, last_contact: None, assignment }
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_wakes_those_whom_it_concerns_and_nobody_else() {
        let held = Arc::new(Held::default());
        let nodes = [node(1, "web", "dev"), node(2, "web", "prod"), node(3, "db", "dev")];
        let places: Vec<Place> = nodes.iter().map(|node| held.place(node).ok().unwrap()).collect();
        let woken = async || {
            let mut woken = Vec::new();
            for place in &places {
                woken.push(place.should_look_again(Instant::now() + Duration::from_millis(1)).await);
            }
            woken
        };
        for (changed, concerned) in [
            (Changed::Group("web", "dev"), [true, false, false]),
            (Changed::Policy("web"), [true, true, false]),
            (Changed::Node("node-3"), [false, false, true]),
            (Changed::Group("mail", "dev"), [false, false, false]),
        ] {
            held.tell(changed);
            assert_eq!(woken().await, concerned, "{changed:?}");
        }
        // What is told before anybody waits is not missed, and a second request of a node ends the first.
        held.tell(Changed::Node("node-1"));
        let second = held.place(&nodes[0]).ok().unwrap();
        assert_eq!(woken().await, [false, false, false]);
        held.tell(Changed::Node("node-1"));
        assert!(second.should_look_again(Instant::now()).await);
        drop(places);
        assert_eq!(held.requests().by_node.len(), 1);
        held.close();
        assert!(!second.should_look_again(Instant::now() + Duration::from_secs(60)).await && held.is_closed());
    }

    #[test]
    fn more_than_the_limit_are_told_to_come_back() {
        let held = Arc::new(Held::default());
        let most = i64::try_from(limits::HELD_REQUESTS).unwrap();
        let places: Vec<Place> = (0..most).map(|id| held.place(&node(id, "web", "dev")).ok().unwrap()).collect();
        let Err(StoreError::Refused(problem)) = held.place(&node(most, "web", "dev")) else { panic!("not refused") };
        assert_eq!(problem.status, 503);
        assert!(problem.retry_after.is_some_and(|seconds| (30..120).contains(&seconds)), "{problem:?}");
        assert!(held.place(&node(7, "web", "dev")).is_ok(), "one that has a place keeps it");
        drop(places);
        assert!(held.place(&node(most, "web", "dev")).is_ok());
    }
}
