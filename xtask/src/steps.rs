//! `cargo xtask test`: the steps, what each does, and the verdict.
#![expect(
    clippy::disallowed_macros,
    reason = "xtask is a program of its own on the developer's terminal, not a part of the agent"
)]

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use converge_testbed::{AGENT_BINARY, PACKAGES, REQUIRE_MACHINES};

use crate::process::{run, run_tests};
use crate::tally::Tally;
use crate::{dist, release, tools};

/// Which steps to run.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Leave out what needs root and booted machines
    #[arg(long)]
    no_system: bool,
    /// Run this step alone; may be given several times
    #[arg(long, value_name = "STEP")]
    only: Vec<Step>,
    /// List the steps and run nothing
    #[arg(long)]
    list: bool,
}

impl Selection {
    fn has(&self, step: Step) -> bool {
        let wanted = self.only.is_empty() || self.only.contains(&step);
        wanted && !(self.no_system && step == Step::System)
    }
}

/// One step, in the order of running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Step {
    Tools,
    Format,
    Clippy,
    Test,
    Simulate,
    Release,
    System,
}

/// How many simulations of a store and its nodes decide whether a change is good.
const SEEDS: u32 = 2_000;

impl Step {
    const ALL: [Self; 7] =
        [Self::Tools, Self::Format, Self::Clippy, Self::Test, Self::Simulate, Self::Release, Self::System];

    fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Format => "format",
            Self::Clippy => "clippy",
            Self::Test => "test",
            Self::Simulate => "simulate",
            Self::Release => "release",
            Self::System => "system",
        }
    }

    fn purpose(self) -> &'static str {
        match self {
            Self::Tools => "install what this test host lacks",
            Self::Format => "the code is formatted",
            Self::Clippy => "the lints of the whole workspace are clean",
            Self::Test => "all tests that need no machine",
            Self::Simulate => "a store and its nodes over a bad network, thousands of times",
            Self::Release => "build the agent as it ships",
            Self::System => "tests on booted Debian machines",
        }
    }

    /// The steps this one builds on: it is not run when one of them failed.
    fn needs(self) -> &'static [Self] {
        match self {
            Self::System => &[Self::Tools, Self::Release],
            Self::Tools | Self::Format | Self::Clippy | Self::Test | Self::Simulate | Self::Release => &[],
        }
    }
}

/// How a step went.
struct Outcome {
    step: Step,
    verdict: Verdict,
    tally: Tally,
    took: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Passed,
    Failed,
    /// A step it builds on failed.
    NotRun,
}

/// Runs the selected steps, all of them whatever fails, and prints the summary.
pub(crate) fn test(selection: &Selection) -> ExitCode {
    if selection.list {
        for step in Step::ALL {
            println!("{:8} {}", step.name(), step.purpose());
        }
        return ExitCode::SUCCESS;
    }
    let mut outcomes: Vec<Outcome> = Vec::new();
    let mut built = None;
    for step in Step::ALL.into_iter().filter(|step| selection.has(*step)) {
        println!("\n=== {}: {}", step.name(), step.purpose());
        let outcome = attempt(step, selection, &outcomes, &mut built);
        println!("=== {}: {} in {:.1} s", step.name(), word(outcome.verdict), outcome.took.as_secs_f64());
        outcomes.push(outcome);
    }
    summarise(&outcomes)
}

fn attempt(step: Step, selection: &Selection, earlier: &[Outcome], built: &mut Option<PathBuf>) -> Outcome {
    let mut tally = Tally::default();
    let started = Instant::now();
    let verdict_of =
        |needed: Step| earlier.iter().find(|outcome| outcome.step == needed).map(|outcome| outcome.verdict);
    let blocker = step.needs().iter().find(|needed| verdict_of(**needed).is_some_and(|it| it != Verdict::Passed));
    let verdict = if let Some(blocker) = blocker {
        println!("not run, because {} failed", blocker.name());
        Verdict::NotRun
    } else if perform(step, selection, built, &mut tally) {
        Verdict::Passed
    } else {
        Verdict::Failed
    };
    Outcome { step, verdict, tally, took: started.elapsed() }
}

/// Gives whether the step passed. `built` is the agent as it ships, once it was built.
fn perform(step: Step, selection: &Selection, built: &mut Option<PathBuf>, tally: &mut Tally) -> bool {
    match step {
        Step::Tools => tools::provide(!selection.no_system),
        Step::Format => run(&["cargo", "fmt", "--all", "--check"], &[]),
        Step::Clippy => run(&["cargo", "clippy", "--workspace", "--all-targets", "--", "-D", "warnings"], &[]),
        Step::Test => run_tests(&["cargo", "test", "--workspace", "--no-fail-fast"], &[], tally),
        Step::Simulate => {
            let line = ["cargo", "test", "--workspace", "--bin", "converge", "simulation", "--", "--nocapture"];
            run_tests(&line, &[("CONVERGE_SEEDS", SEEDS.to_string())], tally)
        }
        Step::Release => {
            *built = release::build();
            built.is_some()
        }
        Step::System => system(built.as_deref(), tally),
    }
}

