//! `cargo xtask bench`: what a run costs, held against a floor that makes only the necessary system calls, and against the
//! numbers that the design promises. `docs/benchmarks.md` tells how to read it.
#![expect(
    clippy::disallowed_macros,
    reason = "xtask is a program of its own on the developer's terminal, not a part of the agent"
)]

mod circumstances;
mod daemon;
mod disk;
mod duel;
mod failure;
mod figures;
mod files;
mod guest;
mod node;
mod policy;
mod repository;
mod site;
mod store;
mod table;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use circumstances::Circumstances;
use failure::{Failure, Result};
use figures::{Limit, Row};
use files::{Templates, Tree};
use site::{Host, Site};
use table::Look;

/// Which benches to run, and what to do with the figures.
#[derive(Debug, Args)]
pub(crate) struct Selection {
    /// Benches, or families of them (`noop` is every `noop-N`); all of them unless named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Write every figure of every run to a JSON document too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Few rounds, and neither 100,000 resources nor the store under load unless they are named
    #[arg(long)]
    quick: bool,
    /// Print the tables as Markdown
    #[arg(long)]
    markdown: bool,
    /// Fail where a limit is missed
    #[arg(long)]
    check: bool,
    /// List the benches and run nothing
    #[arg(long)]
    list: bool,
}

impl Selection {
    fn has(&self, bench: Bench) -> bool {
        let name = bench.name();
        let is_named = self.names.iter().any(|wanted| {
            name == *wanted || name.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.starts_with('-'))
        });
        is_named || (self.names.is_empty() && !(self.quick && bench.is_long()))
    }

    /// A name that is no bench's.
    fn stranger(&self) -> Option<&String> {
        self.names.iter().find(|name| {
            let alone = Self {
                names: vec![(*name).clone()],
                json: None,
                quick: false,
                markdown: false,
                check: false,
                list: false,
            };
            !Bench::ALL.iter().any(|bench| alone.has(*bench))
        })
    }
}

/// One bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Bench {
    Start,
    Noop(usize),
    Reading,
    First(usize),
    Templates,
    DistinctTemplates,
    Node,
    Processes,
    Inside,
    Daemon,
    Store,
}

impl Bench {
    /// In the order of running.
    const ALL: [Self; 17] = [
        Self::Start,
        Self::Noop(100),
        Self::First(100),
        Self::Noop(1_000),
        Self::Reading,
        Self::First(1_000),
        Self::Noop(10_000),
        Self::First(10_000),
        Self::Noop(100_000),
        Self::First(100_000),
        Self::Templates,
        Self::DistinctTemplates,
        Self::Node,
        Self::Processes,
        Self::Inside,
        Self::Daemon,
        Self::Store,
    ];

    fn name(self) -> String {
        match self {
            Self::Start => "start".to_owned(),
            Self::Noop(files) => format!("noop-{files}"),
            Self::Reading => "reading".to_owned(),
            Self::First(files) => format!("first-{files}"),
            Self::Templates => "templates".to_owned(),
            Self::DistinctTemplates => "templates-distinct".to_owned(),
            Self::Node => "node".to_owned(),
            Self::Processes => "compile".to_owned(),
            Self::Inside => "inside".to_owned(),
            Self::Daemon => "daemon".to_owned(),
            Self::Store => "store".to_owned(),
        }
    }

    fn purpose(self) -> String {
        match self {
            Self::Start => "a run of an empty policy".to_owned(),
            Self::Noop(files) => format!("a run of {files} files of 1 KB that are all as declared"),
            Self::Reading => "the same of 1,000 files, each of which is read".to_owned(),
            Self::First(files) => format!("a run that makes {files} files of 1 KB"),
            Self::Templates => "a run of 1,000 rendered files of 20 templates that are all as declared".to_owned(),
            Self::DistinctTemplates => "the same of 1,000 templates, each used once".to_owned(),
            Self::Node => "a run of a realistic node that is as declared, on a booted machine".to_owned(),
            Self::Processes => "compiling and checking 100 cookbooks of 5,000 resources".to_owned(),
            Self::Inside => "compiling, checking, reading and binding them, without a process around it".to_owned(),
            Self::Daemon => "what the idle daemon holds in memory".to_owned(),
            Self::Store => "a store under the load of a fleet, and when a fleet comes back at once".to_owned(),
        }
    }

    /// Whether it takes minutes.
    fn is_long(self) -> bool {
        matches!(self, Self::Noop(100_000) | Self::First(100_000) | Self::Store)
    }
}

