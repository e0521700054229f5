//! Loads that are there all the time: as much as the store takes, and half of that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use converge_model::report::{Conclusion, Mode, REPORT_FORMAT};
use converge_model::{Change, Outcome, Report, ResourceReport, RunId, Shown};
use tokio::time::{Instant, sleep_until};

use crate::figures::{Figures, Load, Meter};
use crate::fleet::{Fleet, POLICY, now, refused};
use crate::process::StoreProcess;
use crate::wire::{Answer, Connection};
use crate::{Plan, Trouble};

/// Connections, on each of which one request is under way.
const CONNECTIONS: usize = 64;
/// The resources that a changed report tells of; so many more were up to date.
const CHANGED: u64 = 6;
/// The part of what the store takes at most at which it is loaded evenly.
const EVENLY: f64 = 0.5;
/// Requests that are signed before any of them is asked: a signature is good for a minute.
const SIGNED: usize = 4_000;

/// What is asked again and again.
struct Sort {
    names: [&'static str; 2],
    what: &'static str,
    status: u16,
    request: fn(&Fleet, usize) -> Result<Vec<u8>, Trouble>,
}

const CHECK_INS: Sort = Sort {
    names: ["store-check-in", "store-check-in-half"],
    what: "unchanged check-ins",
    status: 304,
    request: |fleet, number| Ok(fleet.check_in(number % fleet.len(), None)),
};

const REPORTS: Sort = Sort {
    names: ["store-report", "store-report-half"],
    what: "changed reports",
    status: 204,
    request: |fleet, number| Ok(fleet.report(number % fleet.len(), &changed_report()?)),
};

/// Every node asks for the first time, and is told what to run.
pub(crate) async fn first(store: &StoreProcess, fleet: &Arc<Fleet>, figures: &mut Figures) -> Result<(), Trouble> {
    let learns = fleet.clone();
    let learn = move |node: usize, answer: Answer| learns.runs(node, answer.tag.unwrap_or_default());
    let sort = Sort { names: ["store-first"; 2], what: "first check-ins, each noted", status: 200, ..CHECK_INS };
    figures.loads.push(load(store, fleet, &sort, fleet.len(), None, learn).await?);
    Ok(())
}

/// Check-ins and reports, as many as the store takes, and half as many.
pub(crate) async fn steady(
    store: &StoreProcess,
    fleet: &Arc<Fleet>,
    plan: &Plan,
    figures: &mut Figures,
) -> Result<(), Trouble> {
    for sort in [CHECK_INS, REPORTS] {
        // What it takes shows how many make a window of the wanted length.
        let sample = load(store, fleet, &sort, plan.sample, None, ignore).await?;
        let window = plan.window;
        let count = (sample.requests as f64 / sample.seconds * window) as usize;
        let most = load(store, fleet, &sort, count, None, ignore).await?;
        let rate = most.requests as f64 / most.seconds * EVENLY;
        let evenly = load(store, fleet, &sort, (rate * window) as usize, Some(rate), ignore).await?;
        figures.loads.extend([most, evenly]);
    }
    Ok(())
}

/// So many requests of a sort: as fast as they are answered, or so many a second. They are made and signed beforehand.
async fn load(
    store: &StoreProcess,
    fleet: &Arc<Fleet>,
    sort: &Sort,
    count: usize,
    rate: Option<f64>,
    heard: impl Fn(usize, Answer) + Clone + Send + 'static,
) -> Result<Load, Trouble> {
    let (target, mut connections) = (store.target()?, Vec::new());
    for _ in 0..if rate.is_some() { 4 * CONNECTIONS } else { CONNECTIONS } {
        connections.push(Connection::open(&target).await?);
    }
    let (name, how) = match rate {
        None => (sort.names[0], format!("over {CONNECTIONS} connections")),
        Some(rate) => (sort.names[1], format!("{rate:.0} a second")),
    };
    let mut waits = Vec::with_capacity(count);
    let mut meter = Meter::start(store)?;
    for first in (0..count).step_by(SIGNED) {
        meter.pause(store)?;
        let numbers = first..(first + SIGNED).min(count);
        let requests = numbers.map(|number| (sort.request)(fleet, number)).collect::<Result<_, _>>()?;
        let asking = Arc::new(Asking { first, requests, next: AtomicUsize::new(0), status: sort.status, rate });
        meter.go_on(store)?;
        connections = asking.over(connections, &heard, &mut waits).await?;
    }
    meter.end(store, name, format!("{}, {how}", sort.what), waits)
}

/// Nobody wants to know.
fn ignore(_: usize, _: Answer) {}

/// Requests that are asked over some connections.
struct Asking {
    /// The number of the first.
    first: usize,
    requests: Vec<Vec<u8>>,
    next: AtomicUsize,
    /// What each must be answered with.
    status: u16,
    rate: Option<f64>,
}

impl Asking {
    /// Asks all of it, adds how long each answer took to `waits`, and gives the connections back.
    async fn over(
        self: Arc<Self>,
        connections: Vec<Connection>,
        heard: &(impl Fn(usize, Answer) + Clone + Send + 'static),
        waits: &mut Vec<Duration>,
    ) -> Result<Vec<Connection>, Trouble> {
        let began = Instant::now();
        let asking: Vec<_> = connections
            .into_iter()
            .map(|connection| tokio::spawn(self.clone().over_one(connection, began, heard.clone())))
            .collect();
        let mut connections = Vec::new();
        for some in asking {
            let (connection, some) = some.await??;
            connections.push(connection);
            waits.extend(some);
        }
        Ok(connections)
    }

    /// Asks over one connection until nothing is left. With a rate, each request has its millisecond: one that finds no
    /// connection free then waits from then on.
    async fn over_one(
        self: Arc<Self>,
        mut connection: Connection,
        began: Instant,
        heard: impl Fn(usize, Answer),
    ) -> Result<(Connection, Vec<Duration>), Trouble> {
        let mut waits = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(request) = self.requests.get(number) else { return Ok((connection, waits)) };
            let mut from = Instant::now();
            if let Some(rate) = self.rate {
                let due = began + Duration::from_millis((number as f64 / rate * 1e3) as u64);
                if due > from {
                    sleep_until(due).await;
                    from = Instant::now();
                } else {
                    from = due;
                }
            }
            let answer = connection.ask(request).await?;
            waits.push(from.elapsed());
            if answer.status != self.status {
                return Err(refused("go on", answer.status, &answer.body));
            }
            heard(self.first + number, answer);
        }
    }
}

/// The report of a run in which some files changed.
pub(crate) fn changed_report() -> Result<Vec<u8>, Trouble> {
    let mut random = [0; 16];
    getrandom::fill(&mut random)?;
    let started = now();
    let resource = |number: u64| -> Result<ResourceReport, Trouble> {
        let old = Shown::text(format!("worker_connections {number};\nkeepalive_timeout 30;\n"));
        let new = Shown::text(format!("worker_connections {};\nkeepalive_timeout 65;\n", number + 1));
        Ok(ResourceReport {
            id: format!("file[/etc/nginx/conf.d/site-{number}.conf]").parse()?,
            outcome: Outcome::Updated,
            changes: [Change::new("content", old, new)].into_iter().collect(),
            reason: None,
            error: None,
            ignored: false,
            audit: false,
            assumptions: Vec::new(),
            micros: 120,
            origin: None,
        })
    };
    let report = Report {
        format: REPORT_FORMAT,
        run: RunId::new(started.0, u128::from_ne_bytes(random)),
        node: String::new(),
        policy: POLICY.to_owned(),
        revision: Some(1),
        mode: Mode::Apply,
        started,
        millis: 40,
        conclusion: Conclusion::Succeeded,
        passes: 1,
        counts: BTreeMap::from([(Outcome::UpToDate, 120), (Outcome::Updated, CHANGED)]),
        resources: (0..CHANGED).map(resource).collect::<Result<_, _>>()?,
        notifications: Vec::new(),
        remarks: Vec::new(),
        undoes: None,
    };
    Ok(serde_json::to_vec(&report)?)
}
