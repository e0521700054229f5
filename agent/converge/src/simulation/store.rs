//! The store of a simulation: the real one without a network, which can be killed wherever it looks at its clock.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::task::Poll;

use converge_model::{Clock, Timestamp};
use converge_store::in_process::InProcess;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Method, Request, Response};

use super::authors::BEGIN;

/// The store's clocks. The true time is kept here too.
pub(crate) struct StoreClock {
    now: AtomicI64,
    /// By how much the store's wall clock is ahead.
    ahead: AtomicI64,
    /// After how many more looks it dies; below zero, never.
    looks: AtomicI64,
    died: AtomicBool,
}

/// The payload with which a store unwinds that was killed.
struct Died;

impl StoreClock {
    pub(crate) fn new() -> Self {
        let died = AtomicBool::new(false);
        Self { now: AtomicI64::new(BEGIN), ahead: AtomicI64::new(0), looks: AtomicI64::new(-1), died }
    }

    /// The true time, in milliseconds.
    pub(crate) fn true_time(&self) -> i64 {
        self.now.load(Ordering::SeqCst)
    }

    pub(crate) fn pass(&self, millis: i64) {
        self.now.fetch_add(millis, Ordering::SeqCst);
    }

    /// Sets the store's wall clock to be ahead by so much.
    pub(crate) fn set_ahead(&self, millis: i64) {
        self.ahead.store(millis, Ordering::SeqCst);
    }

    fn kill_after(&self, looks: i64) {
        self.looks.store(looks, Ordering::SeqCst);
    }
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        if self.died.load(Ordering::SeqCst) || self.looks.fetch_sub(1, Ordering::SeqCst) == 0 {
            self.died.store(true, Ordering::SeqCst);
            resume_unwind(Box::new(Died));
        }
        self.looks.fetch_max(-1, Ordering::SeqCst);
        Timestamp(self.true_time() + self.ahead.load(Ordering::SeqCst))
    }

    fn monotonic_micros(&self) -> u64 {
        self.true_time().unsigned_abs() * 1_000
    }
}

/// A request as it goes over the wire.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) method: Method,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Message {
    /// What a node asks.
    pub(crate) fn of_node(request: &reqwest::Request) -> Self {
        let query = request.url().query().map(|query| format!("?{query}")).unwrap_or_default();
        Self {
            method: request.method().clone(),
            target: format!("{}{query}", request.url().path()),
            headers: request.headers().clone(),
            body: request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default().to_vec(),
        }
    }

    /// What an operator asks.
    pub(crate) fn of_operator(method: &str, target: &str, body: Vec<u8>, token: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
        headers.insert(CONTENT_LENGTH, body.len().into());
        Self { method: method.parse().unwrap(), target: target.to_owned(), headers, body }
    }

    pub(crate) fn request(&self) -> Request<Vec<u8>> {
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.parse().unwrap();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// The store's machine.
pub(crate) struct StoreMachine {
    pub(crate) clock: Arc<StoreClock>,
    data: PathBuf,
    running: std::cell::RefCell<Option<InProcess>>,
}

impl StoreMachine {
    /// A store in `data`, which runs.
    pub(crate) fn new(data: PathBuf) -> Self {
        let host = Self { clock: Arc::new(StoreClock::new()), data, running: Default::default() };
        host.start();
        host
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.borrow().is_some()
    }

    pub(crate) fn start(&self) {
        let mut running = self.running.borrow_mut();
        if running.is_none() {
            self.clock.died.store(false, Ordering::SeqCst);
            let opened = InProcess::open(&self.data, self.clock.clone());
            *running = Some(opened.unwrap_or_else(|error| panic!("the store does not come up again: {error}")));
        }
    }

    pub(crate) fn stop(&self) {
        self.running.take();
    }

    /// Its answer; nothing where it does not run. It is killed after so many looks at its clock, and gives no answer then.
    #[expect(
        clippy::await_holding_refcell_ref,
        reason = "nobody stops or starts it while it answers: all is one thread"
    )]
    pub(crate) async fn answer(&self, message: &Message, killed_after: Option<u64>) -> Option<Response<Vec<u8>>> {
        self.clock.kill_after(killed_after.map_or(-1, |looks| looks.cast_signed()));
        let answer = match &*self.running.borrow() {
            Some(store) => unless_killed(store.answer(message.request())).await,
            None => None,
        };
        self.clock.kill_after(-1);
        if self.clock.died.load(Ordering::SeqCst) {
            self.stop();
            return None;
        }
        answer
    }
}

/// What `answer` comes to; nothing where the store is killed in it.
async fn unless_killed<T>(answer: impl Future<Output = T>) -> Option<T> {
    let mut answer = pin!(answer);
    std::future::poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| answer.as_mut().poll(context)));
        match polled {
            Ok(polled) => polled.map(Some),
            Err(payload) if payload.is::<Died>() => Poll::Ready(None),
            Err(defect) => resume_unwind(defect),
        }
    })
    .await
}
