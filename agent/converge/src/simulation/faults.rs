//! What goes wrong in one simulation, and how often. Each seed has a mixture of its own: where all goes wrong at once, what is
//! rare would never be reached.

use super::chance::Chance;

/// How often each thing goes wrong, in a hundred chances.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    /// A request never comes to the store.
    pub(crate) lost: u64,
    /// A request is answered, and the answer is lost.
    pub(crate) answer_lost: u64,
    /// A request comes to the store when nobody waits for the answer any more.
    pub(crate) delayed: u64,
    /// A request comes twice; one of the answers comes back.
    pub(crate) doubled: u64,
    /// An answer ends in the middle.
    pub(crate) cut: u64,
    /// Something before the store says that it is busy.
    pub(crate) busy: u64,
    /// Somebody else answers, or has their hands on the answer.
    pub(crate) evil: u64,
    /// A process of an agent is killed somewhere.
    pub(crate) kills: u64,
    /// With that, or after it, the machine's power fails.
    pub(crate) power: u64,
    /// The store is killed somewhere in a request.
    pub(crate) store_kills: u64,
    /// A clock is set.
    pub(crate) jumps: u64,
    /// Nobody comes through to the store for a while.
    pub(crate) outages: u64,
    /// Somebody deletes what an agent remembers.
    pub(crate) deletions: u64,
}

impl Faults {
    /// The mixture of a seed.
    pub(crate) fn by_chance(chance: &mut Chance) -> Self {
        let mut upto = |most: u64| if chance.percent(45) { 1 + chance.below(most) } else { 0 };
        Self {
            lost: upto(30),
            answer_lost: upto(30),
            delayed: upto(20),
            doubled: upto(20),
            cut: upto(20),
            busy: upto(15),
            evil: upto(40),
            kills: upto(60),
            power: upto(70),
            store_kills: upto(15),
            jumps: upto(15),
            outages: upto(20),
            deletions: upto(4),
        }
    }
}
