//! The request that a daemon holds at its store between two runs: tell me when what I should run is no longer this.
//!
//! It is asked without the runtime and the HTTP client of a run's requests: what those touch would stay in the memory of a
//! daemon that does nothing but wait.

use std::io::{ErrorKind as IoKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use converge_model::{Error, ErrorKind, Result};
use converge_protocol::Problem;
use converge_system::linux::resident::let_go_of_the_program;
use reqwest::Url;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use super::standing::kind_of;
use super::{CONNECT, SILENCE, TRIES};
use crate::identity::Signer;
use crate::tls::{Trust, not_the_store};

/// For how many seconds the store is asked to hold the request: shorter than what gateways on the way cut off, and than a
/// request's token is good.
pub(crate) const HOLD_SECONDS: u64 = 50;
/// How much longer to wait for the answer.
const GRACE: Duration = Duration::from_secs(15);
/// The longest head of an answer, and the longest problem document, in bytes.
const LONGEST: usize = 16 << 10;
/// What is attempted, in errors.
const OPERATION: &str = "wait for news at";

/// What the store answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing changed.
    Nothing,
    /// What is to be run has this tag now.
    Changed(String),
}

/// Why there is no answer.
#[derive(Debug)]
pub(crate) struct Trouble {
    /// What happened.
    pub error: Error,
    /// How long the store wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self { error, retry_after: None }
    }
}

/// Who asks, and where.
pub(crate) struct HeldRequest {
    base: String,
    host: String,
    port: u16,
    /// What the `Host` header says.
    authority: String,
    target: String,
    tls: Arc<ClientConfig>,
    signer: Signer,
    connection: Option<Connection>,
}

type Connection = StreamOwned<ClientConnection, TcpStream>;

/// The head of an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    status: u16,
    tag: Option<String>,
    retry_after: Option<u64>,
    length: Option<usize>,
    is_last: bool,
}

impl HeldRequest {
    /// The request of the node that `signer` signs for, at the store `base`.
    ///
    /// # Errors
    /// Where `base` is not a URL of a store, or nobody is trusted.
    pub(crate) fn new(base: &str, trust: Trust, signer: Signer) -> Result<Self> {
        let wrong = |cause: String| {
            Error::new(ErrorKind::Invalid, "use", format!("the store `{base}`"), cause)
                .with_hint("give an address such as https://store.example:8600")
        };
        let url = Url::parse(base).map_err(|error| wrong(error.to_string()))?;
        let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
            return Err(wrong("it must name a host".to_owned()));
        };
        if url.scheme() != "https" {
            return Err(wrong("it must begin with https://".to_owned()));
        }
        let mut tls = trust.client_config()?;
        tls.resumption = Resumption::in_memory_sessions(2);
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            host: host.trim_matches(['[', ']']).to_owned(),
            port,
            authority: url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")),
            target: format!("{}/v1/node?wait={HOLD_SECONDS}", url.path().trim_end_matches('/')),
            tls: Arc::new(tls),
            signer,
            connection: None,
        })
    }

    /// Asks, and waits for the answer: until what this node should run has no longer the tag `known`, or for
    /// [`HOLD_SECONDS`]. Without a tag the answer comes at once.
    ///
    /// # Errors
    /// Where the store cannot be reached, or answers neither.
    pub(crate) fn ask(&mut self, known: Option<&str>) -> std::result::Result<Told, Trouble> {
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let head = self.exchange(known)?;
            match (head.status, head.tag) {
                (304, _) => {
                    self.signer.was_taken()?;
                    return Ok(Told::Nothing);
                }
                (200, Some(tag)) => {
                    // What it is, the run asks for itself.
                    self.connection = None;
                    self.signer.was_taken()?;
                    return Ok(Told::Changed(tag));
                }
                (200, None) => return Err(self.rubbish("it gave what it should run no tag").into()),
                (status, _) => {
                    let problem = self.problem(head.length);
                    self.connection = None;
                    if tries > 0 && problem.as_ref().is_some_and(|problem| self.signer.learn(problem)) {
                        continue;
                    }
                    let retry_after = head.retry_after.or(problem.as_ref().and_then(|problem| problem.retry_after));
                    let said = problem.map(|problem| problem.detail.unwrap_or(problem.title));
                    let cause = said.unwrap_or_else(|| format!("it answered {status}"));
                    let error = Error::new(kind_of(status), OPERATION, &self.base, cause);
                    return Err(Trouble { error, retry_after: retry_after.map(Duration::from_secs) });
                }
            }
        }
    }

    /// Sends the request and reads the head of its answer. A connection that was kept may have ended meanwhile: then there
    /// is a new one.
    fn exchange(&mut self, known: Option<&str>) -> Result<Head> {
        if let Some(kept) = self.connection.take()
            && let Ok(head) = self.exchange_over(kept, known)
        {
            return Ok(head);
        }
        let connection = self.connect()?;
        self.exchange_over(connection, known)
    }

    fn exchange_over(&mut self, mut connection: Connection, known: Option<&str>) -> Result<Head> {
        let authorization = self.signer.sign("GET", &self.target, &[])?;
        let condition = known.map(|tag| format!("If-None-Match: {tag}\r\n")).unwrap_or_default();
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: converge/{}\r\nAuthorization: {authorization}\r\n{condition}\r\n",
            self.target,
            self.authority,
            env!("CARGO_PKG_VERSION"),
        );
        let sent = connection.write_all(request.as_bytes()).and_then(|()| connection.flush());
        sent.map_err(|error| self.broken(&error))?;
        // From here on there is nothing to do but to wait; most of the program was needed to come this far.
        let_go_of_the_program();
        let deadline = Instant::now() + Duration::from_secs(HOLD_SECONDS) + GRACE;
        let text = read_head(&mut connection, deadline).map_err(|error| self.broken(&error))?;
        let head = Head::parse(&text).ok_or_else(|| self.rubbish("what came is no answer of HTTP"))?;
        if !head.is_last {
            self.connection = Some(connection);
        }
        Ok(head)
    }

    fn connect(&self) -> Result<Connection> {
        let broken = |error: std::io::Error| self.broken(&error);
        let name = ServerName::try_from(self.host.clone());
        let name = name.map_err(|error| Error::new(ErrorKind::Invalid, OPERATION, &self.base, error))?;
        let mut last = std::io::Error::other("its name has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs().map_err(broken)? {
            match TcpStream::connect_timeout(&address, CONNECT) {
                Ok(stream) => {
                    let set = |limit| stream.set_read_timeout(limit).and_then(|()| stream.set_write_timeout(limit));
                    set(Some(SILENCE)).and_then(|()| stream.set_nodelay(true)).map_err(broken)?;
                    let tls = ClientConnection::new(self.tls.clone(), name);
                    let tls = tls.map_err(|error| Error::new(ErrorKind::Failed, OPERATION, &self.base, error))?;
                    return Ok(StreamOwned::new(tls, stream));
                }
                Err(error) => last = error,
            }
        }
        Err(broken(last))
    }

    /// What a refusal says; nothing where it cannot be read.
    fn problem(&mut self, length: Option<usize>) -> Option<Problem> {
        let length = length.filter(|length| *length <= LONGEST)?;
        let mut body = vec![0; length];
        self.connection.as_mut()?.read_exact(&mut body).ok()?;
        serde_json::from_slice(&body).ok()
    }

    fn broken(&self, error: &std::io::Error) -> Error {
        let wrapped: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|wrapped| wrapped as _);
        if let Some(cause) = wrapped.and_then(not_the_store) {
            return Error::new(ErrorKind::Denied, OPERATION, &self.base, cause);
        }
        let (kind, cause) = match error.kind() {
            IoKind::WouldBlock | IoKind::TimedOut => (ErrorKind::TimedOut, "no answer in time".to_owned()),
            IoKind::UnexpectedEof => (ErrorKind::Unavailable, "it ended the connection".to_owned()),
            _ => (ErrorKind::Unavailable, error.to_string()),
        };
        Error::new(kind, OPERATION, &self.base, cause).with_hint("is the store running, and reachable from here?")
    }

    fn rubbish(&self, cause: &str) -> Error {
        Error::new(ErrorKind::Failed, OPERATION, &self.base, cause)
            .with_hint("make sure that a converge store of a fitting version answers there, and nothing else")
    }
}

