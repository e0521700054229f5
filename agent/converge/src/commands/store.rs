//! `converge store`: be the store.

use std::sync::Arc;

use converge_model::{Error, Result};
use converge_store::{Store, StoreOptions};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::StoreArgs;
use crate::clock::MachineClock;
use crate::console::Console;
use crate::failure::Outcome;

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(args: &StoreArgs, console: Console) -> Outcome {
    let options = StoreOptions { data: args.data.clone(), listen: args.listen, clock: Arc::new(MachineClock) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Error::io("start", "the store's runtime", &error))?;
    Ok(runtime.block_on(serve(&options, console))?)
}

async fn serve(options: &StoreOptions, console: Console) -> Result<()> {
    let store = Store::open(options).await?;
    if console.is_json() {
        // Whoever reads it may go on: the address is bound. What cannot be printed is no reason not to serve.
        let _ = console.document(&serde_json::json!({
            "address": format!("http://{}", store.address()?),
            "data": options.data,
            "token_file": store.token_file(),
        }));
    }
    console.note(format_args!(
        "store at http://{}, data in {}, operator's token in {}",
        store.address()?,
        options.data.display(),
        store.token_file().display()
    ));
    let listen = |kind| signal(kind).map_err(|error| Error::io("listen for", "signals", &error));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
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
