//! A fleet that comes back at once: the store was away, and every node asks it in the same moment when it is there again.
//!
//! They do as the agent does: check in, hand in the report of the run that the store missed, then wait for news, over and
//! over. Who is refused comes back when the store said, and up to a quarter later; who gets no answer, after a while that
//! doubles, half of it by chance. That they all ask in the first moment is worse than what the agent does: its first wait is
//! spread, too.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use crate::Trouble;
use crate::figures::{Figures, Meter};
use crate::fleet::Fleet;
use crate::held::HOLD;
use crate::process::StoreProcess;
use crate::steady::changed_report;
use crate::wire::{Answer, Connection, Target};

/// For how long the store is away.
const AWAY: Duration = Duration::from_secs(3);
/// The first wait after no answer, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(5 * 60);
/// How much longer than it asked to be held a node waits for the answer.
const GRACE: Duration = Duration::from_secs(15);

/// What one node went through.
#[derive(Default)]
struct Story {
    /// From when the store was there again until all that it wanted was answered.
    served: Duration,
    /// What it was told when it was refused, in seconds.
    refused: Vec<u64>,
    /// How often there was no connection, or none any more.
    failed: usize,
    /// When it asked to be held, since the store was there again.
    asked: Vec<Duration>,
}

/// Takes the store away, brings it back, and lets `fleet` loose on it; then looks on for `rounds` times as long as a request is
/// held.
pub(crate) async fn herd(
    store: &mut StoreProcess,
    fleet: &Arc<Fleet>,
    rounds: u32,
    figures: &mut Figures,
) -> Result<(), Trouble> {
    store.end()?;
    sleep(AWAY).await;
    store.start_again()?;
    let (target, began) = (store.target()?, Instant::now());
    let until = began + Duration::from_secs(HOLD) * rounds + GRACE;
    let (tell, mut served) = tokio::sync::mpsc::unbounded_channel();
    let meter = Meter::start(store)?;
    let nodes: Vec<_> = (0..fleet.len())
        .map(|node| {
            let node = Node { number: node, target: target.clone(), fleet: fleet.clone(), began, waits: 0 };
            tokio::spawn(node.live(until, tell.clone()))
        })
        .collect();
    drop(tell);
    let mut waits = Vec::new();
    while let Some(wait) = served.recv().await {
        waits.push(wait);
    }
    if waits.len() < fleet.len() {
        return Err(format!("of {} nodes {} were served", fleet.len(), waits.len()).into());
    }
    let all = waits.iter().max().copied().unwrap_or_default();
    figures.loads.push(meter.end(store, "store-herd", "nodes that come back at once", waits)?);
    figures.add("store-herd", "until all were served", all.as_secs_f64(), "s");
    let mut stories = Vec::new();
    for node in nodes {
        stories.push(node.await??);
    }
    tell_refusals(&stories, figures);
    tell_echo(&stories, all, until - began, figures);
    Ok(())
}

/// What the store told those that it did not serve at once.
fn tell_refusals(stories: &[Story], figures: &mut Figures) {
    let refused: Vec<u64> = stories.iter().flat_map(|story| story.refused.iter().copied()).collect();
    figures.add("store-herd", "requests told to come later", refused.len() as f64, "");
    if let Some((soonest, latest)) = refused.iter().min().zip(refused.iter().max()) {
        figures.add("store-herd", "after, at the soonest", *soonest as f64, "s");
        figures.add("store-herd", "after, at the latest", *latest as f64, "s");
    }
    let failed: usize = stories.iter().map(|story| story.failed).sum();
    figures.add("store-herd", "connections that came to nothing", failed as f64, "");
}

