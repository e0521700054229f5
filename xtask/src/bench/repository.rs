//! A policy repository that a bench writes, compiles and converges; and the manifest of what its floor does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::disk;
use super::failure::{Failure, Result};
use super::site::{Host, Site, last, line, run, text};

/// The policy of every repository here.
const POLICY: &str = "bench";

/// A policy repository below the directory of its bench.
#[derive(Debug)]
pub(crate) struct Repository {
    /// The bench's own directory.
    directory: PathBuf,
}

impl Repository {
    /// An empty one, in place of what an earlier bench left there.
    pub(crate) fn new(bench: &str) -> Result<Self> {
        let directory = Host::directory().join(bench);
        Host::attic().take(&directory)?;
        disk::write(&directory.join("repository/converge.toml"), "")?;
        // The agent's configuration: empty, so that this machine's own changes nothing.
        disk::make_directory(&directory.join("config"))?;
        Ok(Self { directory })
    }

    /// A path in the bench's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Where the repository itself is.
    pub(crate) fn root(&self) -> PathBuf {
        self.path("repository")
    }

    /// Where the policy's file is.
    pub(crate) fn policy_file(&self) -> PathBuf {
        self.root().join(format!("policies/{POLICY}.toml"))
    }

    /// Writes one file of the repository.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        disk::write(&self.root().join(path), content)
    }

    /// Writes a cookbook.toml; `more` follows the usual lines.
    pub(crate) fn write_cookbook(&self, name: &str, more: &str) -> Result<()> {
        let head = format!("name = \"{name}\"\nversion = \"1.0.0\"\ndescription = \"A bench\"\n");
        self.write(&format!("cookbooks/{name}/cookbook.toml"), head + more)
    }

    /// Writes the policy.
    pub(crate) fn write_policy(&self, run_list: &[String]) -> Result<()> {
        let entries: Vec<String> = run_list.iter().map(|entry| format!("    \"{entry}\",\n")).collect();
        let policy = format!("name = \"{POLICY}\"\nrun_list = [\n{}]\n", entries.concat());
        self.write(&format!("policies/{POLICY}.toml"), policy)
    }

    /// The command line that compiles the policy.
    pub(crate) fn compiling(&self, agent: &str) -> Vec<String> {
        line([agent, "compile", &text(&self.policy_file()), "--output", &text(&self.path("graph"))])
    }

    /// Compiles the policy, by the agent itself.
    pub(crate) fn compile(&self, host: &Host) -> Result<Agent> {
        host.must(&self.compiling(&host.tools().agent))?;
        Ok(Agent::new(&host.tools().agent, &self.directory))
    }

    /// Everything that was compiled, as a tar archive.
    pub(crate) fn archive(&self) -> Result<Vec<u8>> {
        let archive = self.path("graph.tar");
        let words = ["tar", "--create", "--file", &text(&archive), "graph", "config"].map(str::to_owned);
        let ended = run(&words, Some(&self.directory))?;
        match ended.code {
            Some(0) => disk::read_bytes(&archive),
            _ => Err(Failure::of("pack", self.directory.display(), ended.stderr)),
        }
    }
}

/// For how long after it was written a file is read at every run; a little longer.
const FRESH: Duration = Duration::from_secs(62);

/// An agent with a compiled policy and directories of its own, on any machine.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    program: String,
    /// `graph.json` in its directory.
    pub(crate) graph: PathBuf,
    /// What the agent remembers.
    pub(crate) state: PathBuf,
    config: PathBuf,
}

impl Agent {
    /// The agent `program`, with all it needs in `directory`.
    pub(crate) fn new(program: &str, directory: &Path) -> Self {
        Self {
            program: program.to_owned(),
            graph: directory.join("graph/graph.json"),
            state: directory.join("state"),
            config: directory.join("config"),
        }
    }

    /// The command line with the flags that tell it what to converge and where it lives, after those given.
    pub(crate) fn with(&self, flags: &[&str]) -> Vec<String> {
        let (graph, state, config) = (text(&self.graph), text(&self.state), text(&self.config));
        let own = ["--policy", &graph, "--state-dir", &state, "--config-dir", &config];
        [self.program.as_str()].iter().chain(flags).chain(&own).map(|&word| word.to_owned()).collect()
    }

