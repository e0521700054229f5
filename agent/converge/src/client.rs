//! The store, as seen from a node or an operator: one method a request.
//!
//! Calls block: each runs on a small runtime of its own, made when the first request is, so that a run without a store
//! never pays for one.

mod authority;
mod blob_bytes;
mod held;
mod nodes;
mod pages;
mod policies;
mod secrets;
mod standing;

use std::time::Duration;

use crate::identity::Signer;
use crate::tls::{Trust, not_the_store};
use converge_model::{BlobRef, Cancel, Digest, Error, ErrorKind, Report, Result, RunId, Timestamp, Value};
use converge_protocol::{Assignment, MissingBlobs, Problem, ReportFilter, ReportSummary, limits};
use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Method, Request, RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) use blob_bytes::BlobBytes;
#[cfg(test)]
pub(crate) use held::Head;
pub(crate) use held::{HOLD_SECONDS, HeldRequest, Told, Trouble};
pub(crate) use standing::{Found, LONGEST_ASKED};
use standing::{Standing, kind_of};

/// How often a request is asked: once, with the store's time, and with the key that it has taken meanwhile.
const TRIES: usize = 3;
/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the store may be silent in the middle of an answer.
const SILENCE: Duration = Duration::from_secs(20);
/// How long any answer but a blob's may take in all.
const ANSWER: Duration = Duration::from_secs(60);
/// How many bytes of a blob must come each second beyond that.
const SLOWEST: u64 = 16 << 10;
/// How long after a request to stop it is noticed.
const NOTICE: Duration = Duration::from_millis(50);

/// What the store answered to a node that asked what to run.
#[derive(Debug)]
pub(crate) enum CheckIn {
    /// Nothing changed since the answer with this tag.
    Unchanged,
    /// This, under this tag.
    Assigned(Box<Assignment>, Option<String>),
}

/// What a client authorizes its requests with.
pub(crate) enum Credentials {
    /// Nothing: who enrols shows a join token.
    Nothing,
    /// An operator's token.
    Operator(String),
    /// A node's key.
    Node(Box<Signer>),
}

/// A connection to a store.
pub(crate) struct StoreClient {
    base: String,
    trust: Trust,
    credentials: Credentials,
    http: reqwest::Client,
    /// For what is sent at length: the store says nothing meanwhile, and that is no silence.
    uploads: reqwest::Client,
    cancel: Cancel,
    standing: Standing,
    runtime: tokio::runtime::Runtime,
}

