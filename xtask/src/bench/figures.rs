//! What was measured: one run's cost, many runs' median and spread, and the ratio of two that ran in turns.

use serde::Serialize;

use super::store::{Fact, Load};

/// What one run cost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Cost {
    /// From before the start to after the end, in milliseconds.
    pub(crate) wall: f64,
    /// Of the process and its children, in user space and in the kernel, in milliseconds.
    pub(crate) cpu: f64,
    /// The largest resident size, in bytes.
    pub(crate) peak: u64,
}

/// Many measurements of one thing.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Series {
    pub(crate) median: f64,
    /// Half the distance between the quartiles: half of all runs were within the median plus or minus about this.
    pub(crate) spread: f64,
    /// In the order of measuring.
    pub(crate) runs: Vec<f64>,
}

impl Series {
    /// The series of these measurements; all zero where there is none.
    pub(crate) fn of(runs: Vec<f64>) -> Self {
        let mut sorted = runs.clone();
        sorted.sort_by(f64::total_cmp);
        let spread = (quantile(&sorted, 0.75) - quantile(&sorted, 0.25)) / 2.0;
        Self { median: quantile(&sorted, 0.5), spread, runs }
    }
}

/// The value below which this part of the sorted values lies, between two neighbours in proportion.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let place = part * last as f64;
    let below = place.floor() as usize;
    let (low, high) = (sorted[below], sorted[(below + 1).min(last)]);
    low + (high - low) * (place - below as f64)
}

/// System calls of one run, counted in a run of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Calls {
    /// All of them, failed ones too.
    pub(crate) total: u64,
    /// Programs that the measured one started: `execve` that succeeded, without its own.
    pub(crate) programs: u64,
}

/// All figures of one program.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figures {
    /// The program, or the part of it, in words.
    pub(crate) what: String,
    /// Milliseconds.
    pub(crate) wall: Option<Series>,
    /// Milliseconds.
    pub(crate) cpu: Option<Series>,
    /// None where they could not be counted.
    pub(crate) calls: Option<Calls>,
    /// The median of the runs' peaks, in bytes.
    pub(crate) peak: Option<u64>,
}

impl Figures {
    /// Those of runs of a process.
    pub(crate) fn of(what: &str, costs: &[Cost], calls: Option<Calls>) -> Self {
        let series = |of: fn(&Cost) -> f64| Series::of(costs.iter().map(of).collect());
        let peak = series(|cost| cost.peak as f64).median as u64;
        Self {
            what: what.to_owned(),
            wall: Some(series(|cost| cost.wall)),
            cpu: Some(series(|cost| cost.cpu)),
            calls,
            peak: Some(peak),
        }
    }

    /// Those of a part of a process, of which only the time is known.
    pub(crate) fn inside(what: &str, wall: Vec<f64>) -> Self {
        Self { what: what.to_owned(), wall: Some(Series::of(wall)), cpu: None, calls: None, peak: None }
    }

    /// None of a process.
    pub(crate) fn nothing(what: &str) -> Self {
        Self { what: what.to_owned(), wall: None, cpu: None, calls: None, peak: None }
    }

    /// Those of a process that only waits.
    pub(crate) fn idle(what: &str, resident: u64) -> Self {
        Self { what: what.to_owned(), wall: None, cpu: None, calls: None, peak: Some(resident) }
    }
}

/// The median of the ratios of neighbouring runs: what slows the machine for a while slows both, and cancels out.
pub(crate) fn ratio(subject: &[Cost], floor: &[Cost], of: fn(&Cost) -> f64) -> Option<f64> {
    let ratios = subject.iter().zip(floor).filter(|(_, floor)| of(floor) > 0.0);
    let ratios: Vec<f64> = ratios.map(|(subject, floor)| of(subject) / of(floor)).collect();
    (!ratios.is_empty()).then(|| Series::of(ratios).median)
}

/// One row of the table.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) subject: Figures,
    /// What makes only the necessary system calls, measured in turns with the subject.
    pub(crate) floor: Option<Figures>,
    /// Wall time of the subject by that of the floor.
    pub(crate) ratio: Option<f64>,
    /// CPU time of the subject by that of the floor.
    pub(crate) cpu_ratio: Option<f64>,
    pub(crate) limits: Vec<Limit>,
    /// What a store did under load: such a row has no figures of a process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) load: Option<Load>,
    /// What else was found out of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) facts: Vec<Fact>,
}

impl Row {
    /// A row that has no floor.
    pub(crate) fn alone(name: &str, subject: Figures) -> Self {
        Self {
            name: name.to_owned(),
            subject,
            floor: None,
            ratio: None,
            cpu_ratio: None,
            limits: Vec::new(),
            load: None,
            facts: Vec::new(),
        }
    }

    /// Adds a limit of the median of the wall time, in milliseconds.
    pub(crate) fn within_milliseconds(mut self, bound: f64) -> Self {
        let figure = self.subject.wall.as_ref().map(|wall| wall.median);
        self.limits.extend(figure.map(|figure| Limit { what: "wall time", figure, bound, unit: "ms" }));
        self
    }

    /// Adds a limit of the ratio.
    pub(crate) fn within_ratio(mut self, bound: f64) -> Self {
        self.limits.extend(self.ratio.map(|figure| Limit { what: "by its floor", figure, bound, unit: "×" }));
        self
    }
}

/// A number that the design promises, and what was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Limit {
    /// What of the bench is limited.
    pub(crate) what: &'static str,
    pub(crate) figure: f64,
    /// The figure may be this, not more.
    pub(crate) bound: f64,
    pub(crate) unit: &'static str,
}

impl Limit {
    /// Whether the promise is kept.
    pub(crate) fn holds(&self) -> bool {
        self.figure <= self.bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_spread_stand_outliers() {
        for (runs, median, spread) in [
            (vec![], 0.0, 0.0),
            (vec![4.0], 4.0, 0.0),
            (vec![1.0, 2.0], 1.5, 0.25),
            (vec![5.0, 1.0, 3.0, 2.0, 400.0], 3.0, 1.5),
        ] {
            let series = Series::of(runs);
            assert_eq!((series.median, series.spread), (median, spread), "{:?}", series.runs);
        }
    }

    #[test]
    fn a_slow_spell_of_the_machine_leaves_the_ratio_alone() {
        let cost = |wall| Cost { wall, cpu: 0.0, peak: 0 };
        let subject = [3.0, 3.0, 30.0, 30.0, 3.0].map(cost);
        let floor = [2.0, 2.0, 20.0, 20.0, 2.0].map(cost);
        assert_eq!(ratio(&subject, &floor, |cost| cost.wall), Some(1.5));
        assert_eq!(ratio(&subject, &floor, |cost| cost.cpu), None, "no ratio to nothing");
    }
}
