//! `converge store`: be the store.

mod copies;

use std::sync::Arc;
use std::time::Duration;

use converge_model::{Error, Result};
use converge_store::{BroughtCertificate, Reload, Store, StoreOptions, TlsOptions, Upkeep};
use converge_system::linux::facts;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::{StoreAction, StoreArgs};
use crate::clock::MachineClock;
use crate::console::Console;
use crate::failure::Outcome;

/// Open files with which the store has all the connections that it would take.
const ENOUGH_FILES: u64 = 20_500;

/// The least time that blobs are kept that no revision needs.
const LEAST_IDLE: Duration = Duration::from_secs(600);
/// The least time between two looks for what need not be kept.
const LEAST_BETWEEN: Duration = Duration::from_secs(1);

/// Serves until SIGTERM or SIGINT, or copies.
pub(crate) fn run(args: &StoreArgs, console: Console) -> Outcome {
    match &args.action {
        Some(StoreAction::Backup { to }) => return copies::backup(&args.data, to, console),
        Some(StoreAction::Restore { from }) => return copies::restore(from, &args.data, console),
        None => {}
    }
    let mut names = args.names.clone();
    if names.is_empty() && args.listen.ip().is_unspecified() {
        names.push(facts::hostname()?);
    }
    let brought = args.certificate.clone().zip(args.key.clone());
    let brought = brought.map(|(chain, key)| BroughtCertificate { chain, key, authority: args.authority.clone() });
    let options = StoreOptions {
        data: args.data.clone(),
        listen: args.listen,
        tls: TlsOptions { names, brought },
        upkeep: Upkeep {
            reports_for: args.keep_reports.duration(),
            reports_of_node: args.keep_reports_of_node,
            // Whoever publishes asks first what is there, and sends the rest: that takes its time.
            idle_blobs_for: args.keep_idle_blobs.duration().max(LEAST_IDLE),
            every: args.tidy_every.duration().max(LEAST_BETWEEN),
        },
        clock: Arc::new(MachineClock),
    };
    allow_many_connections();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::io("start", "the store's runtime", &error))?;
    Ok(runtime.block_on(serve(&options, console))?)
}

async fn serve(options: &StoreOptions, console: Console) -> Result<()> {
    let store = Store::open(options).await?;
    if console.is_json() {
        // Whoever reads it may go on: the address is bound. What cannot be printed is no reason not to serve.
        let _ = console.document(&serde_json::json!({
            "address": store.address(),
            "data": options.data,
            "access_file": store.access_file(),
        }));
    }
    console.note(format_args!(
        "store at {}, data in {}, an operator's access in {}",
        store.address(),
        options.data.display(),
        store.access_file().display()
    ));
    let listen = |kind| signal(kind).map_err(|error| Error::io("listen for", "signals", &error));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    tokio::spawn(reload_on_request(store.reload(), listen(SignalKind::hangup())?));
    // Whoever started it as a service may go on.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let asked_to_stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    store.serve(asked_to_stop).await
}

/// Lets this process have as many connections open as the system allows it: each node has one on which it waits.
fn allow_many_connections() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, most)| setrlimit(Resource::RLIMIT_NOFILE, most, most).map(|()| most));
    match raised {
        Ok(most) if most >= ENOUGH_FILES => {}
        Ok(most) => tracing::warn!("the system allows {most} open files: fewer connections than the store would take"),
        Err(error) => tracing::warn!("how many files may be open could not be raised: {error}"),
    }
}

/// Has the store look at its certificate on each SIGHUP.
async fn reload_on_request(reload: Reload, mut hangup: Signal) {
    while hangup.recv().await.is_some() {
        let reload = reload.clone();
        match tokio::task::spawn_blocking(move || reload.now()).await {
            Ok(Ok(())) => tracing::info!("a new certificate is in use"),
            Ok(Err(error)) => tracing::error!("{error}; the certificate in use stays"),
            Err(error) => tracing::error!("the certificate could not be looked at: {error}"),
        }
    }
}