impl StoreClient {
    /// A client of the store at `base` (`https://store.example:8600`), believed to be it by `trust`.
    ///
    /// # Errors
    /// Where `base` is not a URL of a store, or the process cannot have a runtime.
    pub(crate) fn new(base: &str, trust: Trust, credentials: Credentials) -> Result<Self> {
        let wrong = |cause: String| {
            Error::new(ErrorKind::Invalid, "use", format!("the store `{base}`"), cause)
                .with_hint("give an address such as https://store.example:8600")
        };
        let url = reqwest::Url::parse(base).map_err(|error| wrong(error.to_string()))?;
        if url.scheme() != "https" || url.host_str().is_none() {
            return Err(wrong("it must begin with https:// and name a host".to_owned()));
        }
        let tls = trust.client_config()?;
        let runtime = runtime();
        let settings = || {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls.clone())
                .connect_timeout(CONNECT)
                .redirect(reqwest::redirect::Policy::none())
                .no_proxy()
                .user_agent(concat!("converge/", env!("CARGO_PKG_VERSION")))
        };
        let http = settings().read_timeout(SILENCE).build();
        let uploads = settings().build();
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            trust,
            credentials,
            cancel: Cancel::new(),
            standing: Standing::default(),
            http: http.map_err(|error| wrong(error.to_string()))?,
            uploads: uploads.map_err(|error| wrong(error.to_string()))?,
            runtime: runtime.map_err(|error| Error::io("start", "the client's runtime", &error))?,
        })
    }

    /// The same, for a run that may be told to stop: then it asks nothing more, and gives up what it was asking at once.
    /// Only what it has to tell is still told, until it is to stop now.
    #[must_use]
    pub(crate) fn stopped_by(self, cancel: &Cancel) -> Self {
        Self { cancel: cancel.clone(), ..self }
    }

    /// The same, for a store that asked to be left alone until then: until then, every request fails at once.
    #[must_use]
    pub(crate) fn leaving_alone_until(self, until: Option<Timestamp>) -> Self {
        Self { standing: Standing::of_one_to_be_left_alone(until), ..self }
    }

    /// What it found the store to be.
    pub(crate) fn found(&self) -> Found {
        self.standing.found()
    }

    /// The store's address.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Whom it believes to be the store.
    pub(crate) fn trust(&self) -> Trust {
        self.trust
    }

    /// Asks what this node should run; `etag` is that of the answer it has.
    pub(crate) fn check_in(&self, etag: Option<&str>) -> Result<CheckIn> {
        let operation = "check in at";
        let mut request = self.request(Method::GET, "/v1/node").timeout(ANSWER);
        if let Some(etag) = etag {
            request = request.header(reqwest::header::IF_NONE_MATCH, etag);
        }
        self.unless(Cancel::is_asked, operation, async {
            let response = self.send(operation, request).await?;
            if response.status() == StatusCode::NOT_MODIFIED {
                return Ok(CheckIn::Unchanged);
            }
            let etag =
                response.headers().get(reqwest::header::ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
            Ok(CheckIn::Assigned(Box::new(self.document(operation, response).await?), etag))
        })
    }

    /// Gets a blob, handing its bytes to `sink` as they come.
    ///
    /// # Errors
    /// Where the store does not give it, gives more or less than `blob.size` bytes, or `sink` fails. The digest is for the
    /// sink to check.
    pub(crate) fn blob(&self, blob: &BlobRef, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let operation = "get a blob from";
        let wrong_size = |found: u64| {
            let cause = format!("blob {} has {} bytes, but {found} came", blob.digest.short(), blob.size);
            Error::new(ErrorKind::Invalid, operation, &self.base, cause)
        };
        let request = self.request(Method::GET, &format!("/v1/blobs/{}", blob.digest)).timeout(patience(blob));
        self.unless(Cancel::is_asked, operation, async {
            let mut response = self.send(operation, request).await?;
            let mut came = 0_u64;
            while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(operation, &error))? {
                came += chunk.len() as u64;
                if came > blob.size {
                    return Err(wrong_size(came));
                }
                sink(&chunk)?;
            }
            if came == blob.size { Ok(()) } else { Err(wrong_size(came)) }
        })
    }

    /// Hands in a report. Twice is once.
    pub(crate) fn send_report(&self, report: &Report) -> Result<()> {
        self.command("send a report to", Method::POST, "/v1/reports", report)
    }

    /// Hands in the node's facts.
    pub(crate) fn send_facts(&self, facts: &Value) -> Result<()> {
        self.command("send facts to", Method::PUT, "/v1/node/facts", facts)
    }

    /// Which of these blobs the store lacks.
    pub(crate) fn missing_blobs(&self, digests: Vec<Digest>) -> Result<Vec<Digest>> {
        let mut missing = Vec::new();
        for digests in digests.chunks(limits::MISSING_DIGESTS) {
            let question = MissingBlobs { digests: digests.to_vec() };
            let answer: MissingBlobs =
                self.exchange("look for blobs at", Method::POST, "/v1/blobs/missing", Some(&question))?;
            missing.extend(answer.digests);
        }
        Ok(missing)
    }

    /// Puts a blob. A file is streamed, and may be as large as the store takes.
    pub(crate) fn put_blob(&self, blob: &BlobRef, bytes: BlobBytes<'_>) -> Result<()> {
        let request = self.uploads.put(format!("{}/v1/blobs/{}", self.base, blob.digest));
        let request = request.header(reqwest::header::CONTENT_LENGTH, blob.size).timeout(patience(blob));
        let operation = "put a blob to";
        self.unless(Cancel::is_now, operation, async {
            let body = match bytes {
                BlobBytes::Memory(bytes) => reqwest::Body::from(bytes.to_vec()),
                BlobBytes::File(path) => {
                    tokio::fs::File::open(path).await.map_err(|error| Error::io("read", path.display(), &error))?.into()
                }
            };
            self.send(operation, request.body(body)).await.map(drop)
        })
    }

    /// The newest `wanted` summaries of reports that `filter` lets through, newest first.
    pub(crate) fn reports(&self, filter: &ReportFilter, wanted: usize) -> Result<Vec<ReportSummary>> {
        let operation = "list reports at";
        let page = |after: Option<&str>| {
            let filter = ReportFilter { limit: Some(wanted), after: after.map(str::to_owned), ..filter.clone() };
            let request = self.request(Method::GET, "/v1/reports").query(&filter).timeout(ANSWER);
            self.unless(Cancel::is_now, operation, async {
                let response = self.send(operation, request).await?;
                self.document(operation, response).await
            })
        };
        self.pages(operation, page).gather(wanted)
    }

    /// One report.
    pub(crate) fn report(&self, run: RunId) -> Result<Report> {
        self.exchange::<(), _>("get a report from", Method::GET, &format!("/v1/reports/{run}"), None)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    fn exchange<Q: Serialize, A: DeserializeOwned>(
        &self,
        operation: &str,
        method: Method,
        path: &str,
        question: Option<&Q>,
    ) -> Result<A> {
        let mut request = self.request(method, path).timeout(ANSWER);
        if let Some(question) = question {
            request = request.json(question);
        }
        self.unless(Cancel::is_now, operation, async {
            let response = self.send(operation, request).await?;
            self.document(operation, response).await
        })
    }

    fn command<Q: Serialize>(&self, operation: &str, method: Method, path: &str, question: &Q) -> Result<()> {
        let request = self.request(method, path).timeout(ANSWER).json(question);
        self.unless(Cancel::is_now, operation, async {
            let status = self.send(operation, request).await?.status();
            // Whatever else comes is not the store's, and what was sent is not done.
            if status == StatusCode::NO_CONTENT {
                return Ok(());
            }
            Err(self.rubbish(operation, format!("it answered {status}, and a store says 204 of what is done")))
        })
    }

    /// Waits for `answer`, until the run is told to stop.
    fn unless<T>(
        &self,
        stopped: fn(&Cancel) -> bool,
        operation: &str,
        answer: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let told = async {
            while !stopped(&self.cancel) {
                tokio::time::sleep(NOTICE).await;
            }
        };
        self.runtime.block_on(async {
            tokio::select! {
                answer = answer => answer,
                () = told => Err(Error::new(ErrorKind::Cancelled, operation, &self.base, "the run was told to stop")),
            }
        })
    }

    /// Sends a request, authorized. Where a refusal says how to ask instead, asks again, once for each reason; where the
    /// store is busy, after a while.
    async fn send(&self, operation: &str, request: RequestBuilder) -> Result<Response> {
        let (http, request) = request.build_split();
        let mut request = request.map_err(|error| self.broken(operation, &error))?;
        self.standing.may_ask(operation, &self.base)?;
        let may_be_unchanged = request.headers().contains_key(reqwest::header::IF_NONE_MATCH);
        let mut tries = TRIES;
        loop {
            let again = request.try_clone();
            self.authorize(&mut request)?;
            let sent = self.carried(operation, &http, request).await;
            let response = sent.inspect_err(|error| self.standing.failed(error))?;
            let is_unchanged = may_be_unchanged && response.status() == StatusCode::NOT_MODIFIED;
            if response.status().is_success() || is_unchanged {
                self.standing.answered();
                if let Credentials::Node(signer) = &self.credentials {
                    signer.was_taken()?;
                }
                return Ok(response);
            }
            let asked = response.headers().get(RETRY_AFTER).and_then(|seconds| seconds.to_str().ok()?.parse().ok());
            let (error, problem) = self.refused(operation, response).await;
            if error.kind == ErrorKind::Busy
                && let Some(wait) = self.standing.wait_for(asked.map(Duration::from_secs))
                && let Some(again) = again
            {
                pause(wait).await;
                request = again;
                continue;
            }
            self.standing.failed(&error);
            tries -= 1;
            match (again, problem, &self.credentials) {
                (Some(again), Some(problem), Credentials::Node(signer)) if tries > 0 && signer.learn(&problem) => {
                    request = again;
                }
                _ => return Err(error),
            }
        }
    }

    /// Carries a request to the store, and its answer back.
    async fn carried(&self, operation: &str, http: &reqwest::Client, request: Request) -> Result<Response> {
        #[cfg(test)]
        if let Some(world) = crate::simulation::world() {
            let carried = world.carry(&request).await;
            return carried.map_err(|kind| Error::new(kind, operation, &self.base, "nothing comes back"));
        }
        http.execute(request).await.map_err(|error| self.broken(operation, &error))
    }

    fn authorize(&self, request: &mut Request) -> Result<()> {
        let value = match &self.credentials {
            Credentials::Nothing => return Ok(()),
            Credentials::Operator(token) => format!("Bearer {token}"),
            Credentials::Node(signer) => {
                let url = request.url();
                let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
                let target = format!("{}{query}", url.path());
                let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
                signer.sign(request.method().as_str(), &target, body)?
            }
        };
        let mut value = HeaderValue::from_str(&value)
            .map_err(|error| Error::new(ErrorKind::Invalid, "use", "the token of the access file", error))?;
        value.set_sensitive(true);
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(())
    }

    async fn document<A: DeserializeOwned>(&self, operation: &str, mut response: Response) -> Result<A> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(operation, &error))? {
            if body.len() + chunk.len() > limits::BODY_BYTES {
                return Err(self.rubbish(operation, format!("the answer is longer than {} bytes", limits::BODY_BYTES)));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body)
            .map_err(|error| self.rubbish(operation, format!("the answer is not what it should be: {error}")))
    }

    fn rubbish(&self, operation: &str, cause: String) -> Error {
        Error::new(ErrorKind::Failed, operation, &self.base, cause)
            .with_hint("make sure that a converge store of a fitting version answers there, and nothing else")
    }

    /// The store did not answer, or stopped in the middle.
    fn broken(&self, operation: &str, error: &reqwest::Error) -> Error {
        if let Some(cause) = not_the_store(error) {
            let hint = "somebody else may be answering for the store; where the store is a new one, enrol again at it";
            return Error::new(ErrorKind::Denied, operation, &self.base, cause).with_hint(hint);
        }
        let mut cause = error.without_url_text();
        if error.is_timeout() {
            cause = format!("no answer in time ({cause})");
        }
        let kind = if error.is_timeout() { ErrorKind::TimedOut } else { ErrorKind::Unavailable };
        Error::new(kind, operation, &self.base, cause).with_hint("is the store running, and reachable from here?")
    }

    /// The store answered no.
    async fn refused(&self, operation: &str, response: Response) -> (Error, Option<Problem>) {
        let status = response.status();
        let place = response.headers().get(reqwest::header::LOCATION).and_then(|place| place.to_str().ok());
        let hint = match (status, place) {
            (_, Some(place)) if status.is_redirection() => {
                Some(format!("it sends elsewhere ({place}): give the store's own address, and no proxy's before it"))
            }
            (StatusCode::UNAUTHORIZED, _) => Some(match &self.credentials {
                Credentials::Operator(_) => "give the right access file with --access-file".to_owned(),
                Credentials::Node(_) => {
                    "where this machine was rebuilt, enrol it with `converge enroll --again`".to_owned()
                }
                Credentials::Nothing => "ask an operator for a new join string".to_owned(),
            }),
            _ if status.is_server_error() => Some("look at the store's log".to_owned()),
            _ => None,
        };
        let problem = self.document::<Problem>(operation, response).await.ok();
        let cause = match &problem {
            Some(problem) => problem.detail.as_ref().unwrap_or(&problem.title).clone(),
            None => format!("it answered {status}"),
        };
        (Error { hint, ..Error::new(kind_of(status.as_u16()), operation, &self.base, cause) }, problem)
    }
}

