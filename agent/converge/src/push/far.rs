//! The far side of a push: the agent that was brought to the machine, as `converge pushed`.

use std::collections::BTreeSet;
use std::io::{BufRead, Read, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use converge_model::report::{Mode, ReportedError};
use converge_model::{BlobRef, Cancel, Error, ErrorKind, Event, EventSink, Graph, Outcome as Ended, Result, RunId};
use converge_system::linux::durable::{self, Durability};

use super::wire::{Order, Reply, Request, broken, hear, say};
use crate::cli::{CommonArgs, PushedArgs};
use crate::console::Console;
use crate::failure::{Failure, Outcome, SUCCESS};
use crate::run::policy::PolicyChoice;
use crate::run::{Agent, Done, Limits};
use crate::state::cache::BlobCache;
use crate::state::reports::LocalReports;
use crate::state::{self, Loaded, StateDir};

/// How long the near side is waited for to say that it has the report.
const TAKING: Duration = Duration::from_secs(10);

/// How many runs are remembered whose reports nobody took.
const MOST_UNTAKEN: usize = 50;

/// Serves one push over standard input and output.
pub(crate) fn run(args: &PushedArgs, common: &CommonArgs, console: Console) -> Outcome {
    let near = Near;
    near.begin(&args.mark);
    let served = serve(near, common, console);
    if let Err(Failure::Input(error) | Failure::Trouble(error)) = &served {
        near.say(&Reply::Refused(ReportedError::from(error)));
    }
    served
}

fn serve(near: Near, common: &CommonArgs, console: Console) -> Outcome {
    let mut input = std::io::BufReader::new(std::io::stdin());
    let Some(Request::Order(order)) = hear(&mut input)? else {
        return Err(broken("it does not begin with an order".to_owned()).into());
    };
    let mut agent = Agent::open(common, console)?;
    let place = StateDir::open(&agent.state.path("pushed"))?;
    let untaken = Untaken::of(&place);
    for report in untaken.runs().into_iter().filter_map(|run| LocalReports::new(&agent.state, 0).read(run)) {
        near.say(&Reply::Earlier(Box::new(report)));
    }
    let cache = fill(near, &mut input, &order, &place)?;
    let graph = graph(&cache, &order)?;

    let (taken, answers) = channel();
    let cancel = (!order.detach).then(|| agent.cancel.clone());
    thread::Builder::new()
        .name("near".to_owned())
        .spawn(move || listen(input, &taken, cancel.as_ref()))
        .map_err(|error| Error::io("start", "a thread", &error))?;
    agent.started_by = Some(format!("pushed by {}", order.by));
    agent.listener = Some(Arc::new(near));
    let choice = PolicyChoice::of_graph(graph, Arc::new(cache), order.group.clone())?;
    let Done { report, code } = match order.mode {
        Mode::Plan => agent.plan(choice)?,
        Mode::Apply => {
            let limits = Limits {
                lock_wait: order.lock_wait.duration(),
                deadline: order.deadline.or(agent.config.deadline).map(converge_model::Span::duration),
            };
            agent.converge(choice, limits)?
        }
    };
    if order.mode == Mode::Apply {
        untaken.add(report.run)?;
    }
    near.say(&Reply::Done(Box::new(report), code));
    settle(&untaken, &answers);
    if code == SUCCESS { Ok(()) } else { Err(Failure::Said(code)) }
}

/// Gets what is missing of the order.
fn fill(near: Near, input: &mut impl BufRead, order: &Order, place: &StateDir) -> Result<BlobCache> {
    let cache = BlobCache::open(place)?;
    let all = || order.blobs.iter().chain([&order.graph]);
    let mut wanted: Vec<BlobRef> = all().filter(|blob| !cache.has(blob)).copied().collect();
    wanted.sort_unstable_by_key(|blob| blob.digest);
    wanted.dedup();
    near.say(&Reply::Wanted(wanted.clone()));
    for _ in &wanted {
        let Some(Request::Blob(blob)) = hear(input)? else {
            return Err(broken("a blob was expected".to_owned()));
        };
        cache.fill(&blob, |sink| copy(input, blob.size, sink))?;
    }
    cache.keep_only(&all().map(|blob| blob.digest).collect::<BTreeSet<_>>())?;
    Ok(cache)
}

/// Hands the next `size` bytes to `sink`.
fn copy(input: &mut impl Read, size: u64, sink: &mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()> {
    let mut buffer = vec![0; 1 << 16];
    let mut input = input.take(size);
    loop {
        match input.read(&mut buffer).map_err(|error| broken(error.to_string()))? {
            0 => return Ok(()),
            count => sink(&buffer[..count])?,
        }
    }
}

fn graph(cache: &BlobCache, order: &Order) -> Result<Graph> {
    let bytes = cache.read(&order.graph)?.ok_or_else(|| {
        Error::new(ErrorKind::Failed, "read", "the graph that was pushed", "what is kept of it is damaged")
            .with_hint("push again: it is sent anew")
    })?;
    Graph::from_bytes(&bytes)
}

/// Listens until the near side is gone. Then the run ends after the current resource, unless it may go on.
fn listen(mut input: impl BufRead, taken: &Sender<RunId>, cancel: Option<&Cancel>) {
    while let Ok(Some(request)) = hear(&mut input) {
        if let Request::Taken(run) = request {
            let _ = taken.send(run);
        }
    }
    if let Some(cancel) = cancel {
        cancel.after_current();
    }
}

/// Forgets the runs whose reports the near side has.
fn settle(untaken: &Untaken, answers: &Receiver<RunId>) {
    while !untaken.runs().is_empty() {
        match answers.recv_timeout(TAKING) {
            // What cannot be written down is told once more by the next push.
            Ok(run) => drop(untaken.remove(run)),
            Err(_) => return,
        }
    }
}

/// The runs whose reports nobody has taken yet.
struct Untaken(std::path::PathBuf);

impl Untaken {
    fn of(place: &StateDir) -> Self {
        Self(place.path("untaken.json"))
    }

    /// Oldest first; none where the file is damaged, for the machine still has the reports.
    fn runs(&self) -> Vec<RunId> {
        match state::load(&self.0) {
            Loaded::Whole(runs) => runs,
            Loaded::Absent | Loaded::Broken(_) => Vec::new(),
        }
    }

    fn add(&self, run: RunId) -> Result<()> {
        let mut runs = self.runs();
        runs.push(run);
        runs.drain(..runs.len().saturating_sub(MOST_UNTAKEN));
        state::save(&self.0, &runs, Durability::Now)
    }

    fn remove(&self, run: RunId) -> Result<()> {
        let mut runs = self.runs();
        runs.retain(|other| *other != run);
        if runs.is_empty() { durable::remove(&self.0) } else { state::save(&self.0, &runs, Durability::Soon) }
    }
}

/// The near side, as it is spoken to. That it is gone is nobody's failure: the report is kept.
#[derive(Clone, Copy)]
struct Near;

impl Near {
    fn begin(self, mark: &str) {
        let _ = std::io::stdout().lock().write_all(format!("\n{mark} here\n").as_bytes());
    }

    fn say(self, reply: &Reply) {
        let _ = say(&mut std::io::stdout().lock(), reply);
    }
}

impl EventSink for Near {
    fn emit(&self, event: &Event<'_>) {
        match event {
            Event::Started { resources, .. } => self.say(&Reply::Started(*resources)),
            Event::Finished { resource, .. } if resource.outcome != Ended::UpToDate => {
                self.say(&Reply::Resource(Box::new((*resource).clone())));
            }
            Event::Notified { target, action, outcome, error } => self.say(&Reply::Notified {
                target: (*target).clone(),
                action: (*action).to_owned(),
                outcome: *outcome,
                error: error.map(ReportedError::from),
            }),
            _ => {}
        }
    }
}
