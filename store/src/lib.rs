//! The central server: keeps policies, nodes and reports, and never converges anything.
//!
//! - [`http`](self): requests to calls, results to documents, errors to problem documents.
//! - `app`: what the store does: enrol, publish, assign, take reports. Knows who may do it.
//! - `persistence`: one method a transaction, over an embedded database; `blobs`: a directory by digest.
//!
//! Nothing of the store's state lives in the process but the requests that it holds, and for a second which nodes were heard of.
//!
//! # Current limitations
//!
//! - Repeated requests are refused by what this process remembers: a second process on the same data would not know them.
//! - All revisions are kept, and so is all of the audit log; what was forgotten leaves room in the database's file, which does not
//!   shrink.
//! - Blobs that no revision needs are kept, and so are all reports, and all of the audit log.
//! - The rules of secrets, with the nodes that each means, come on one page.
//! - There are no pages for a browser yet.

mod access;
mod admission;
mod app;
mod backup;
mod blobs;
mod connection;
mod error;
mod files;
mod http;
#[cfg(feature = "simulation")]
pub mod in_process;
mod metrics;
mod patience;
mod persistence;
mod server;
mod tls;
mod upkeep;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use converge_model::Clock;
use converge_model::{Digest, Error, Result};
use tokio_rustls::TlsAcceptor;

use error::StoreError;

pub use access::Access;
pub use backup::{BackupSummary, backup, restore};
pub use http::{Need, openapi, routes};
pub use tls::{BroughtCertificate, TlsOptions};
pub use upkeep::Upkeep;

/// How long requests that are under way may take when the store goes down.
const LAST_ANSWERS: Duration = Duration::from_secs(10);
/// How often the store looks whether its certificate grows old, or its files changed.
const LOOK_AT_CERTIFICATE: Duration = Duration::from_secs(5);

/// Where a store keeps everything, and where it listens.
#[derive(Clone)]
pub struct StoreOptions {
    /// The data directory: database, blobs, the authority, the first operator's access.
    pub data: PathBuf,
    /// The address.
    pub listen: SocketAddr,
    /// What it proves itself with.
    pub tls: TlsOptions,
    /// What it keeps, and for how long.
    pub upkeep: Upkeep,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// A store that is ready to serve: its database is migrated, and its address is bound.
pub struct Store {
    listener: tokio::net::TcpListener,
    tls: Arc<tls::Tls>,
    app: Arc<app::App>,
    access_file: PathBuf,
    upkeep: Upkeep,
}

/// Tells a store that serves to look at its certificate now.
#[derive(Clone)]
pub struct Reload(Arc<tls::Tls>);

impl Reload {
    /// Shows a new certificate from now on. Connections that are open go on with theirs.
    ///
    /// # Errors
    /// Where the files that were brought hold no good one: the one in use stays.
    pub fn now(&self) -> Result<()> {
        self.0.renew(true).map(drop)
    }
}

impl Store {
    /// Opens the data directory, making it where it is not there, and binds the address. Must be called on a runtime.
    ///
    /// # Errors
    /// Where the address is not free, the data directory or the certificate cannot be used, or the database is newer
    /// than this software.
    pub async fn open(options: &StoreOptions) -> Result<Self> {
        let listener = server::listen(options.listen).map_err(|error| {
            Error::io("listen on", options.listen, &error).with_hint("is another store running there? Give --listen")
        })?;
        let listens = listener.local_addr().map_err(|error| Error::io("ask for", "the store's address", &error))?;
        let addresses = tls::public_addresses(listens, &options.tls.names);
        let app = app::App::open(&options.data, options.clock.clone(), addresses)?;
        let tls = tls::Tls::open(&options.data, options.listen, &options.tls, options.clock.clone())?;
        let access_file = access_file(&options.data);
        app.keep_access(&access_file, tls.pin()).map_err(StoreError::into_trouble)?;
        Ok(Self { listener, tls: Arc::new(tls), app: Arc::new(app), access_file, upkeep: options.upkeep })
    }

    /// The address under which clients reach it: `https://127.0.0.1:8600`. Tells the port where 0 was asked for.
    pub fn address(&self) -> &str {
        self.app.addresses().first().map_or("", String::as_str)
    }

    /// The digest of the certificate that clients pin; nothing where they trust whom their system trusts.
    pub fn pin(&self) -> Option<Digest> {
        self.tls.pin()
    }

    /// With this, its certificate is renewed while it serves.
    pub fn reload(&self) -> Reload {
        Reload(self.tls.clone())
    }

    /// The file that gives its first operator access.
    pub fn access_file(&self) -> &Path {
        &self.access_file
    }

    /// Serves until `shutdown` is ready, then answers what is under way, and returns: within ten seconds.
    ///
    /// # Errors
    /// Where the socket breaks, or the last that nodes were heard of cannot be written down.
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
        let acceptor = TlsAcceptor::from(self.tls.server_config()?);
        let router = http::router(self.app.clone());
        tokio::select! {
            () = server::serve(self.listener, acceptor, router, shutdown) => {}
            () = patience => {}
            () = keep_certificate_fresh(self.tls) => {}
            () = upkeep::keep_up(self.app.clone(), self.upkeep) => {}
            () = app::contacts::keep_contacts(self.app.clone()) => {}
        }
        self.app.write_contacts().map_err(StoreError::into_trouble)
    }
}

/// Renews the certificate when it is time, for as long as it is polled.
async fn keep_certificate_fresh(tls: Arc<tls::Tls>) {
    let mut said = None;
    loop {
        tokio::time::sleep(LOOK_AT_CERTIFICATE).await;
        let look = tls.clone();
        let looked = tokio::task::spawn_blocking(move || look.renew(false)).await;
        match looked {
            Ok(Ok(true)) => tracing::info!("a new certificate is in use"),
            Ok(Err(error)) if said.as_ref() != Some(&error.to_string()) => {
                tracing::error!("{error}; the certificate in use stays");
                said = Some(error.to_string());
            }
            _ => {}
        }
    }
}

/// Where the access of the first operator of the store in `data` is.
pub fn access_file(data: &Path) -> PathBuf {
    data.join("access.json")
}
