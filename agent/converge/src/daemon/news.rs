//! What the store has to tell between two runs: a thread holds a request there, and says when something is new.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use converge_model::{Clock, Error, ErrorKind, Result};

use super::Wake;
use super::backoff::Backoff;
use crate::client::{HOLD_SECONDS, HeldRequest, Told, Trouble};
use crate::clock::MachineClock;
use crate::config::{ConfigDir, NodeIdentity};
use crate::identity::Signer;
use crate::state::StateDir;
use crate::state::contact::Contact;

/// An answer that nothing changed should take this long. One that comes sooner is of a store that goes down, or that will
/// not hold the request.
const HELD_AT_LEAST: Duration = Duration::from_secs(HOLD_SECONDS / 2);
/// The stack of the thread: a TLS handshake fits in.
const STACK: usize = 512 << 10;

/// What the thread has to say.
#[derive(Debug)]
pub(super) enum News {
    /// What this node should run has this tag now. Nothing more is asked until it is told to wait on.
    Changed(String),
    /// The store answers.
    Reached,
    /// The store does not answer as it should; it is asked again after this long.
    Trouble(Box<Error>, Duration),
}

/// The thread that waits.
pub(super) struct Listening(Sender<Option<String>>);

impl Listening {
    /// Starts it. It says what is new to `wakes`, and asks nothing before it is told to wait.
    ///
    /// # Errors
    /// Where there can be no thread.
    pub(super) fn begin(config: ConfigDir, state: StateDir, wakes: Sender<Wake>) -> Result<Self> {
        let (sender, orders) = channel();
        let thread = std::thread::Builder::new().name("news".to_owned()).stack_size(STACK);
        let begun = thread.spawn(move || Thread { config, state, orders, wakes, asked: None }.listen());
        begun.map_err(|error| Error::io("start", "the thread that waits for news", &error))?;
        Ok(Self(sender))
    }

    /// Waits for what differs from the answer with the tag `known`.
    pub(super) fn wait(&self, known: Option<String>) {
        // The thread ends with the daemon alone.
        let _ = self.0.send(known);
    }
}

struct Thread {
    config: ConfigDir,
    state: StateDir,
    orders: Receiver<Option<String>>,
    wakes: Sender<Wake>,
    /// The request, with the identity that it was made for.
    asked: Option<(NodeIdentity, HeldRequest)>,
}

impl Thread {
    /// Waits for news whenever it is told to, until nobody wants to hear of it any more.
    fn listen(mut self) {
        while let Ok(known) = self.orders.recv() {
            if self.until_news(known).is_none() {
                return;
            }
        }
    }

    /// Asks until there is news; nothing where nobody wants to hear of it.
    fn until_news(&mut self, mut known: Option<String>) -> Option<()> {
        let mut backoff = Backoff::default();
        loop {
            // The last order counts: another run may have taken what was new.
            known = self.orders.try_iter().last().unwrap_or(known);
            let began = Instant::now();
            let wait = match self.ask_unless_left_alone(known.as_deref()) {
                Ok(Told::Changed(tag)) => return self.say(News::Changed(tag)),
                Ok(Told::Nothing) => {
                    self.say(News::Reached)?;
                    if began.elapsed() >= HELD_AT_LEAST {
                        backoff.reset();
                        continue;
                    }
                    backoff.after_failure(None)
                }
                Err(Trouble { error, retry_after }) => {
                    // Whatever is wrong may be with who this node is: that is read again.
                    self.asked = None;
                    let wait = backoff.after_failure(retry_after);
                    self.say(News::Trouble(Box::new(error), wait))?;
                    wait
                }
            };
            match self.orders.recv_timeout(wait) {
                Ok(newer) => known = newer,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    /// Asks; but not a store that asked a run to be left alone.
    fn ask_unless_left_alone(&mut self, known: Option<&str>) -> std::result::Result<Told, Trouble> {
        let identity = self.config.node()?.ok_or_else(|| self.config.not_a_node())?;
        match Contact::load(&self.state, &identity.store).left_alone_for(MachineClock.now()) {
            None => self.ask(identity, known),
            Some(left) => {
                let cause = "it asked the last run to be left alone";
                let error = Error::new(ErrorKind::Busy, "wait for news at", &identity.store, cause);
                Err(Trouble { error, retry_after: Some(left) })
            }
        }
    }

    fn ask(&mut self, identity: NodeIdentity, known: Option<&str>) -> std::result::Result<Told, Trouble> {
        let request = match self.asked.take() {
            Some((of, request)) if of == identity => request,
            _ => {
                let signer = Signer::new(&identity, &self.config, &self.state)?;
                HeldRequest::new(&identity.store, identity.authority.into(), signer)?
            }
        };
        self.asked.insert((identity, request)).1.ask(known)
    }

    fn say(&self, news: News) -> Option<()> {
        self.wakes.send(Wake::News(news)).ok()
    }
}