/// What benches share.
struct Workbench {
    host: Host,
    quick: bool,
    trees: Trees,
}

impl Workbench {
    fn measure(&mut self, bench: Bench) -> Result<Vec<Row>> {
        let (host, quick) = (&self.host, self.quick);
        let row = match bench {
            Bench::Start => files::start(host, quick)?.within_milliseconds(2.0),
            Bench::Noop(1_000) => self.trees.tree(host, 1_000)?.noop(host, quick)?.within_ratio(1.5),
            Bench::Reading => self.trees.tree(host, 1_000)?.reading(host, quick)?,
            Bench::First(1_000) => self.trees.tree(host, 1_000)?.first(host, quick)?.within_ratio(2.0),
            Bench::Noop(files) => self.trees.tree(host, files)?.noop(host, quick)?,
            Bench::First(files) => self.trees.tree(host, files)?.first(host, quick)?,
            Bench::Templates => files::templates(host, Templates::Shared, quick)?.within_milliseconds(15.0),
            Bench::DistinctTemplates => files::templates(host, Templates::Distinct, quick)?,
            Bench::Node => node::node(host, quick)?,
            Bench::Processes => {
                let rows = policy::processes(host, quick)?;
                return Ok(rows.into_iter().map(|row| row.within_milliseconds(200.0)).collect());
            }
            Bench::Inside => return policy::inside(quick),
            Bench::Daemon => return daemon::daemon(host, quick),
            Bench::Store => return store::store(host, quick),
        };
        Ok(vec![row])
    }
}

/// Trees of files that were declared and compiled, by the number of their files.
#[derive(Default)]
struct Trees(BTreeMap<usize, Tree>);

impl Trees {
    fn tree(&mut self, host: &Host, files: usize) -> Result<&Tree> {
        Ok(match self.0.entry(files) {
            Entry::Occupied(tree) => tree.into_mut(),
            Entry::Vacant(place) => place.insert(Tree::of(host, files)?),
        })
    }
}

/// All that was found, as the JSON document has it.
#[derive(Debug, Serialize)]
struct Document<'a> {
    format: u32,
    circumstances: &'a Circumstances,
    quick: bool,
    benches: &'a [Row],
    /// What needs several benches.
    overall: &'a [(String, Limit)],
    not_measured: &'a BTreeMap<String, String>,
    broken: &'a BTreeMap<String, String>,
}

/// Runs the selected benches, all of them whatever fails, and prints the tables.
pub(crate) fn bench(selection: &Selection) -> ExitCode {
    if let Some(stranger) = selection.stranger() {
        eprintln!("xtask: there is no bench {stranger}; `cargo xtask bench --list` lists them");
        return ExitCode::FAILURE;
    }
    let benches = Bench::ALL.into_iter().filter(|bench| selection.has(*bench));
    if selection.list {
        benches.for_each(|bench| println!("{:20} {}", bench.name(), bench.purpose()));
        return ExitCode::SUCCESS;
    }
    let mut workbench = match prepare(selection.quick) {
        Ok(workbench) => workbench,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            return ExitCode::FAILURE;
        }
    };
    let circumstances = Circumstances::now();
    let (mut rows, mut not_measured, mut broken) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
    if workbench.host.tools().strace.is_none() {
        let why = "strace is missing and could not be installed, or it may not trace here";
        not_measured.insert("system calls".to_owned(), why.to_owned());
    }
    for bench in benches {
        println!("=== {}: {}", bench.name(), bench.purpose());
        match workbench.measure(bench) {
            Ok(mut measured) => {
                print!("{}", tables(&measured, Look::Plain));
                rows.append(&mut measured);
            }
            Err(Failure::Unable(why)) => {
                println!("not measured: {why}");
                not_measured.insert(bench.name(), why);
            }
            Err(Failure::Broken(why)) => {
                println!("BROKEN: {why}");
                broken.insert(bench.name(), why);
            }
        }
    }
    let overall = linearity(&rows);
    let document = Document {
        format: 1,
        circumstances: &circumstances,
        quick: selection.quick,
        benches: &rows,
        overall: &overall,
        not_measured: &not_measured,
        broken: &broken,
    };
    conclude(selection, &document)
}

/// The tables of what was measured.
fn tables(rows: &[Row], look: Look) -> String {
    let has_loads = rows.iter().any(|row| row.load.is_some());
    let is_only_loads = rows.iter().all(|row| row.load.is_some() || !row.facts.is_empty());
    let figures = if is_only_loads && has_loads { String::new() } else { table::figures(rows, look) };
    let gap = if has_loads && !figures.is_empty() { "\n" } else { "" };
    let loads = if has_loads { table::loads(rows, look) } else { String::new() };
    format!("{figures}{gap}{loads}")
}

