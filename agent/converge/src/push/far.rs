//! The far side of a push: the agent that was brought to the machine, as `converge pushed`.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use converge_model::report::{Mode, ReportedError};
use converge_model::{BlobRef, Cancel, Error, ErrorKind, Event, EventSink, Graph, Outcome as Ended, Result, RunId};
use converge_system::linux::durable::{self, Durability};
use nix::fcntl::{Flock, FlockArg};

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

/// How many things may wait to be read at the desk, and how long one may that is too many.
const MOST_UNREAD: usize = 10_000;
/// For how long a desk that reads nothing is taken to be there.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often it is looked whether anybody listens.
const WATCHING: Duration = Duration::from_millis(100);

/// How many runs are remembered whose reports nobody took.
const MOST_UNTAKEN: usize = 50;

/// Serves one push over standard input and output.
pub(crate) fn run(args: &PushedArgs, common: &CommonArgs, console: Console) -> Outcome {
    let cancel = Cancel::new();
    let (near, writer) = Near::begin(&args.mark, &cancel)?;
    let served = serve(&near, cancel, common, console);
    if let Err(Failure::Input(error) | Failure::Trouble(error)) = &served {
        near.say(&Reply::Refused(ReportedError::from(error)));
    }
    near.end(writer);
    served
}

fn serve(near: &Near, gone: Cancel, common: &CommonArgs, console: Console) -> Outcome {
    let mut input = std::io::BufReader::new(std::io::stdin());
    let Some(Request::Order(order)) = hear(&mut input)? else {
        return Err(broken("it does not begin with an order".to_owned()).into());
    };
    let mut agent = Agent::open(common, console)?;
    let place = StateDir::open(&agent.state.path("pushed"))?;
    let lock = lock(&place)?;
    let untaken = Untaken::of(&place);
    for report in untaken.runs().into_iter().filter_map(|run| LocalReports::new(&agent.state, 0).read(run)) {
        near.say(&Reply::Earlier(Box::new(report)));
    }
    let cache = BlobCache::open(&place)?;
    fill(near, &mut input, &order, &cache)?;
    let graph = graph(&cache, &order)?;

    let (taken, answers) = channel();
    thread::Builder::new()
        .name("near".to_owned())
        .spawn(move || listen(input, &taken, &gone))
        .map_err(|error| Error::io("start", "a thread", &error))?;
    if !order.detach {
        near.ends_runs_of(&agent.cancel);
    }
    agent.started_by = Some(format!("pushed by {}", order.by));
    agent.listener = Some(Arc::new(near.clone()));
    let choice = PolicyChoice::of_graph(graph, Arc::new(cache.clone()), order.group.clone())?;
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
    tidy(&cache, &order, lock, code);
    if code == SUCCESS { Ok(()) } else { Err(Failure::Said(code)) }
}

/// Says that this push uses what is kept of earlier ones: meanwhile nobody takes any of it away.
fn lock(place: &StateDir) -> Result<Flock<File>> {
    let path = place.path("lock");
    let failed = |error: &std::io::Error| Error::io("lock", path.display(), error);
    let file = File::options().create(true).append(true).mode(0o600).open(&path).map_err(|error| failed(&error))?;
    Flock::lock(file, FlockArg::LockShared).map_err(|(_, errno)| failed(&errno.into()))
}

/// Lets go of what this push did not need, unless another one may; and of what is damaged, where a run failed over it.
fn tidy(cache: &BlobCache, order: &Order, lock: Flock<File>, code: u8) {
    if lock.relock(FlockArg::LockExclusiveNonblock).is_err() {
        return;
    }
    let needed = order.blobs.iter().chain([&order.graph]).map(|blob| blob.digest).collect::<BTreeSet<_>>();
    let tidied = cache.keep_only(&needed).and_then(|()| if code == SUCCESS { Ok(0) } else { cache.drop_damaged() });
    if let Err(error) = tidied {
        tracing::warn!("what earlier pushes left stays: {error}");
    }
}

/// Gets what is missing of the order.
fn fill(near: &Near, input: &mut impl BufRead, order: &Order, cache: &BlobCache) -> Result<()> {
    let mut wanted: Vec<BlobRef> = order.blobs.iter().filter(|blob| !cache.has(blob)).copied().collect();
    if cache.read(&order.graph)?.is_none() {
        wanted.push(order.graph);
    }
    wanted.sort_unstable_by_key(|blob| blob.digest);
    wanted.dedup();
    near.say(&Reply::Wanted(wanted.clone()));
    for _ in &wanted {
        let Some(Request::Blob(blob)) = hear(input)? else {
            return Err(broken("a blob was expected".to_owned()));
        };
        cache.fill(&blob, |sink| copy(input, blob.size, sink))?;
    }
    Ok(())
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

/// Listens until the near side is gone.
fn listen(mut input: impl BufRead, taken: &Sender<RunId>, gone: &Cancel) {
    while let Ok(Some(request)) = hear(&mut input) {
        if let Request::Taken(run) = request {
            let _ = taken.send(run);
        }
    }
    gone.after_current();
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
#[derive(Clone)]
struct Near {
    lines: SyncSender<Vec<u8>>,
    /// Asked once nobody listens any more: the connection broke, or what is said is not read for [`PATIENCE`].
    gone: Cancel,
}

impl Near {
    /// Begins to speak, on a thread of its own: a desk that sleeps must not hold up a run.
    fn begin(mark: &str, gone: &Cancel) -> Result<(Self, JoinHandle<()>)> {
        let (lines, said) = sync_channel::<Vec<u8>>(MOST_UNREAD);
        let first = format!("\n{mark} here\n").into_bytes();
        let write = move || {
            let mut output = std::io::stdout();
            for line in std::iter::once(first).chain(said) {
                if output.write_all(&line).and_then(|()| output.flush()).is_err() {
                    return;
                }
            }
        };
        let writer = thread::Builder::new().name("speaker".to_owned()).spawn(write);
        let writer = writer.map_err(|error| Error::io("start", "a thread", &error))?;
        Ok((Self { lines, gone: gone.clone() }, writer))
    }

    fn say(&self, reply: &Reply) {
        let mut line = Vec::new();
        if say(&mut line, reply).is_err() || self.gone.is_asked() {
            return;
        }
        let deadline = Instant::now() + PATIENCE;
        while let Err(TrySendError::Full(unsaid)) = self.lines.try_send(line) {
            if Instant::now() > deadline {
                self.gone.after_current();
                return;
            }
            line = unsaid;
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets runs end after the current resource once nobody listens.
    fn ends_runs_of(&self, cancel: &Cancel) {
        let (gone, cancel) = (self.gone.clone(), cancel.clone());
        let watch = move || {
            while !gone.is_asked() {
                thread::sleep(WATCHING);
            }
            cancel.after_current();
        };
        // Where no thread can be had, the run ends when it is through.
        let _ = thread::Builder::new().name("watch".to_owned()).spawn(watch);
    }

    /// Waits a while until all was heard.
    fn end(self, writer: JoinHandle<()>) {
        drop(self.lines);
        let deadline = Instant::now() + TAKING;
        while !writer.is_finished() && !self.gone.is_asked() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(1));
        }
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