/// What a client's requests are made on.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    #[cfg(test)]
    runtime.start_paused(crate::simulation::world().is_some());
    runtime.enable_all().build()
}

/// Lets a busy store be.
async fn pause(span: Duration) {
    #[cfg(test)]
    if let Some(world) = crate::simulation::world() {
        world.pass(span);
    }
    tokio::time::sleep(span).await;
}

/// The path of a node.
fn node_path(name: &str) -> Result<String> {
    Ok(format!("/v1/nodes/{}", checked("node", name)?))
}

/// A name that goes into a path, and must not lead anywhere else.
fn checked<'a>(what: &str, name: &'a str) -> Result<&'a str> {
    let checked = limits::check_name(what, name);
    checked.map_err(|cause| Error::new(ErrorKind::Invalid, "use", format!("the name of a {what}"), cause))?;
    Ok(name)
}

/// How long a blob may take.
fn patience(blob: &BlobRef) -> Duration {
    ANSWER + Duration::from_secs(blob.size / SLOWEST)
}

/// Says what went wrong without the URL, which [`Error`]'s subject has already.
trait WithoutUrl {
    fn without_url_text(&self) -> String;
}

impl WithoutUrl for reqwest::Error {
    fn without_url_text(&self) -> String {
        let mut innermost: &dyn std::error::Error = self;
        while let Some(source) = innermost.source() {
            innermost = source;
        }
        innermost.to_string()
    }
}
