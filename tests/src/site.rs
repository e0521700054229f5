//! A booted machine with the agent, and a policy repository on it.
#![expect(clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;

use converge_testbed::{AptRepository, Machine, MachineOptions, Output, Result, agent_binary};
use serde_json::Value as Json;

/// Where the policy repository is on the machine.
const REPOSITORY: &str = "/root/policy";

/// A booted machine with the agent in its path.
pub struct Site {
    /// The machine.
    pub machine: Machine,
}

impl Site {
    /// Boots a machine with these options (a name will do), and puts the agent on it.
    ///
    /// # Errors
    /// Where the machine does not boot, or there is no agent to put on it.
    pub fn boot(options: impl Into<MachineOptions>) -> Result<Self> {
        let machine = Machine::boot(options)?;
        machine.push_binary(&agent_binary()?)?;
        Ok(Self { machine })
    }

    /// The same, with packages from a repository that the test describes.
    ///
    /// # Errors
    /// As [`Site::boot`].
    pub fn boot_with_packages(options: impl Into<MachineOptions>, packages: &AptRepository) -> Result<Self> {
        let site = Self::boot(options)?;
        site.machine.use_apt_repository(packages)?;
        Ok(site)
    }

    /// Writes a policy of one cookbook with one recipe, all of it called `test`.
    ///
    /// # Errors
    /// Where the machine refuses the files.
    pub fn recipe(&self, recipe: &str) -> Result<()> {
        self.repository_file("converge.toml", "")?;
        self.repository_file("cookbooks/test/cookbook.toml", "name = \"test\"\nversion = \"1.0.0\"\n")?;
        self.repository_file("cookbooks/test/recipes/default.toml", recipe)?;
        self.repository_file("policies/test.toml", "name = \"test\"\nrun_list = [\"test\"]\n")
    }

    /// Writes a file of the policy repository.
    ///
    /// # Errors
    /// Where the machine refuses the file.
    pub fn repository_file(&self, path: &str, text: &str) -> Result<()> {
        self.machine.write_file(&format!("{REPOSITORY}/{path}"), text)
    }

    /// Makes an author who signs what the policy repository publishes, and whom nodes trust that join.
    ///
    /// # Errors
    /// Where the machine refuses the files, or has no OpenSSH.
    pub fn author(&self) -> Result<()> {
        self.repository_file("converge.toml", "signing_key = \"~/author\"\n")?;
        self.shell(&format!(
            "ssh-keygen -q -t ed25519 -N '' -f /root/author && \
             echo \"author@example.org $(cat /root/author.pub)\" > {REPOSITORY}/allowed_signers"
        ))?;
        Ok(())
    }

    /// Runs a script on the machine that must succeed, and gives what it printed without white space at its end.
    ///
    /// # Errors
    /// Where the machine is off, or the script does not end in time.
    #[track_caller]
    pub fn shell(&self, script: &str) -> Result<String> {
        Ok(self.machine.shell(script)?.assert_ok().text().to_owned())
    }

    /// Starts and installs a unit of `packaging/`, running the agent that the testbed put on the machine.
    ///
    /// # Errors
    /// Where the unit does not start.
    pub fn start_unit(&self, unit: &str) -> Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd").join(unit);
        #[expect(clippy::disallowed_methods, reason = "a file of this project")]
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = text.replace("/usr/bin/converge", "/usr/local/bin/converge");
        self.machine.write_file(&format!("/etc/systemd/system/{unit}"), text)?;
        self.shell(&format!("systemctl daemon-reload; systemctl start {unit}"))?;
        Ok(())
    }

    /// `converge --once` with the recipe's policy, as a process to be watched.
    pub const ONCE: [&str; 5] = ["converge", "--once", "--json", "--policy", "/root/policy/policies/test.toml"];

    /// Converges once, whatever comes of it.
    ///
    /// # Errors
    /// Where the run does not end in time.
    #[track_caller]
    pub fn converge(&self) -> Result<Run> {
        Ok(Run::of(self.machine.run(Self::ONCE)?))
    }

    /// Plans, whatever comes of it.
    ///
    /// # Errors
    /// Where the plan does not end in time.
    #[track_caller]
    pub fn plan(&self) -> Result<Run> {
        let plan = ["converge", "plan", "--json", "--policy", "/root/policy/policies/test.toml"];
        Ok(Run::of(self.machine.run(plan)?))
    }

    /// Plans, converges, and converges again: the plan must be what happens, all of it must succeed, and the second run
    /// must have nothing to do. Gives the first run.
    ///
    /// # Errors
    /// Where a run does not end in time.
    #[track_caller]
    pub fn settle(&self) -> Result<Run> {
        let plan = self.plan()?;
        let first = self.converge()?.succeeded();
        assert_eq!(plan.ids("would_update"), first.ids("updated"), "the plan is not what happened");
        self.idle()?;
        Ok(first)
    }

    /// Converges with nothing to do.
    ///
    /// # Errors
    /// Where the run does not end in time.
    #[track_caller]
    pub fn idle(&self) -> Result<()> {
        let run = self.converge()?.succeeded();
        assert_eq!(
            run.ids("updated"),
            Vec::<String>::new(),
            "a run with nothing to do did something: {:#}",
            run.report
        );
        assert_eq!(run.report["notifications"], Json::Null, "a run with nothing to do notified somebody");
        Ok(())
    }
}

/// What came of a run.
pub struct Run {
    /// The exit code.
    pub code: Option<i32>,
    /// The report.
    pub report: Json,
}

impl Run {
    /// The run that printed this report.
    #[track_caller]
    pub fn of(output: Output) -> Self {
        let report = serde_json::from_str(&output.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}:\n{}\n{}", output.stdout, output.stderr));
        Self { code: output.code(), report }
    }

    /// Fails the test unless the run succeeded.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(
            (self.code, &self.report["conclusion"]["kind"]),
            (Some(0), &Json::from("succeeded")),
            "{:#}",
            self.report
        );
        self
    }

    /// Fails the test unless the run failed.
    #[track_caller]
    pub fn failed(self) -> Self {
        assert_eq!(
            (self.code, &self.report["conclusion"]["kind"]),
            (Some(2), &Json::from("failed")),
            "{:#}",
            self.report
        );
        self
    }

    /// The resources that ended so, in order.
    pub fn ids(&self, outcome: &str) -> Vec<String> {
        let all = self.report["resources"].as_array().into_iter().flatten();
        let such = all.filter(|resource| resource["outcome"] == outcome);
        such.filter_map(|resource| resource["id"].as_str().map(str::to_owned)).collect()
    }

    /// How one resource ended.
    #[track_caller]
    pub fn resource(&self, id: &str) -> &Json {
        let mut all = self.report["resources"].as_array().into_iter().flatten();
        all.find(|resource| resource["id"] == id).unwrap_or_else(|| panic!("no {id} in {:#}", self.report))
    }

    /// Fails the test unless one resource failed with an error that holds each of these texts.
    #[track_caller]
    pub fn failed_saying(&self, id: &str, parts: &[&str]) {
        let resource = self.resource(id);
        let text = format!("{} {}", resource["error"]["message"], resource["error"]["hint"]);
        assert_eq!(resource["outcome"], "failed", "{resource:#}");
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }
}