/// Reads up to the empty line after a head, a byte at a time: what is behind it is left to whoever wants it.
fn read_head(connection: &mut Connection, deadline: Instant) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    while !head.ends_with(b"\r\n\r\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(IoKind::TimedOut.into());
        }
        if head.len() >= LONGEST {
            return Err(std::io::Error::new(IoKind::InvalidData, "the head of its answer does not end"));
        }
        connection.sock.set_read_timeout(Some(left))?;
        let mut byte = [0];
        match connection.read(&mut byte) {
            Ok(0) => return Err(IoKind::UnexpectedEof.into()),
            Ok(_) => head.push(byte[0]),
            Err(error) if error.kind() == IoKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    connection.sock.set_read_timeout(Some(SILENCE))?;
    Ok(head)
}

impl Head {
    /// The head in these bytes; nothing where they are none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.split("\r\n");
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let mut head = Self { status, ..Self::default() };
        for line in lines.take_while(|line| !line.is_empty()) {
            let (name, value) = line.split_once(':')?;
            let value = value.trim();
            match name.to_ascii_lowercase().as_str() {
                // It goes back to the store in a header, and must be no more than one.
                "etag" => head.tag = value.bytes().all(|byte| byte.is_ascii_graphic()).then(|| value.to_owned()),
                "retry-after" => head.retry_after = value.parse().ok(),
                "content-length" => head.length = Some(value.parse().ok()?),
                "connection" => head.is_last = value.eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_and_what_is_none_is_refused() {
        let head =
            b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length:12\r\nConnection: Close\r\n\r\n";
        let found = Head { status: 503, tag: None, retry_after: Some(7), length: Some(12), is_last: true };
        assert_eq!(Head::parse(head), Some(found));
        let tag =
            |value: &str| Head::parse(format!("HTTP/1.1 200 OK\r\neTag: {value}\r\n\r\n").as_bytes()).unwrap().tag;
        assert_eq!(tag("\"abc\"").as_deref(), Some("\"abc\""));
        assert_eq!(tag("\"a\nX: y\""), None, "a tag that is more than a tag");
        for wrong in [
            &b""[..],
            b"HTTP/1.1",
            b"HTTP/1.1 2",
            b"HTTP/2 200 OK\r\n\r\n",
            b"220 mail.example ESMTP\r\n\r\n",
            b"HTTP/1.1 20x OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nno header\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            b"HTTP/1.1 200 \xff\r\n\r\n",
        ] {
            assert_eq!(Head::parse(wrong), None, "{}", String::from_utf8_lossy(wrong));
        }
    }
}
