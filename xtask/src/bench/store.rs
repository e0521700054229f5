//! The bench `store`: a store under the load of a fleet. What loads it is `store-load`, a program of its own.

use serde::{Deserialize, Serialize};

use super::failure::{Failure, Result};
use super::figures::{Figures, Limit, Row};
use super::site::{Host, Site, last, line, text};
use crate::process::run;

/// Requests of one sort that the store answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) requests: u64,
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// Milliseconds that half of the requests waited at most.
    pub(crate) half: f64,
    /// Milliseconds that 99 of 100 requests waited at most.
    pub(crate) most: f64,
    /// Milliseconds that a request waited at most.
    pub(crate) longest: f64,
    /// CPU time of the store, in seconds.
    pub(crate) store_cpu: f64,
    /// CPU time of what loaded it, in seconds.
    pub(crate) own_cpu: f64,
}

impl Load {
    /// Requests a second, while the store had to share the processors with what loaded it.
    pub(crate) fn rate(&self) -> f64 {
        self.requests as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }

    /// Requests for each second of CPU time that the store used: what holds on other machines.
    pub(crate) fn by_cpu(&self) -> f64 {
        // The kernel counts hundredths of seconds.
        self.requests as f64 / self.store_cpu.max(0.01)
    }
}

/// A figure that is not of single requests.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Fact {
    /// The bench.
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) figure: f64,
    pub(crate) unit: String,
}

/// What `store-load` prints.
#[derive(Debug, Deserialize)]
struct Document {
    loads: Vec<Load>,
    facts: Vec<Fact>,
}

/// How many the design wants of two processors in a second: a bench, how many, and how the limits call that.
const WANTED: [(&str, f64, [&str; 2]); 2] = [
    ("store-check-in", 10_000.0, ["10,000 of them", "CPU time of the store for 10,000"]),
    ("store-report", 2_000.0, ["2,000 of them", "CPU time of the store for 2,000"]),
];
/// What a herd must not leave behind, and what it may be by the mean.
const ECHO: (&str, f64) = ("busiest second of the last round", 3.0);

/// Loads a store, and tells what came of it.
pub(crate) fn store(host: &Host, quick: bool) -> Result<Vec<Row>> {
    let build = ["cargo", "build", "--release", "--package", "xtask", "--example", "store-load"];
    if !run(&build, &[]) {
        return Err(Failure::of("build", "what loads the store", "cargo failed"));
    }
    let loader = converge_testbed::target_directory().join("release/examples/store-load");
    let directory = Host::directory().join("store");
    Host::attic().take(&directory)?;
    let mut words = line([&text(&loader), &host.tools().agent, &text(&directory)]);
    words.extend(quick.then(|| "--quick".to_owned()));
    let ended = super::site::run(&words, None)?;
    if ended.code != Some(0) {
        return Err(Failure::of("load", "the store", last(&ended.stderr)));
    }
    let document: Document = serde_json::from_str(&ended.stdout)
        .map_err(|error| Failure::of("read", "what the loader of the store says", error))?;
    Ok(rows(document))
}

/// One row a load, and one a bench that has other figures only.
fn rows(document: Document) -> Vec<Row> {
    let mut rows: Vec<Row> = document.loads.into_iter().map(row).collect();
    for fact in document.facts {
        let found = rows.iter().position(|row| row.name == fact.name).unwrap_or_else(|| {
            rows.push(Row::alone(&fact.name, Figures::nothing(&fact.name)));
            rows.len() - 1
        });
        if fact.what == ECHO.0 {
            let (what, bound) = ECHO;
            rows[found].limits.push(Limit { what, figure: fact.figure, bound, unit: "×" });
        }
        rows[found].facts.push(fact);
    }
    rows
}

fn row(load: Load) -> Row {
    let mut row = Row::alone(&load.name, Figures::nothing(&load.what));
    if let Some((_, count, [time, cpu])) = WANTED.into_iter().find(|(name, ..)| *name == load.name) {
        row.limits = vec![
            Limit { what: time, figure: count / load.rate(), bound: 1.0, unit: "s" },
            Limit { what: cpu, figure: count / load.by_cpu(), bound: 2.0, unit: "s" },
        ];
    }
    row.load = Some(load);
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_loader_says_is_held_against_what_is_wanted() {
        let said = r#"{
            "loads": [{
                "name": "store-check-in", "what": "unchanged", "requests": 5000, "seconds": 1.0, "half": 2.0, "most": 4.0,
                "longest": 9.0, "store_cpu": 0.5, "own_cpu": 0.25
            }],
            "facts": [
                { "name": "store-herd", "what": "busiest second of the last round", "figure": 2.5, "unit": "×" },
                { "name": "store-herd", "what": "until all were served", "figure": 4.0, "unit": "s" }
            ]
        }"#;
        let rows = rows(serde_json::from_str(said).unwrap());
        let told: Vec<(&str, &str, f64, bool)> = rows
            .iter()
            .flat_map(|row| row.limits.iter().map(|it| (row.name.as_str(), it.what, it.figure, it.holds())))
            .collect();
        assert_eq!(
            told,
            [
                ("store-check-in", "10,000 of them", 2.0, false),
                ("store-check-in", "CPU time of the store for 10,000", 1.0, true),
                ("store-herd", ECHO.0, 2.5, true),
            ]
        );
        assert_eq!(rows[1].facts.len(), 2);
    }
}
