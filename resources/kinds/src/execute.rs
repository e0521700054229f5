//! `execute`: a command.

use std::collections::BTreeMap;
use std::time::Duration;

use converge_model::system::commands::{CommandSpec, Exit, Purpose};
use converge_model::{
    AbsPath, AccountName, AnyResource, Change, Changes, CommandLine, Error, ErrorKind, Footprint, Key, Kind,
    KindSchema, Mode, OneOrMany, Properties, Resource, ResourceId, ResourceSpec, Result, Shown, Span, System,
};

use crate::{path_keys, validation};

/// The row of the registry. What a command did cannot be taken away.
pub(crate) const KIND: Kind = Kind { schema, build, removal: |_| None };

/// How long a command may take where the recipe says nothing.
const RUN_TIME: Duration = Duration::from_secs(10 * 60);

converge_model::choice! {
    /// When a command runs.
    pub(crate) enum RunWhen {
        /// In every run.
        Always = "always",
        /// When it is notified.
        WhenNotified = "when_notified",
    }
}

converge_model::properties! {
    /// What an execute takes.
    pub(crate) struct ExecuteProperties {
        /// What to execute, where it is not the resource's name. A string is a line for `/bin/sh`; a list is the program and
        /// its arguments, which nothing interprets.
        pub command: Option<CommandLine>,
        /// The directory to run it in; `/` unless said.
        pub cwd: Option<AbsPath>,
        /// Environment variables, on top of a small clean environment.
        #[sensitive = true]
        pub env: Option<BTreeMap<String, String>>,
        /// The user to run it as; the user converging, which is root, unless said.
        pub user: Option<AccountName>,
        /// The file mode creation mask, as an octal string; "022" unless said.
        pub umask: Option<Mode>,
        /// The exit codes that mean success; 0 unless said.
        pub exit_codes: Option<OneOrMany<u8>>,
        /// A path that is there once the command has run. Where it is there already, the command does not run; where it is
        /// still not there afterwards, the resource has failed.
        pub creates: Option<AbsPath>,
        /// `always` runs it in every run, unless `creates` or a guard says that it is not needed. `when_notified` runs it only
        /// when a resource notifies it.
        pub run: RunWhen = RunWhen::Always,
    }
}

fn schema() -> KindSchema {
    KindSchema {
        name: "execute",
        doc: "A command. The name is the command, a line for `/bin/sh`, unless `command` says what to execute.\n\n\
              It has no terminal and no input, and a process group of its own that is gone when it ends. `timeout` is how long \
              it may take; 10 minutes unless said. A plan does not run it, and says that what comes after is assumed.",
        names: converge_model::schema::NameSchema { what: "command", check: |_| Ok(()), is_path: false },
        properties: ExecuteProperties::schema(),
        actions: &[("run", "Run the command, unless what it `creates` is there.")],
        example: r#"[execute."make swap"]
command = ["fallocate", "--length", "1G", "/swapfile"]
umask = "077"
creates = "/swapfile"

[file."/etc/aliases"]
content = "root: admin@shop.example\n"
notifies = { run = "execute[newaliases]" }

[execute.newaliases]
run = "when_notified"
"#,
    }
}

fn build(spec: &ResourceSpec<'_>) -> Result<Box<dyn AnyResource>> {
    let properties: ExecuteProperties = spec.decode()?;
    let environment = properties.env.clone().unwrap_or_default();
    let good = |name: &str| !name.is_empty() && !name.contains('=') && !name.chars().any(char::is_control);
    if let Some(bad) = environment.keys().find(|name| !good(name)) {
        return Err(spec.invalid(format!("property `env`: {bad:?} is not the name of an environment variable")));
    }
    if let Some(umask) = properties.umask.filter(|umask| umask.0 > 0o777) {
        return Err(spec.invalid(format!("property `umask`: {umask} is more than 0777")));
    }
    let exit_codes = match &properties.exit_codes {
        None => vec![0],
        Some(OneOrMany(codes)) if codes.is_empty() => {
            return Err(spec.invalid("property `exit_codes` is empty: no exit code would mean success"));
        }
        Some(OneOrMany(codes)) => codes.clone(),
    };
    let line = properties.command.clone().unwrap_or_else(|| CommandLine::Shell(spec.id.name().to_owned()));
    let command = CommandSpec {
        directory: properties.cwd.clone(),
        environment,
        user: properties.user.as_ref().map(ToString::to_string),
        umask: properties.umask.map(|umask| umask.0),
        creates: properties.creates.iter().cloned().collect(),
        ..CommandSpec::new(line, Purpose::Change, spec.timeout.map_or(RUN_TIME, Span::duration))
    };
    Ok(Box::new(ExecuteResource { id: spec.id.clone(), properties, command, exit_codes }))
}

