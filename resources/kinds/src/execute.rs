//! `execute`: a command.

use std::collections::BTreeMap;
use std::time::Duration;

use converge_model::system::commands::{CommandSpec, Exit, Purpose};
use converge_model::{
    AbsPath, AccountName, AnyResource, Change, Changes, CommandLine, Error, ErrorKind, Footprint, Images, Keeper, Key,
    Kind, KindSchema, Mode, OneOrMany, Properties, PropertyType, Resource, ResourceId, ResourceSpec, Result, Shown,
    Span, System, TypeSchema, Value,
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
        pub env: Option<Environment>,
        /// The user to run it as; the user converging, which is root, unless said.
        pub user: Option<AccountName>,
        /// The file mode creation mask, as an octal string; "022" unless said.
        pub umask: Option<Umask>,
        /// The exit codes that mean success; 0 unless said.
        pub exit_codes: Option<ExitCodes>,
        /// A path that is there once the command has run. Where it is there already, the command does not run; where it is
        /// still not there afterwards, the resource has failed.
        pub creates: Option<AbsPath>,
        /// `always` runs it in every run, unless `creates` or a guard says that it is not needed. `when_notified` runs it only
        /// when a resource notifies it.
        pub run: RunWhen = RunWhen::Always,
    }
}

/// Environment variables by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Environment(BTreeMap<String, String>);

impl PropertyType for Environment {
    fn schema() -> TypeSchema {
        BTreeMap::<String, String>::schema()
    }

    fn from_value(value: &Value) -> std::result::Result<Self, String> {
        let variables = BTreeMap::<String, String>::from_value(value)?;
        let good = |name: &str| !name.is_empty() && !name.contains('=') && !name.chars().any(char::is_control);
        match variables.keys().find(|name| !good(name)) {
            Some(bad) => Err(format!("{bad:?} is not the name of an environment variable")),
            None => Ok(Self(variables)),
        }
    }
}

/// A file mode creation mask, 0 to 0777.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Umask(Mode);

impl PropertyType for Umask {
    fn schema() -> TypeSchema {
        TypeSchema::Text { what: "file mode creation mask", pattern: Some(r"^0?[0-7]{3}$|\{\{") }
    }

    fn from_value(value: &Value) -> std::result::Result<Self, String> {
        match Mode::from_value(value)? {
            mode if mode.0 > 0o777 => Err(format!("{mode} is more than 0777")),
            mode => Ok(Self(mode)),
        }
    }
}

/// The exit codes that mean success, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExitCodes(Vec<u8>);

impl PropertyType for ExitCodes {
    fn schema() -> TypeSchema {
        OneOrMany::<u8>::schema()
    }

    fn from_value(value: &Value) -> std::result::Result<Self, String> {
        match OneOrMany::from_value(value)? {
            OneOrMany(codes) if codes.is_empty() => Err("it is empty: no exit code would mean success".to_owned()),
            OneOrMany(codes) => Ok(Self(codes)),
        }
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
        judge: ExecuteProperties::judge,
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
    let environment = properties.env.clone().map(|Environment(variables)| variables).unwrap_or_default();
    let exit_codes = properties.exit_codes.clone().map_or_else(|| vec![0], |ExitCodes(codes)| codes);
    let line = properties.command.clone().unwrap_or_else(|| CommandLine::Shell(spec.id.name().to_owned()));
    let command = CommandSpec {
        directory: properties.cwd.clone(),
        environment,
        user: properties.user.as_ref().map(ToString::to_string),
        umask: properties.umask.map(|Umask(mode)| mode.0),
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

    fn images(&self, _: &dyn System, _done: &bool, _changes: &Changes, _: &dyn Keeper) -> Result<Images> {
        Ok(Images::lost("a command was run, and nobody knows what takes back what it did"))
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