/// How evenly nodes ask to be held again, when the herd was served: the busiest second by the mean, in what is left of the
/// first round after it, and in the last round.
fn tell_echo(stories: &[Story], served: Duration, until: Duration, figures: &mut Figures) {
    let mut seconds = vec![0_usize; until.as_secs() as usize + 1];
    for moment in stories.iter().flat_map(|story| &story.asked) {
        if let Some(second) = seconds.get_mut(moment.as_secs() as usize) {
            *second += 1;
        }
    }
    let mean = stories.len() as f64 / HOLD as f64;
    let busiest = |from: u64, to: u64| {
        let part = seconds.get(from as usize..(to as usize).min(seconds.len())).unwrap_or_default();
        part.iter().max().copied().unwrap_or_default() as f64 / mean
    };
    let first = served.as_secs() + 2;
    figures.add("store-herd", "busiest second while they were served", busiest(0, first), "×");
    figures.add("store-herd", "busiest second of the round after", busiest(first, first + HOLD), "×");
    let last = until.as_secs() - GRACE.as_secs();
    figures.add(
        "store-herd",
        "busiest second of the last round",
        busiest(last.saturating_sub(HOLD).max(first), last),
        "×",
    );
}

/// A node of the herd.
struct Node {
    number: usize,
    target: Target,
    fleet: Arc<Fleet>,
    began: Instant,
    /// How often it waited in a row.
    waits: u32,
}

impl Node {
    /// Asks as the agent does, until it is time to end.
    async fn live(
        mut self,
        until: Instant,
        tell: tokio::sync::mpsc::UnboundedSender<Duration>,
    ) -> Result<Story, Trouble> {
        let mut story = Story::default();
        let mut connection = None;
        let check_in = |node: &Self| node.fleet.check_in(node.number, None);
        self.ask(&mut connection, &mut story, check_in, until).await?;
        let report = changed_report()?;
        let hand_in = |node: &Self| node.fleet.report(node.number, &report);
        self.ask(&mut connection, &mut story, hand_in, until).await?;
        story.served = self.began.elapsed();
        // Nobody hears it where another node failed, which is told.
        let _ = tell.send(story.served);
        drop(tell);
        let wait = |node: &Self| node.fleet.check_in(node.number, Some(HOLD));
        while Instant::now() < until {
            story.asked.push(self.began.elapsed());
            if self.ask(&mut connection, &mut story, wait, until).await?.is_none() {
                break;
            }
        }
        Ok(story)
    }

    /// Asks until there is an answer that is none of a store that is busy; nothing where the time is up before that.
    async fn ask(
        &mut self,
        connection: &mut Option<Connection>,
        story: &mut Story,
        request: impl Fn(&Self) -> Vec<u8>,
        until: Instant,
    ) -> Result<Option<Answer>, Trouble> {
        loop {
            let wait = match timeout_at(until, self.exchange(connection, &request)).await {
                Err(_) => return Ok(None),
                Ok(Ok(answer)) if matches!(answer.status, 200 | 204 | 304) => {
                    self.waits = 0;
                    return Ok(Some(answer));
                }
                Ok(Ok(Answer { status: 503, retry_after: Some(asked), .. })) => {
                    story.refused.push(asked);
                    let asked = Duration::from_secs(asked);
                    asked + up_to(asked / 4)
                }
                Ok(Ok(answer)) => return Err(crate::fleet::refused("go on", answer.status, &answer.body)),
                Ok(Err(_)) => {
                    story.failed += 1;
                    let full = (FIRST_WAIT * (1 << self.waits.min(9))).min(LONGEST_WAIT);
                    self.waits += 1;
                    full / 2 + up_to(full / 2)
                }
            };
            sleep_until((Instant::now() + wait).min(until)).await;
            if Instant::now() >= until {
                return Ok(None);
            }
        }
    }

    async fn exchange(
        &self,
        kept: &mut Option<Connection>,
        request: &impl Fn(&Self) -> Vec<u8>,
    ) -> std::io::Result<Answer> {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::open(&self.target).await?,
        };
        // Signed when it is sent: a token is good for a minute.
        let answer = connection.ask(&request(self)).await?;
        if !answer.is_last {
            *kept = Some(connection);
        }
        Ok(answer)
    }
}

/// Somewhere from nothing to `most`, by chance.
fn up_to(most: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness all come back together: the figures show it.
    let _ = getrandom::fill(&mut random);
    most.mul_f64(f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX))
}
