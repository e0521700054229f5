//! What the store does by itself, now and then: it forgets reports that are old or too many, and sweeps away blobs that no revision
//! needs. A little at a time, resting between: whoever asks for something does not notice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use converge_model::Timestamp;

use crate::app::App;
use crate::error::{StoreError, StoreResult};
use crate::persistence::Keep;

/// Nodes whose reports are looked through at a time.
const NODES_AT_ONCE: usize = 50;
/// How long to rest at least after each step. Beyond that it rests as long as the step took.
const REST: Duration = Duration::from_millis(10);

/// What the store keeps, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Upkeep {
    /// How long reports are kept.
    pub reports_for: Duration,
    /// How many reports of a node are kept at most. The last one always is.
    pub reports_of_node: u32,
    /// How long a blob is kept that no revision needs: a publication that began must not take longer.
    pub idle_blobs_for: Duration,
    /// How often the store looks.
    pub every: Duration,
}

impl Default for Upkeep {
    fn default() -> Self {
        const HOUR: u64 = 60 * 60;
        Self {
            reports_for: Duration::from_secs(90 * 24 * HOUR),
            reports_of_node: 5_000,
            idle_blobs_for: Duration::from_secs(24 * HOUR),
            every: Duration::from_secs(HOUR),
        }
    }
}

/// Keeps the store within what `wishes` say, for as long as it is polled.
pub(crate) async fn keep_up(app: Arc<App>, wishes: Upkeep) {
    loop {
        tokio::time::sleep(wishes.every).await;
        for done in [forget_reports(&app, wishes).await, sweep_blobs(&app, wishes).await] {
            if let Err(StoreError::Trouble(error)) = done {
                tracing::error!("{error}; the store tries again in {} s", wishes.every.as_secs());
            }
        }
    }
}

async fn forget_reports(app: &Arc<App>, wishes: Upkeep) -> StoreResult<()> {
    let (mut after, mut forgotten) = (0, 0);
    loop {
        let nodes = step(app, move |app| app.database().node_numbers(after, NODES_AT_ONCE)).await?;
        let Some(last) = nodes.last() else { break };
        after = *last;
        // Of most nodes nothing is due: one step looks at them all. Of the others, one transaction a step.
        let mut left = nodes;
        while !left.is_empty() {
            let keep = Keep { since: before(app, wishes.reports_for), newest: wishes.reports_of_node.max(1) };
            let (some, rest) = step(app, move |app| forget_some(app, left, keep)).await?;
            forgotten += some;
            left = rest;
        }
    }
    if forgotten > 0 {
        tracing::info!(reports = forgotten, "old reports forgotten");
    }
    Ok(())
}

/// Forgets some reports of the first of these nodes of which some are due. Gives how many, and the nodes that are left to look at.
fn forget_some(app: &App, mut nodes: Vec<i64>, keep: Keep) -> StoreResult<(usize, Vec<i64>)> {
    while let Some(node) = nodes.last() {
        match app.database().forget_old_reports(*node, keep)? {
            0 => drop(nodes.pop()),
            forgotten => return Ok((forgotten, nodes)),
        }
    }
    Ok((0, nodes))
}

async fn sweep_blobs(app: &Arc<App>, wishes: Upkeep) -> StoreResult<()> {
    let before = before(app, wishes.idle_blobs_for);
    let swept = step(app, move |app| Ok(app.blobs().sweep(&app.database().needed_blobs()?, before)?)).await?;
    if swept.blobs > 0 {
        tracing::info!(blobs = swept.blobs, bytes = swept.bytes, "blobs swept away that no revision needs");
    }
    Ok(())
}

/// The moment so long ago.
fn before(app: &App, age: Duration) -> Timestamp {
    Timestamp(app.now().0.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)))
}

/// One step, where it may block, and a rest after it. It takes no turn from those who ask.
async fn step<T: Send + 'static>(
    app: &Arc<App>,
    work: impl FnOnce(&App) -> StoreResult<T> + Send + 'static,
) -> StoreResult<T> {
    let (app, began) = (app.clone(), Instant::now());
    let done = tokio::task::spawn_blocking(move || work(&app)).await;
    tokio::time::sleep(REST.max(began.elapsed())).await;
    done.unwrap_or_else(|error| Err(StoreError::trouble("do", "the store's upkeep", error)))
}
