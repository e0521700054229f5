//! Two programs measured in turns, A B A B …, and then traced.

use std::time::{Duration, Instant};

use super::failure::{Failure, Result};
use super::figures::{Calls, Cost, Figures, Row, ratio};
use super::site::Site;

/// How often to measure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounds {
    /// So often at least.
    pub(crate) least: usize,
    /// So often at most.
    pub(crate) most: usize,
    /// In between until so much time went by, also with what is not measured.
    pub(crate) time: Duration,
}

impl Rounds {
    /// For something that takes no more than a second.
    pub(crate) fn short(quick: bool) -> Self {
        if quick {
            Self { least: 3, most: 10, time: Duration::from_secs(1) }
        } else {
            Self { least: 9, most: 61, time: Duration::from_secs(10) }
        }
    }

    /// For something that takes many seconds.
    pub(crate) fn long(quick: bool) -> Self {
        let least = if quick { 1 } else { 3 };
        Self { least, most: least, time: Duration::ZERO }
    }

    fn are_over(self, done: usize, since: Instant) -> bool {
        done >= self.most || (done >= self.least && since.elapsed() >= self.time)
    }
}

/// One of the two.
pub(crate) struct Side<'a> {
    /// In words.
    pub(crate) what: &'a str,
    pub(crate) line: Vec<String>,
    /// What must be done before each run, not measured.
    pub(crate) before: &'a dyn Fn() -> Result<()>,
    /// Whether everything that waits to be written is written before each run, not measured.
    pub(crate) settled: bool,
}

/// Nothing to be done.
pub(crate) fn nothing() -> Result<()> {
    Ok(())
}

impl<'a> Side<'a> {
    /// A program that finds everything as the run before left it.
    pub(crate) fn repeated(what: &'a str, line: Vec<String>) -> Self {
        Self { what, line, before: &nothing, settled: false }
    }

    fn measure(&self, site: &dyn Site) -> Result<Cost> {
        (self.before)()?;
        let settle = self.settled.then(|| "-s".to_owned());
        let line: Vec<String> =
            [site.tools().meter.clone()].into_iter().chain(settle).chain(self.line.iter().cloned()).collect();
        let ended = site.run(&line)?;
        let numbers: Vec<f64> = ended.stdout.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        match (ended.code, &numbers[..]) {
            (Some(0), &[wall, cpu, peak, 0.0]) => {
                Ok(Cost { wall: wall / 1e6, cpu: cpu / 1e3, peak: (peak * 1024.0) as u64 })
            }
            _ => Err(Failure::of("measure", self.line.join(" "), format!("{} {}", ended.stdout, ended.stderr))),
        }
    }

    /// Counts system calls, in a run that is not measured: being traced costs many times the call.
    pub(crate) fn trace(&self, site: &dyn Site) -> Result<Option<Calls>> {
        let Some(strace) = &site.tools().strace else { return Ok(None) };
        (self.before)()?;
        let options = ["--follow-forks", "--summary-only", "--output", &site.tools().trace].map(str::to_owned);
        let line: Vec<String> = strace.iter().cloned().chain(options).chain(self.line.iter().cloned()).collect();
        site.must(&line)?;
        let summary = site.read(&site.tools().trace)?;
        calls(&summary).map(Some).ok_or_else(|| Failure::of("read", "the tracer's summary", summary))
    }
}

/// Measures a subject, and a floor in turns with it; then counts the system calls of both.
pub(crate) fn duel(site: &dyn Site, name: &str, subject: &Side<'_>, floor: &Side<'_>, rounds: Rounds) -> Result<Row> {
    // The first run of each warms the caches, and does not count.
    subject.measure(site)?;
    floor.measure(site)?;
    let (mut subjects, mut floors) = (Vec::new(), Vec::new());
    let since = Instant::now();
    while !rounds.are_over(subjects.len(), since) {
        subjects.push(subject.measure(site)?);
        floors.push(floor.measure(site)?);
    }
    Ok(Row {
        name: name.to_owned(),
        ratio: ratio(&subjects, &floors, |cost| cost.wall),
        cpu_ratio: ratio(&subjects, &floors, |cost| cost.cpu),
        subject: Figures::of(subject.what, &subjects, subject.trace(site)?),
        floor: Some(Figures::of(floor.what, &floors, floor.trace(site)?)),
        limits: Vec::new(),
        load: None,
        facts: Vec::new(),
    })
}

/// Reads the summary of `strace --summary-only`: share, seconds, microseconds a call, calls, errors if any, name.
fn calls(summary: &str) -> Option<Calls> {
    let row = |name: &str| {
        summary.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|row| row.last() == Some(&name))
    };
    let number = |row: &[&str], column: usize| row.get(column).and_then(|word| word.parse::<u64>().ok());
    let total = number(&row("total")?, 3)?;
    let programs = row("execve").map_or(0, |row| {
        let failed = if row.len() == 6 { number(&row, 4) } else { None };
        number(&row, 3).unwrap_or(0).saturating_sub(failed.unwrap_or(0))
    });
    // The first one is the traced program itself.
    Some(Calls { total, programs: programs.saturating_sub(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_of_the_tracer_tells_calls_and_started_programs() {
        let summary = "\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 62.50    0.000010           5         2           wait4
 37.50    0.000006           1         5         2 execve
------ ----------- ----------- --------- --------- ----------------
100.00    0.000016           2         7         2 total
";
        assert_eq!(calls(summary), Some(Calls { total: 7, programs: 2 }));
        assert_eq!(calls("strace: Process 12 attached"), None);
    }
}
