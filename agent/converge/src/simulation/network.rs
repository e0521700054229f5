//! The network between a machine and the store.

use std::time::Duration;

use converge_model::ErrorKind;
use http::Response;
use http::header::RETRY_AFTER;

use super::evil;
use super::store::Message;
use super::world::{World, path_of};

/// What becomes of a request.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Fine,
    Lost,
    AnswerLost,
    Delayed,
    Doubled,
    Cut,
    Busy,
    Evil,
}

impl World {
    /// Carries a request to the store, and gives what comes back of it; the kind of trouble where nothing does.
    pub(crate) async fn carry(&self, request: &reqwest::Request) -> Result<reqwest::Response, ErrorKind> {
        self.step();
        self.happen().await;
        let message = Message::of_node(request);
        let fate = self.fate();
        let who = self.machines[self.process.borrow().machine].name;
        let came = self.meet(fate, &message).await;
        let result = match &came {
            Ok(answer) => answer.status().to_string(),
            Err(kind) => format!("{kind:?}"),
        };
        self.note(format!("{who}: {} {} {fate:?} -> {result}", message.method, path_of(&message.target)));
        self.pass(Duration::from_millis(1 + self.below(80)));
        // Whatever came of it, the process may not live to see it.
        self.step();
        came.map(|answer| if matches!(fate, Fate::Cut) { self.cut(answer) } else { answer.into() })
    }

    fn fate(&self) -> Fate {
        if self.is_cut_off.get() {
            return Fate::Lost;
        }
        let faults = self.faults.get();
        let fates = [
            (faults.lost, Fate::Lost),
            (faults.answer_lost, Fate::AnswerLost),
            (faults.delayed, Fate::Delayed),
            (faults.doubled, Fate::Doubled),
            (faults.cut, Fate::Cut),
            (faults.busy, Fate::Busy),
            (faults.evil, Fate::Evil),
        ];
        let met = fates.into_iter().find(|(percent, _)| self.percent(*percent));
        met.map_or(Fate::Fine, |(_, fate)| fate)
    }

    async fn meet(&self, fate: Fate, message: &Message) -> Result<Response<Vec<u8>>, ErrorKind> {
        match fate {
            Fate::Fine | Fate::Cut => self.ask(message).await,
            Fate::Lost => Err(self.silence()),
            Fate::AnswerLost => {
                let _ = self.ask(message).await;
                Err(self.silence())
            }
            Fate::Delayed => {
                self.delayed.borrow_mut().push(message.clone());
                Err(self.silence())
            }
            Fate::Doubled => {
                let first = self.ask(message).await;
                let second = self.ask(message).await;
                if self.percent(50) { first } else { second }
            }
            Fate::Busy => {
                let mut answer = Response::new(Vec::new());
                *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
                if self.percent(70) {
                    answer.headers_mut().insert(RETRY_AFTER, self.below(90).into());
                }
                Ok(answer)
            }
            Fate::Evil => {
                // Whoever has the store under control may let it do what it would do.
                let honest = if evil::is_kept_from_store(self, message) { None } else { self.ask(message).await.ok() };
                Ok(evil::answer(self, message, honest))
            }
        }
    }

    /// The store's own answer.
    async fn ask(&self, message: &Message) -> Result<Response<Vec<u8>>, ErrorKind> {
        let killed_after = self.percent(self.faults.get().store_kills).then(|| self.below(7));
        let was_running = self.store.is_running();
        let Some(answer) = self.store.answer(message, killed_after).await else {
            if was_running {
                self.note("the store is killed at work");
            }
            return Err(ErrorKind::Unavailable);
        };
        let said = String::from_utf8_lossy(answer.body());
        assert!(answer.status() != 500, "the store failed: {} {}: {said}", message.method, message.target);
        if answer.status().is_success() {
            self.past.borrow_mut().push((path_of(&message.target), answer.body().clone()));
        }
        Ok(answer)
    }

    /// Nothing comes for a while.
    fn silence(&self) -> ErrorKind {
        if self.percent(50) {
            self.pass(Duration::from_secs(1 + self.below(60)));
            ErrorKind::TimedOut
        } else {
            ErrorKind::Unavailable
        }
    }

    /// An answer that ends in the middle, whether that can be seen or not.
    fn cut(&self, answer: Response<Vec<u8>>) -> reqwest::Response {
        let (head, mut body) = answer.into_parts();
        body.truncate(usize::try_from(self.below(body.len() as u64 + 1)).unwrap());
        if self.percent(50) {
            return Response::from_parts(head, body).into();
        }
        let broken = std::io::Error::other("the connection ended");
        let pieces = futures_util::stream::iter([Ok(body), Err(broken)]);
        Response::from_parts(head, reqwest::Body::wrap_stream(pieces)).into()
    }
}
