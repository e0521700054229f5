//! Requests that the store holds: what they cost, and how soon a change reaches them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::Trouble;
use crate::figures::{Figures, Meter};
use crate::fleet::{Fleet, Operator, refused, request};
use crate::process::StoreProcess;
use crate::wire::{Connection, Target};

/// Handshakes at once.
const TOGETHER: usize = 64;
/// For how many seconds a node asks to be held, as the agent does.
pub(crate) const HOLD: u64 = 50;
/// How long to wait for the store to hold them all.
const PATIENCE: Duration = Duration::from_secs(40);

/// A node that waited, with its connection, and the moment when it was told.
type Told = (Connection, Instant);

/// All nodes connect and wait. Then something changes, and all are told.
pub(crate) async fn held(
    store: &StoreProcess,
    fleet: &Arc<Fleet>,
    operator: &Operator,
    figures: &mut Figures,
) -> Result<(), Trouble> {
    let target = store.target()?;
    let before = store.resident()?;
    let meter = Meter::start(store)?;
    let (waiting, connected) = wait_all(&target, fleet).await?;
    figures.loads.push(meter.end(store, "store-hold", "nodes that connect, one handshake each", connected)?);
    let most = await_held(&target, fleet.len()).await?;
    let resident = store.resident()?;
    figures.add("store-held", "requests held", most as f64, "");
    figures.add("store-held", "resident while they are held", resident as f64 / 1e6, "MB");
    let each = resident.saturating_sub(before) as f64 / fleet.len() as f64 / 1e3;
    figures.add("store-held", "of that for each", each, "KB");

    operator.publish(&target, 2).await?;
    let meter = Meter::start(store)?;
    let published = Instant::now();
    operator.assign(&target, 2).await?;
    let mut waits = Vec::new();
    for node in waiting {
        let (_, told) = node.await??;
        waits.push(told.saturating_duration_since(published));
    }
    figures.loads.push(meter.end(store, "store-told", "nodes that are told of a change", waits)?);
    Ok(())
}

/// Connects every node and has it wait. Gives those that wait, and how long each connection took.
async fn wait_all(
    target: &Target,
    fleet: &Arc<Fleet>,
) -> Result<(Vec<JoinHandle<Result<Told, Trouble>>>, Vec<Duration>), Trouble> {
    let turns = Arc::new(Semaphore::new(TOGETHER));
    let left = Arc::new(AtomicUsize::new(fleet.len()));
    let (waits, mut connected) = tokio::sync::mpsc::unbounded_channel();
    let mut waiting = Vec::new();
    for node in 0..fleet.len() {
        let (target, fleet, turns, waits, left) =
            (target.clone(), fleet.clone(), turns.clone(), waits.clone(), left.clone());
        waiting.push(tokio::spawn(async move {
            let turn = turns.acquire_owned().await?;
            let began = Instant::now();
            let mut connection = Connection::open(&target).await?;
            // Nobody hears it only where another node failed, which is told.
            let _ = waits.send(began.elapsed());
            left.fetch_sub(1, Ordering::Relaxed);
            drop((turn, waits));
            let answer = connection.ask(&fleet.check_in(node, Some(HOLD))).await?;
            if answer.status != 200 {
                return Err(refused("be told of a change", answer.status, &answer.body));
            }
            fleet.runs(node, answer.tag.unwrap_or_default());
            Ok((connection, Instant::now()))
        }));
    }
    drop(waits);
    let mut all = Vec::new();
    while let Some(wait) = connected.recv().await {
        all.push(wait);
    }
    if left.load(Ordering::Relaxed) > 0 {
        // The first that failed says why.
        for node in waiting {
            if node.is_finished() {
                node.await??;
            }
        }
        return Err("not every node came to be connected".into());
    }
    Ok((waiting, all))
}

/// Waits until the store holds this many requests, and gives how many it holds.
pub(crate) async fn await_held(target: &Target, wanted: usize) -> Result<usize, Trouble> {
    let deadline = Instant::now() + PATIENCE;
    let mut connection = Connection::open(target).await?;
    loop {
        let answer = connection.ask(&request("GET", "/metrics", "", "", b"")).await?;
        let text = String::from_utf8_lossy(&answer.body);
        let line = text.lines().find_map(|line| line.strip_prefix("converge_store_requests_held "));
        let held: usize = line.ok_or("the store does not say how many requests it holds")?.parse()?;
        if held >= wanted {
            return Ok(held);
        }
        if Instant::now() > deadline {
            return Err(format!("the store holds {held} requests of {wanted}").into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
