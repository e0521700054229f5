//! The connection to systemd: made when it is first needed, kept on a thread of its own while it is used, and closed
//! soon after.
//!
//! Root speaks to systemd directly, over its private socket: that works without a message bus, and while the bus itself
//! is restarted. Everybody else, who may only look, goes through the system bus. On the private socket systemd tells
//! every listener of everything, so a connection that nobody reads would fill systemd's own queue: hence the thread.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use converge_model::{Error, ErrorKind, Result};
use tokio::runtime::{self, Handle};
use zbus::Connection;
use zbus::connection::Builder;

use super::private_socket;

/// How long an unused connection is kept: longer than a run pauses between two services, and no longer.
const IDLE: Duration = Duration::from_secs(3);
/// How long connecting may take.
const CONNECT: Duration = Duration::from_secs(10);
const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";

/// The way to systemd.
#[derive(Clone, Debug, Default)]
pub(super) struct Bus {
    slot: Arc<Mutex<Option<Live>>>,
}

/// A connection, and the thread that drives it.
#[derive(Clone, Debug)]
struct Live {
    connection: Connection,
    handle: Handle,
    /// How often the connection was taken.
    uses: Arc<AtomicUsize>,
    /// How many calls use it now.
    users: Arc<AtomicUsize>,
}

impl Bus {
    /// Does `work` with a connection and waits for it. `work` bounds its own time.
    ///
    /// # Errors
    /// Where there is no way to systemd.
    pub(super) fn run<T, F>(&self, work: impl FnOnce(Connection) -> F) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let live = self.live()?;
        let (sender, receiver) = mpsc::sync_channel(1);
        let work = work(live.connection.clone());
        live.handle.spawn(async move {
            // Nobody to tell means nobody waits any more.
            let _ = sender.send(work.await);
        });
        let done = receiver.recv();
        live.users.fetch_sub(1, Ordering::AcqRel);
        done.map_err(|_| Error::new(ErrorKind::Failed, "talk to", "systemd", "the connection's thread ended"))
    }

    /// Closes the connection, because it turned out to be dead: systemd was executed anew. The next call makes another.
    pub(super) fn reset(&self) {
        *self.slot() = None;
    }

    fn live(&self) -> Result<Live> {
        let mut slot = self.slot();
        let live = match slot.as_ref() {
            Some(live) => live.clone(),
            None => slot.insert(self.connect()?).clone(),
        };
        live.users.fetch_add(1, Ordering::AcqRel);
        live.uses.fetch_add(1, Ordering::AcqRel);
        Ok(live)
    }

    fn slot(&self) -> MutexGuard<'_, Option<Live>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread, and waits until it is connected.
    fn connect(&self) -> Result<Live> {
        let unable = |cause: String| {
            Error::new(ErrorKind::Unavailable, "talk to", "systemd", cause)
                .with_hint("run as root, or look whether systemd and the system bus are well: systemctl status")
        };
        let (sender, receiver) = mpsc::sync_channel(1);
        let bus = self.clone();
        let drive = move || {
            let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = sender.send(Err(error.to_string()));
                    return;
                }
            };
            runtime.block_on(async move {
                let connection = match tokio::time::timeout(CONNECT, open()).await {
                    Ok(opened) => opened,
                    Err(_) => Err(format!("it did not answer within {} seconds", CONNECT.as_secs())),
                };
                let live = connection.map(|connection| Live {
                    connection,
                    handle: Handle::current(),
                    uses: Arc::default(),
                    users: Arc::default(),
                });
                let kept = live.as_ref().ok().cloned();
                if sender.send(live).is_ok()
                    && let Some(live) = kept
                {
                    bus.keep(live).await;
                }
            });
        };
        let thread = std::thread::Builder::new().name("systemd".to_owned()).spawn(drive);
        thread.map_err(|error| unable(format!("no thread could be started: {error}")))?;
        receiver.recv().unwrap_or_else(|_| Err("the connection's thread ended".to_owned())).map_err(unable)
    }

    /// Returns when nobody has used the connection for a while.
    async fn keep(&self, live: Live) {
        let mut seen = live.uses.load(Ordering::Acquire);
        loop {
            tokio::time::sleep(IDLE).await;
            let mut slot = self.slot();
            let uses = live.uses.load(Ordering::Acquire);
            let replaced = slot.as_ref().is_none_or(|kept| !Arc::ptr_eq(&kept.users, &live.users));
            if live.users.load(Ordering::Acquire) == 0 && (uses == seen || replaced) {
                if !replaced {
                    *slot = None;
                }
                return;
            }
            seen = uses;
        }
    }
}

/// The nearest way to systemd that is open.
async fn open() -> std::result::Result<Connection, String> {
    let mut failures = Vec::new();
    if rustix::process::geteuid().is_root() {
        match private_socket::connect().await {
            Ok(connection) => return Ok(connection),
            Err(error) => failures.push(error),
        }
    }
    match Builder::address(SYSTEM_BUS).build().await {
        Ok(connection) => Ok(connection),
        Err(error) => {
            failures.push(format!("the system bus: {error}"));
            Err(failures.join("; "))
        }
    }
}
