//! A store that runs beside a desk, and machines that ask it: each a process, with directories of its own.

use std::process::{Child, Command, Stdio};

use converge_trust::SigningKey;
use nix::sys::signal::Signal;
use serde_json::Value as Json;

use crate::desk::{Desk, Ended};

/// Converges once with the policy of the store.
pub(crate) const ONCE: [&str; 2] = ["--once", "--json"];

/// A store that runs beside a desk; dropped, it is killed.
pub(crate) struct Store {
    pub(crate) child: Child,
    pub(crate) access: String,
    pub(crate) address: String,
}

impl Store {
    /// Starts one, with its data beside the desk.
    pub(crate) fn start(desk: &Desk, listen: &str) -> Self {
        let mut command = desk.command(&["store", "--data", "store", "--listen", listen, "--json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let output = child.stdout.take().unwrap();
        let said: Json = serde_json::Deserializer::from_reader(output).into_iter().next().unwrap().unwrap();
        let address = said["address"].as_str().unwrap().to_owned();
        Self { child, access: desk.path("store/access.json").display().to_string(), address }
    }

    /// The same, with the desk's policy live in the group `dev`, signed by an author whom nodes that join trust.
    pub(crate) fn with_policy(desk: &Desk) -> Self {
        Self::with_policy_at(desk, "127.0.0.1:0")
    }

    /// The same, at this address.
    pub(crate) fn with_policy_at(desk: &Desk, listen: &str) -> Self {
        let store = Self::start(desk, listen);
        let author = SigningKey::generate("author").unwrap();
        desk.file("author", author.to_file().unwrap().unwrap());
        desk.file("allowed_signers", format!("author@example.org {}\n", author.public().to_line().unwrap()));
        desk.file("converge.toml", "signing_key = \"author\"\n");
        store.publish(desk);
        store
    }

    /// Publishes the desk's policy.
    pub(crate) fn publish(&self, desk: &Desk) {
        self.operate(desk, &["publish", "policies/test.toml", "--group", "dev"]).with_code(0);
    }

    /// Runs a command as the first operator.
    pub(crate) fn operate(&self, desk: &Desk, arguments: &[&str]) -> Ended {
        let mut all = arguments.to_vec();
        all.extend(["--access-file", &self.access, "--json"]);
        desk.run(&all)
    }

    /// A join string for the group `dev`.
    pub(crate) fn join(&self, desk: &Desk, more: &[&str]) -> String {
        let mut arguments = vec!["token", "create", "--policy", "test", "--group", "dev"];
        arguments.extend(more);
        self.operate(desk, &arguments).with_code(0).json()["join"].as_str().unwrap().to_owned()
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A machine beside the desk's own, with directories of its own.
pub(crate) fn on_machine(desk: &Desk, machine: &str, arguments: &[&str]) -> Command {
    let mut command = desk.command(arguments);
    command.env("CONVERGE_CONFIG_DIR", desk.path(&format!("{machine}/config")));
    command.env("CONVERGE_STATE_DIR", desk.path(&format!("{machine}/state")));
    command
}

/// Runs a command to its end.
pub(crate) fn run(mut command: Command) -> Ended {
    Ended::of(&command.output().unwrap(), std::time::Duration::ZERO)
}
