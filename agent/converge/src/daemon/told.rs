//! What the store told between runs, and when to converge because of it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use converge_model::Clock;

use super::backoff::Backoff;
use crate::clock::{MachineClock, up_to};
use crate::state::StateDir;
use crate::state::assignment::Remembered;
use crate::state::contact::Contact;

/// Nodes that are told of the same change begin to converge within this long, each at a moment of its own.
const SPLAY: Duration = Duration::from_millis(1_500);
/// At most so many runs begin within [`WHILE`] because the store told something: one that changes its mind all the time, or
/// that somebody else has, does not keep a node busy.
const AT_ONCE: usize = 6;
/// See [`AT_ONCE`].
const WHILE: Duration = Duration::from_secs(3 * 60);

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Wait for what differs from the answer with this tag.
    Listen(Option<String>),
    /// Converge after this long.
    Converge(Duration),
}

/// What the store told.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// The tag that it told last.
    tag: Option<String>,
    /// Whether no run has begun since.
    is_new: bool,
    /// The tag of what runs remembered last.
    taken: Option<String>,
    /// When runs began because of it, oldest first.
    runs: VecDeque<Instant>,
    /// Of runs that could not take it, because the store did not give it all.
    backoff: Backoff,
}

/// What came of the last run.
#[derive(Debug, Default)]
struct Took {
    /// The tag of what it remembered.
    tag: Option<String>,
    /// Whether the store was in trouble, and how long that wants to be left alone.
    trouble: Option<Option<Duration>>,
}

impl Told {
    /// The store told that what this node should run has this tag now.
    pub(super) fn hear(&mut self, tag: String) {
        self.is_new |= self.tag.as_ref() != Some(&tag);
        self.tag = Some(tag);
    }

    /// A run begins, because of it or not.
    pub(super) fn begin_run(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_new) {
            self.runs.push_back(now);
            if self.runs.len() > AT_ONCE {
                self.runs.pop_front();
            }
        }
    }

    /// What to do when no run is under way, at a node of `store`.
    pub(super) fn then(&mut self, state: &StateDir, store: Option<&str>, now: Instant) -> Then {
        let Some(store) = store else { return self.after(Took::default(), now) };
        let contact = Contact::load(state, store);
        let alone = contact.left_alone_for(MachineClock.now());
        self.after(Took { tag: Remembered::tag(state, store), trouble: contact.trouble.map(|_| alone) }, now)
    }

    /// The same, where that came of the last run.
    fn after(&mut self, took: Took, now: Instant) -> Then {
        let Took { tag: taken, trouble } = took;
        match trouble {
            // What was told is still there to be had.
            Some(alone) if self.tag.is_some() && self.tag != taken && !self.is_new => {
                self.is_new = true;
                return Then::Converge(self.backoff.after_failure(alone).max(self.over(now)));
            }
            Some(_) => {}
            None => self.backoff.reset(),
        }
        // A run that began before may have taken it all the same.
        if self.is_new && taken != self.tag {
            return Then::Converge(self.over(now) + up_to(SPLAY));
        }
        self.is_new = false;
        if taken != self.taken {
            self.taken.clone_from(&taken);
            return Then::Listen(taken);
        }
        // What was told and not taken was refused: it is no news a second time.
        Then::Listen(self.tag.clone().or(taken))
    }

    /// How long it is until another run may begin because of what was told.
    fn over(&self, now: Instant) -> Duration {
        let first = self.runs.front().filter(|_| self.runs.len() == AT_ONCE);
        first.map_or(Duration::ZERO, |first| (*first + WHILE).saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(tag: &str) -> Option<String> {
        Some(tag.to_owned())
    }

    fn took(tag: Option<String>) -> Took {
        Took { tag, trouble: None }
    }

    fn listens(then: &Then, to: &str) -> bool {
        *then == Then::Listen(tag(to))
    }

    #[test]
    fn a_change_is_converged_once() {
        let (mut told, now) = (Told::default(), Instant::now());
        assert_eq!(told.after(took(None), now), Then::Listen(None), "a first run that came to nothing");
        assert!(listens(&told.after(took(tag("a")), now), "a"));
        told.hear("b".into());
        let Then::Converge(wait) = told.after(took(tag("a")), now) else { panic!("no run") };
        assert!(wait <= SPLAY);
        told.begin_run(now);
        assert!(listens(&told.after(took(tag("b")), now), "b"));
        // Told of what a run took that somebody else asked for.
        told.hear("c".into());
        assert!(listens(&told.after(took(tag("c")), now), "c"));
        // Told while a run was under way that took it already, and one that did not.
        told.begin_run(now);
        told.hear("d".into());
        assert!(listens(&told.after(took(tag("d")), now), "d"));
        told.begin_run(now);
        told.hear("e".into());
        assert!(matches!(told.after(took(tag("d")), now), Then::Converge(_)));
    }

    #[test]
    fn what_is_refused_is_no_news_twice() {
        let (mut told, now) = (Told::default(), Instant::now());
        told.after(took(tag("good")), now);
        told.hear("bad".into());
        assert!(matches!(told.after(took(tag("good")), now), Then::Converge(_)));
        told.begin_run(now);
        assert!(listens(&told.after(took(tag("good")), now), "bad"));
        told.hear("bad".into());
        assert!(listens(&told.after(took(tag("good")), now), "bad"));
        told.hear("good".into());
        assert!(listens(&told.after(took(tag("good")), now), "good"), "taken back");
    }

    #[test]
    fn what_a_store_in_trouble_did_not_give_is_asked_for_again_later_each_time() {
        let (mut told, now) = (Told::default(), Instant::now());
        told.after(took(tag("a")), now);
        told.hear("b".into());
        told.begin_run(now);
        let mut last = Duration::ZERO;
        for alone in [None, None, None, Some(Duration::from_secs(60))] {
            let then = told.after(Took { tag: tag("a"), trouble: Some(alone) }, now);
            let Then::Converge(wait) = then else { panic!("{then:?}") };
            assert!(wait >= last && wait >= alone.unwrap_or_default(), "{wait:?} after {last:?}");
            last = wait;
            told.begin_run(now);
        }
        assert!(listens(&told.after(took(tag("b")), now), "b"));
        assert!(listens(&told.after(Took { tag: tag("b"), trouble: Some(None) }, now), "b"), "nothing to be had");
    }

    #[test]
    fn a_store_that_always_has_news_does_not_keep_a_node_busy() {
        let (mut told, mut now) = (Told::default(), Instant::now());
        let (begin, mut runs) = (now, 0);
        for number in 0.. {
            told.hear(number.to_string());
            let Then::Converge(wait) = told.after(took(None), now) else { panic!("no run") };
            now += wait;
            if now > begin + Duration::from_secs(60 * 60) {
                break;
            }
            told.begin_run(now);
            runs += 1;
        }
        assert!((100..=126).contains(&runs), "{runs}");
        now += WHILE;
        told.hear("later".into());
        assert!(matches!(told.after(took(None), now), Then::Converge(wait) if wait <= SPLAY));
    }
}