struct ExecuteResource {
    id: ResourceId,
    properties: ExecuteProperties,
    command: CommandSpec,
    exit_codes: Vec<u8>,
}

impl ExecuteResource {
    /// Whether what the command creates is there.
    fn is_done(&self, system: &dyn System) -> Result<bool> {
        match &self.properties.creates {
            Some(path) => Ok(system.files().metadata(path)?.is_some()),
            None => Ok(false),
        }
    }

    fn run(&self, system: &dyn System) -> Result<()> {
        let output = system.commands().run(&self.command)?;
        let kind = match output.exit {
            Exit::Code(code) if u8::try_from(code).is_ok_and(|code| self.exit_codes.contains(&code)) => return Ok(()),
            Exit::Assumed => return Ok(()),
            Exit::Code(_) | Exit::Signal(_) => ErrorKind::Failed,
            Exit::TimedOut => ErrorKind::TimedOut,
            Exit::Cancelled => ErrorKind::Cancelled,
        };
        // The command itself may hold a secret, and then the name of the resource is all that may be said of it.
        let cause = format!("the command {}{}", output.exit, validation::last_lines(&output.output));
        let error = Error::new(kind, "carry out", &self.id, cause);
        Err(match output.exit {
            Exit::TimedOut => error.with_hint(format!(
                "it may take {}; set `timeout` where that is too short",
                Span::from(self.command.timeout)
            )),
            Exit::Code(_) => {
                error.with_hint("mend what it complains of, or list the code in `exit_codes` if it means success")
            }
            _ => error,
        })
    }

    /// The program, where the command begins with its absolute path.
    fn program(&self) -> Option<AbsPath> {
        match &self.command.line {
            CommandLine::Argv(words) => words.first()?.parse().ok(),
            CommandLine::Shell(line) => line.split_whitespace().next()?.parse().ok(),
        }
    }
}

impl Resource for ExecuteResource {
    /// Whether there is nothing to do.
    type State = bool;

    fn observe(&self, system: &dyn System) -> Result<bool> {
        match self.properties.run {
            RunWhen::Always => self.is_done(system),
            RunWhen::WhenNotified => Ok(true),
        }
    }

    fn diff(&self, done: &bool) -> Changes {
        let mut changes = Changes::none();
        if !done {
            changes.push(Change::act("command", &self.command.line));
            if let Some(path) = &self.properties.creates {
                changes.push(Change::new("creates", Shown::Absent, Shown::text(path)));
            }
        }
        changes
    }

    fn apply(&self, system: &dyn System, _done: &bool, _changes: &Changes) -> Result<()> {
        self.run(system)
    }

    fn footprint(&self) -> Footprint {
        let creates = self.properties.creates.iter().flat_map(path_keys::given_at);
        let user = match &self.properties.user {
            Some(AccountName::Name(name)) => Some(Key::User(name.clone())),
            _ => None,
        };
        let paths = self.properties.cwd.clone().into_iter().chain(self.program()).map(Key::Path);
        Footprint { gives: creates.chain([Key::Everything]).collect(), needs: paths.chain(user).collect() }
    }

    fn act(&self, system: &dyn System, action: &str) -> Result<()> {
        match action {
            "run" if self.is_done(system)? => Ok(()),
            "run" => self.run(system),
            other => {
                let cause = format!("an execute has no action `{other}`");
                Err(Error::new(ErrorKind::Invalid, "notify", &self.id, cause))
            }
        }
    }
}