/// Runs the tests that are marked to be ignored elsewhere. They boot machines, two to four at a time.
fn system(built: Option<&Path>, tally: &mut Tally) -> bool {
    let cores = std::thread::available_parallelism().map_or(2, NonZero::get);
    let threads = format!("--test-threads={}", cores.clamp(2, 4));
    let mut environment = vec![(REQUIRE_MACHINES, "1".to_owned())];
    if let Some(agent) = built {
        environment.push((AGENT_BINARY, agent.to_string_lossy().into_owned()));
        let Some(packages) = dist::build(agent) else { return false };
        environment.push((PACKAGES, packages.to_string_lossy().into_owned()));
    }
    // --tests: a documentation example that is ignored is not meant to be compiled at all.
    let line = ["cargo", "test", "--workspace", "--tests", "--no-fail-fast", "--", "--ignored", &threads];
    let passed = run_tests(&line, &environment, tally);
    match converge_testbed::sweep() {
        Ok(()) => passed,
        Err(error) => {
            println!("machines were left behind: {error:?}");
            false
        }
    }
}

/// Prints the table, the failed tests and, alone on the last line, the sum.
fn summarise(outcomes: &[Outcome]) -> ExitCode {
    println!("\n{:8} {:8} {:>8} {:>7} {:>7}", "step", "verdict", "seconds", "passed", "failed");
    for Outcome { step, verdict, tally, took } in outcomes {
        let counts = match tally.ran() {
            0 => String::new(),
            _ => format!("{:>7} {:>7}", tally.passed, tally.failed),
        };
        println!("{:8} {:8} {:>8.1} {counts}", step.name(), word(*verdict), took.as_secs_f64());
    }
    for failure in outcomes.iter().flat_map(|outcome| &outcome.tally.failures) {
        println!("failed: {failure}");
    }
    let sum = Sum::of(outcomes);
    println!("\n{sum}");
    if sum.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Passed => "passed",
        Verdict::Failed => "FAILED",
        Verdict::NotRun => "NOT RUN",
    }
}

/// All results together.
#[derive(Debug, PartialEq, Eq)]
struct Sum {
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Sum {
    /// Sums the tests. A step that did not pass without a failed test (it does not compile, a lint, a crash) counts as one
    /// failure, so that a red run never says `0 failed`. What the test step ignored and the system step ran is not skipped.
    fn of(outcomes: &[Outcome]) -> Self {
        let mut sum = Self { passed: 0, failed: 0, skipped: 0 };
        for Outcome { step, verdict, tally, .. } in outcomes {
            sum.passed += tally.passed;
            sum.failed += tally.failed.max(usize::from(*verdict != Verdict::Passed));
            sum.skipped = match step {
                Step::System => sum.skipped.saturating_sub(tally.ran()),
                _ => sum.skipped + tally.ignored,
            };
        }
        sum
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped {
            0 => Ok(()),
            skipped => write!(f, ", {skipped} skipped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(step: Step, verdict: Verdict, counts: [usize; 3]) -> Outcome {
        let [passed, failed, ignored] = counts;
        let tally = Tally { passed, failed, ignored, failures: Vec::new() };
        Outcome { step, verdict, tally, took: Duration::ZERO }
    }

    #[test]
    fn the_sum_counts_every_test_once_and_every_failed_step() {
        use Verdict::{Failed, NotRun, Passed};
        let table = [
            (vec![(Step::Test, Passed, [40, 0, 6]), (Step::System, Passed, [6, 0, 0])], "46 passed, 0 failed"),
            (vec![(Step::Test, Passed, [40, 0, 6])], "40 passed, 0 failed, 6 skipped"),
            (vec![(Step::Test, Failed, [39, 1, 6]), (Step::System, Failed, [5, 1, 0])], "44 passed, 2 failed"),
            (vec![(Step::Clippy, Failed, [0, 0, 0]), (Step::Test, Passed, [40, 0, 0])], "40 passed, 1 failed"),
            (vec![(Step::Release, Failed, [0, 0, 0]), (Step::System, NotRun, [0, 0, 0])], "0 passed, 2 failed"),
        ];
        for (outcomes, wanted) in table {
            let outcomes: Vec<Outcome> =
                outcomes.into_iter().map(|(step, verdict, counts)| outcome(step, verdict, counts)).collect();
            assert_eq!(Sum::of(&outcomes).to_string(), wanted);
        }
    }

    #[test]
    fn no_system_leaves_only_the_system_step_out() {
        let selection = |no_system, only: &[Step]| Selection { no_system, only: only.to_vec(), list: false };
        assert!(Step::ALL.into_iter().all(|step| selection(false, &[]).has(step)));
        assert!(!selection(true, &[]).has(Step::System));
        assert!(selection(true, &[]).has(Step::Test));
        assert!(!selection(false, &[Step::Clippy]).has(Step::Test));
    }
}
