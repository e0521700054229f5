//! The least of a client: one encrypted connection, on which one request at a time is answered. It shares the processors with
//! the store that it loads, so it parses no more than it is asked for.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Trouble;

/// How long a connection may take to come about, TLS included: longer than the store lets a handshake take.
const CONNECTS: Duration = Duration::from_secs(15);

/// Where the store is, and whom to believe that it is the store.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl Target {
    /// The store at `address` that has a certificate of this authority.
    pub(crate) fn new(address: SocketAddr, authority: &[u8]) -> Result<Self, Trouble> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(authority)?)?;
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let tls = tls.with_safe_default_protocol_versions()?.with_root_certificates(roots);
        let mut tls = tls.with_no_client_auth();
        // Every handshake is a whole one: a store that was started anew knows no session of before.
        tls.resumption = Resumption::disabled();
        Ok(Self { address, name: ServerName::IpAddress(address.ip().into()), tls: TlsConnector::from(Arc::new(tls)) })
    }
}

/// A connection.
pub(crate) struct Connection {
    stream: TlsStream<TcpStream>,
    came: Vec<u8>,
}

/// What the store answered.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The tag of what a node should run.
    pub(crate) tag: Option<String>,
    /// For how many seconds it wants to be left alone.
    pub(crate) retry_after: Option<u64>,
    /// Whether it ends the connection.
    pub(crate) is_last: bool,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    /// Connects, with a whole TLS handshake.
    pub(crate) async fn open(target: &Target) -> io::Result<Self> {
        let connect = async {
            let stream = TcpStream::connect(target.address).await?;
            stream.set_nodelay(true)?;
            target.tls.connect(target.name.clone(), stream).await
        };
        let stream = tokio::time::timeout(CONNECTS, connect).await??;
        Ok(Self { stream, came: Vec::new() })
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> io::Result<Answer> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        loop {
            if let Some((mut answer, head, length)) = parsed(&self.came)? {
                while self.came.len() < head + length {
                    self.read().await?;
                }
                answer.body = self.came[head..head + length].to_vec();
                self.came.drain(..head + length);
                // A connection is held for long: what a long answer needed it does not keep.
                self.came.shrink_to(0);
                return Ok(answer);
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; 2048];
        match self.stream.read(&mut buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                self.came.extend_from_slice(&buffer[..count]);
                Ok(())
            }
        }
    }
}

/// The head of an answer, its length, and that of the body behind it; nothing where it is not whole yet.
fn parsed(came: &[u8]) -> io::Result<Option<(Answer, usize, usize)>> {
    let Some(end) = came.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "what came is no answer of HTTP");
    let text = std::str::from_utf8(&came[..end]).map_err(|_| wrong())?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.get(9..12)?.parse().ok()).ok_or_else(wrong)?;
    let (mut answer, mut length) = (Answer { status, ..Answer::default() }, 0);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let value = value.trim();
        // The store writes names of headers in small letters.
        match name {
            "etag" => answer.tag = Some(value.to_owned()),
            "retry-after" => answer.retry_after = value.parse().ok(),
            "content-length" => length = value.parse().map_err(|_| wrong())?,
            "connection" => answer.is_last = value == "close",
            "transfer-encoding" => return Err(wrong()),
            _ => {}
        }
    }
    Ok(Some((answer, end + 4, length)))
}