    /// The command line of one run.
    pub(crate) fn once(&self) -> Vec<String> {
        self.with(&["--once"])
    }

    /// Sets what `agent.toml` says.
    pub(crate) fn configure(&self, settings: &str) -> Result<()> {
        disk::write(&self.config.join("agent.toml"), settings)
    }

    /// Converges, and then demands a run that finds everything up to date: a bench of a run that does nothing must not
    /// measure one that fails, or that has nothing to look at.
    pub(crate) fn settle(&self, site: &dyn Site, resources: usize) -> Result<()> {
        self.counts(site)?;
        // What was written just now is read again, whatever is remembered of it.
        std::thread::sleep(FRESH);
        let counts = self.counts(site)?;
        self.demand(&counts, "up_to_date", resources)
    }

    /// Converges once, and demands that every resource is updated.
    pub(crate) fn update(&self, site: &dyn Site, resources: usize) -> Result<()> {
        let counts = self.counts(site)?;
        self.demand(&counts, "updated", resources)
    }

    /// Demands that so many resources ended so, and none otherwise.
    fn demand(&self, counts: &BTreeMap<String, usize>, outcome: &str, resources: usize) -> Result<()> {
        let others: usize = counts.iter().filter(|(key, _)| *key != outcome).map(|(_, count)| count).sum();
        if counts.get(outcome).copied().unwrap_or(0) == resources && others == 0 {
            return Ok(());
        }
        let cause = format!("the run should have found {resources} resources {outcome}, and found {counts:?}");
        Err(Failure::of("use", self.graph.display(), cause))
    }

    /// Converges once, and says how many resources ended how.
    fn counts(&self, site: &dyn Site) -> Result<BTreeMap<String, usize>> {
        let ended = site.run(&self.with(&["--once", "--json"]))?;
        let broken = |cause: String| Failure::of("converge", self.graph.display(), cause);
        let report: Report = serde_json::from_str(&ended.stdout).map_err(|error| {
            broken(format!("its report is none ({error}): {}{}", last(&ended.stdout), ended.stderr))
        })?;
        if ended.code == Some(0) {
            return Ok(report.counts);
        }
        let errors = report.resources.into_iter().filter_map(|resource| resource.error).take(3);
        let errors: Vec<String> = errors.map(|error| error.message).collect();
        Err(broken(format!("the run ended with {}: {}", report.conclusion, errors.join("; "))))
    }
}

/// What a bench asks of the agent's report. It may be large, so nothing else of it is kept.
#[derive(Debug, Deserialize)]
struct Report {
    conclusion: serde_json::Value,
    counts: BTreeMap<String, usize>,
    resources: Vec<ReportedResource>,
}

#[derive(Debug, Deserialize)]
struct ReportedResource {
    error: Option<ReportedError>,
}

#[derive(Debug, Deserialize)]
struct ReportedError {
    message: String,
}

/// What the floor makes or looks at: entries in the form that `floor.c` reads.
#[derive(Debug, Default)]
pub(crate) struct Manifest(Vec<u8>);

impl Manifest {
    /// A directory.
    pub(crate) fn directory(&mut self, path: &str) {
        self.add(&format!("d {path}"));
    }

    /// A file with this content.
    pub(crate) fn file(&mut self, path: &str, content: &[u8]) {
        self.add(&format!("f {path} {}", content.len()));
        self.0.extend_from_slice(content);
        self.0.push(b'\n');
    }

    /// A symbolic link.
    pub(crate) fn link(&mut self, path: &str, target: &str) {
        self.add(&format!("l {path} {target}"));
    }

    /// A file that is read, whatever it holds.
    pub(crate) fn reading(&mut self, path: &str) {
        self.add(&format!("r {path}"));
    }

    /// A command that must succeed.
    pub(crate) fn command(&mut self, command: &str) {
        self.add(&format!("x {command}"));
    }

    fn add(&mut self, entry: &str) {
        self.0.extend_from_slice(entry.as_bytes());
        self.0.push(b'\n');
    }

    /// The document.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}
