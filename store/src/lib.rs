//! The central server: keeps policies, nodes and reports, and never converges anything.
//!
//! - [`http`](self): requests to calls, results to documents, errors to problem documents.
//! - `app`: what the store does: enrol, publish, assign, take reports. Knows who may do it.
//! - `persistence`: one method a transaction, over an embedded database; `blobs`: a directory by digest.
//!
//! Nothing of the store's state lives in the process but a signal that wakes held requests.
//!
//! # Current limitations
//!
//! - It listens on loopback only, without TLS, and knows one operator; trust, roles and the audit log are the next step.
//! - Blobs that no revision needs are kept, and so are all reports.
//! - There are no pages for a browser yet.

mod admission;
mod app;
mod blobs;
mod error;
mod http;
mod metrics;
mod persistence;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use converge_model::Clock;
use converge_model::{Error, ErrorKind, Result};

/// How long requests that are under way may take when the store goes down.
const LAST_ANSWERS: Duration = Duration::from_secs(10);

/// Where a store keeps everything, and where it listens.
#[derive(Clone)]
pub struct StoreOptions {
    /// The data directory: database, blobs, the operator's token.
    pub data: PathBuf,
    /// The address; loopback, until there is TLS.
    pub listen: SocketAddr,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// A store that is ready to serve: its database is migrated, and its address is bound.
pub struct Store {
    listener: tokio::net::TcpListener,
    app: Arc<app::App>,
    token_file: PathBuf,
}

impl Store {
    /// Opens the data directory, making it where it is not there, and binds the address. Must be called on a runtime.
    ///
    /// # Errors
    /// Where the address is not loopback or not free, the data directory cannot be used, or its database is newer than
    /// this software.
    pub async fn open(options: &StoreOptions) -> Result<Self> {
        if !options.listen.ip().is_loopback() {
            let cause = "a store without TLS listens on loopback only";
            return Err(Error::new(ErrorKind::Invalid, "listen on", options.listen, cause)
                .with_hint("listen on 127.0.0.1 or [::1]; reach it from elsewhere through an SSH tunnel"));
        }
        let app = app::App::open(&options.data, options.clock.clone())?;
        let listener = tokio::net::TcpListener::bind(options.listen).await;
        let listener = listener.map_err(|error| {
            Error::io("listen on", options.listen, &error).with_hint("is another store running there? Give --listen")
        })?;
        Ok(Self { listener, app: Arc::new(app), token_file: token_file(&options.data) })
    }

    /// Where it listens; tells the port where 0 was asked for.
    ///
    /// # Errors
    /// Where the operating system does not say.
    pub fn address(&self) -> Result<SocketAddr> {
        self.listener.local_addr().map_err(|error| Error::io("ask for", "the store's address", &error))
    }

    /// The file that holds the operator's token.
    pub fn token_file(&self) -> &Path {
        &self.token_file
    }

    /// Serves until `shutdown` is ready, then answers what is under way, and returns: within ten seconds.
    ///
    /// # Errors
    /// Where the socket breaks.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> Result<()> {
        let closing = self.app.clone();
        let (asked, mut was_asked) = tokio::sync::watch::channel(false);
        let shutdown = async move {
            shutdown.await;
            closing.release_held_requests();
            // Who no longer waits for it needs no patience.
            let _ = asked.send(true);
        };
        let patience = async move {
            if was_asked.wait_for(|asked| *asked).await.is_ok() {
                tokio::time::sleep(LAST_ANSWERS).await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        let served = axum::serve(self.listener, http::router(self.app)).with_graceful_shutdown(shutdown);
        tokio::select! {
            served = served.into_future() => served.map_err(|error| Error::io("serve", "the store", &error)),
            () = patience => Ok(()),
        }
    }
}

/// Where the operator's token of the store in `data` is.
pub fn token_file(data: &Path) -> PathBuf {
    data.join("operator.token")
}
