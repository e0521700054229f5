//! A desk in a temporary directory: a policy repository, and the agent's own directories.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value as Json;
use tempfile::TempDir;

/// After this long a process of a test is held to hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// The directories of one test.
pub(crate) struct Desk {
    directory: TempDir,
}

impl Desk {
    /// A repository with a policy and a cookbook, both called `test`, whose recipe is this one. `@` in the recipe becomes
    /// the directory that the test may write to.
    pub(crate) fn new(recipe: &str) -> Self {
        let desk = Self { directory: TempDir::new().unwrap() };
        std::fs::create_dir(desk.path("out")).unwrap();
        desk.file("converge.toml", "");
        desk.file("cookbooks/test/cookbook.toml", "name = \"test\"\nversion = \"1.0.0\"\n");
        desk.file("policies/test.toml", "name = \"test\"\nrun_list = [\"test\"]\n");
        desk.recipe(recipe);
        desk
    }

    /// A path below the test's directory.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join(relative)
    }

    /// Writes a file below the test's directory.
    pub(crate) fn file(&self, relative: &str, content: impl AsRef<[u8]>) {
        let path = self.path(relative);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Writes the recipe anew.
    pub(crate) fn recipe(&self, recipe: &str) {
        let out = self.path("out").display().to_string();
        self.file("cookbooks/test/recipes/default.toml", recipe.replace('@', &out));
    }

    /// The text of a file in the directory that recipes write to; nothing where there is none.
    pub(crate) fn out(&self, name: &str) -> Option<String> {
        std::fs::read_to_string(self.path("out").join(name)).ok()
    }

    /// The agent with these arguments, in the repository, with its own directories.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_converge"));
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env("CONVERGE_STATE_DIR", self.path("state"))
            .env("CONVERGE_CONFIG_DIR", self.path("config"))
            .env_remove("CONVERGE_LOG")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null());
        command
    }

    /// Starts the agent.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        let mut command = self.command(arguments);
        Process(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
    }

    /// Runs the agent to its end.
    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).wait()
    }

    /// Converges once with the policy of the repository.
    #[track_caller]
    pub(crate) fn once(&self) -> Ended {
        self.run(&ONCE)
    }
}

/// Converges once with the policy of the repository.
pub(crate) const ONCE: [&str; 4] = ["--once", "--json", "--policy", "policies/test.toml"];

/// A process that was started; dropped, it is killed.
pub(crate) struct Process(Option<Child>);

impl Process {
    /// Its id.
    pub(crate) fn id(&self) -> i32 {
        i32::try_from(self.0.as_ref().unwrap().id()).unwrap()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.id()), signal).unwrap();
    }

    /// Waits for its end, and fails the test where it hangs or panicked.
    #[track_caller]
    pub(crate) fn wait(self) -> Ended {
        self.wait_for(PATIENCE)
    }

    /// The same, after this long.
    #[track_caller]
    pub(crate) fn wait_for(mut self, patience: Duration) -> Ended {
        let started = Instant::now();
        let child = self.0.take().unwrap();
        let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
        let (sender, ended) = std::sync::mpsc::channel();
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        let Ok(output) = ended.recv_timeout(patience) else {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            panic!("the agent still ran after {patience:?}");
        };
        Ended::of(&output.unwrap(), started.elapsed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A process that ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

impl Ended {
    /// What came of a process; fails the test where it panicked.
    #[track_caller]
    pub(crate) fn of(output: &Output, took: Duration) -> Self {
        let stderr = String::from_utf8_lossy(&output.stderr);
        for defect in ["panicked", "a defect in converge"] {
            assert!(!stderr.contains(defect), "{stderr}");
        }
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout.clone()).expect("output is UTF-8"),
            stderr: stderr.into_owned(),
            took,
        }
    }

    /// Fails the test unless it ended with this code.
    #[track_caller]
    pub(crate) fn with_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless what it printed holds each of these texts.
    #[track_caller]
    pub(crate) fn saying(self, parts: &[&str]) -> Self {
        let text = format!("{}\n{}", self.stdout, self.stderr);
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
        self
    }

    /// The JSON document that it printed.
    #[track_caller]
    pub(crate) fn json(&self) -> Json {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}:\n{}\n{}", self.stdout, self.stderr))
    }

    /// How the run ended, of the report that it printed.
    #[track_caller]
    pub(crate) fn conclusion(&self) -> String {
        self.json()["conclusion"]["kind"].as_str().unwrap_or_default().to_owned()
    }

    /// The resources of the report with their outcomes, in order, names without their directories.
    #[track_caller]
    pub(crate) fn outcomes(&self) -> Vec<(String, String)> {
        let report = self.json();
        let all = report["resources"].as_array().into_iter().flatten();
        all.map(|resource| {
            let id = resource["id"].as_str().unwrap();
            let name = id.rsplit(['/', '[']).next().unwrap().trim_end_matches(']');
            (name.to_owned(), resource["outcome"].as_str().unwrap().to_owned())
        })
        .collect()
    }
}

/// Waits until there is something at `path`.
#[track_caller]
pub(crate) fn wait_for(path: &Path) {
    wait_until(&format!("{} never appeared", path.display()), || path.exists());
}

/// Waits until something holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