/// The agent as it ships, built unless one is named by `CONVERGE_BINARY`, and what measures it.
fn prepare(quick: bool) -> Result<Workbench> {
    let agent = crate::release::given_or_built().ok_or_else(|| Failure::of("build", "the agent", "cargo failed"))?;
    Ok(Workbench { host: Host::prepare(&agent)?, quick, trees: Trees::default() })
}

/// The cost of a run grows with its resources, and not faster: a resource of many costs at most twice one of a few.
fn linearity(rows: &[Row]) -> Vec<(String, Limit)> {
    let cost = |family: &str, files: usize| {
        let row = rows.iter().find(|row| row.name == format!("{family}-{files}"))?;
        row.subject.wall.as_ref().map(|wall| wall.median / files as f64)
    };
    let families = ["noop", "first"].into_iter().filter_map(|family| {
        let figure = cost(family, 100_000)? / cost(family, 1_000)?;
        let what = "one of 100,000 by one of 1,000";
        Some((family.to_owned(), Limit { what, figure, bound: 2.0, unit: "×" }))
    });
    families.collect()
}

/// Prints and writes everything, and gives the verdict.
fn conclude(selection: &Selection, document: &Document<'_>) -> ExitCode {
    let look = if selection.markdown { Look::Markdown } else { Look::Plain };
    let of_rows =
        document.benches.iter().flat_map(|row| row.limits.iter().map(|limit| (row.name.clone(), limit.clone())));
    let limits: Vec<(String, Limit)> = of_rows.chain(document.overall.iter().cloned()).collect();
    println!("\n{}", table::circumstances(document.circumstances));
    if document.circumstances.is_memory_only() {
        println!("These files are on no disk: what is said of first runs means nothing.");
    }
    println!("\n{}", tables(document.benches, look));
    println!("{}", table::limits(&limits, look));
    for (bench, why) in document.not_measured {
        println!("{bench}: not measured: {why}");
    }
    for (bench, why) in document.broken {
        println!("{bench}: BROKEN: {why}");
    }
    let missed = limits.iter().filter(|(_, limit)| !limit.holds()).count();
    println!("{} limits held, {missed} missed", limits.len() - missed);
    let written = selection.json.as_deref().is_none_or(|path| write_json(path, document));
    // Whoever works on one bench runs it again at once.
    let swept = !selection.names.is_empty() || Host::attic().sweep().inspect_err(|it| eprintln!("xtask: {it}")).is_ok();
    let fine = written && swept && document.broken.is_empty() && !(selection.check && missed > 0);
    if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn write_json(path: &Path, document: &Document<'_>) -> bool {
    let written = serde_json::to_vec_pretty(document)
        .map_err(|error| Failure::of("write", path.display(), error))
        .and_then(|bytes| disk::write(path, bytes));
    written.inspect_err(|failure| eprintln!("xtask: {failure}")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::figures::Figures;
    use super::*;

    fn selection(names: &[&str], quick: bool) -> Selection {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        Selection { names, json: None, quick, markdown: false, check: false, list: false }
    }

    #[test]
    fn a_name_selects_a_bench_or_its_family() {
        let count = |names: &[&str], quick| {
            let selection = selection(names, quick);
            Bench::ALL.into_iter().filter(|bench| selection.has(*bench)).count()
        };
        for (names, quick, selected) in [
            (&[][..], false, 17),
            (&[], true, 14),
            (&["noop"], false, 4),
            (&["noop-100"], false, 1),
            (&["noop-100000"], true, 1),
            (&["templates"], true, 2),
            (&["start", "first-1000"], true, 2),
        ] {
            assert_eq!(count(names, quick), selected, "{names:?} {quick}");
        }
        assert_eq!(selection(&["start", "noop-7"], false).stranger(), Some(&"noop-7".to_owned()));
    }

    #[test]
    fn costs_that_grow_faster_than_the_resources_are_told() {
        let row = |name: &str, wall| Row::alone(name, Figures::inside("", vec![wall]));
        let rows = [row("noop-1000", 10.0), row("noop-100000", 2_500.0), row("first-1000", 10.0)];
        let found = linearity(&rows);
        let (family, limit) = &found[0];
        assert_eq!((family.as_str(), limit.figure, limit.holds(), found.len()), ("noop", 2.5, false, 1));
    }
}
