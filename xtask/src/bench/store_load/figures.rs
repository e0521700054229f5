//! What was measured, as `cargo xtask bench` reads it.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Trouble;
use crate::process::{StoreProcess, own_cpu};

/// Requests of one sort that were answered.
#[derive(Debug, Serialize)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) what: String,
    pub(crate) requests: usize,
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// Milliseconds, as half of the requests waited at most.
    pub(crate) half: f64,
    /// Milliseconds, as 99 of 100 requests waited at most.
    pub(crate) most: f64,
    /// Milliseconds.
    pub(crate) longest: f64,
    /// CPU time of the store, in seconds.
    pub(crate) store_cpu: f64,
    /// CPU time of what loads it, in seconds.
    pub(crate) own_cpu: f64,
}

/// A figure that is not of single requests.
#[derive(Debug, Serialize)]
pub(crate) struct Fact {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) figure: f64,
    pub(crate) unit: &'static str,
}

/// All that was measured.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    pub(crate) loads: Vec<Load>,
    pub(crate) facts: Vec<Fact>,
}

impl Figures {
    /// Adds a figure.
    pub(crate) fn add(&mut self, name: &'static str, what: &'static str, figure: f64, unit: &'static str) {
        self.facts.push(Fact { name, what, figure, unit });
    }
}

/// Measures what a load costs, while it runs.
pub(crate) struct Meter {
    /// When it was started, and the CPU time that the store and this process had used by then.
    since: Option<(Instant, f64, f64)>,
    seconds: f64,
    store_cpu: f64,
    own_cpu: f64,
}

impl Meter {
    /// One that runs.
    pub(crate) fn start(store: &StoreProcess) -> Result<Self, Trouble> {
        let mut meter = Self { since: None, seconds: 0.0, store_cpu: 0.0, own_cpu: 0.0 };
        meter.go_on(store)?;
        Ok(meter)
    }

    /// Lets it run again.
    pub(crate) fn go_on(&mut self, store: &StoreProcess) -> Result<(), Trouble> {
        self.since = Some((Instant::now(), store.cpu()?, own_cpu()?));
        Ok(())
    }

    /// Stops it: what follows is not a part of the load.
    pub(crate) fn pause(&mut self, store: &StoreProcess) -> Result<(), Trouble> {
        if let Some((began, store_before, own_before)) = self.since.take() {
            self.seconds += began.elapsed().as_secs_f64();
            self.store_cpu += store.cpu()? - store_before;
            self.own_cpu += own_cpu()? - own_before;
        }
        Ok(())
    }

    /// The load that was, with how long each request waited.
    pub(crate) fn end(
        mut self,
        store: &StoreProcess,
        name: &'static str,
        what: impl Into<String>,
        mut waits: Vec<Duration>,
    ) -> Result<Load, Trouble> {
        self.pause(store)?;
        waits.sort_unstable();
        let at = |part: f64| {
            let place = (part * waits.len() as f64) as usize;
            waits.get(place.min(waits.len().saturating_sub(1))).map_or(0.0, |wait| wait.as_secs_f64() * 1e3)
        };
        let Self { since: _, seconds, store_cpu, own_cpu } = self;
        Ok(Load {
            name,
            what: what.into(),
            requests: waits.len(),
            seconds,
            half: at(0.5),
            most: at(0.99),
            longest: at(1.0),
            store_cpu,
            own_cpu,
        })
    }
}
