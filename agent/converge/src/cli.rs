//! What can be typed. One table: the parser, the help and the completions come out of it.

mod authority;
mod paper;
mod publishing;
pub(crate) mod push;
mod revisions;
mod secrets;
mod store;
mod undo;

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use converge_model::{RunId, Span};
use tracing_subscriber::filter::Targets;

pub(crate) use authority::{AuditArgs, EnrollArgs, JoinArgs, KeyAction, KeyArgs, OperatorArgs, TokenAction, TokenArgs};
pub(crate) use paper::{CompletionsArgs, ManualArgs};
pub(crate) use publishing::{PublishArgs, SignArgs};
pub(crate) use push::{ExecArgs, PaceArgs, PushArgs, PushedArgs, SshArgs};
pub(crate) use revisions::{AnewArgs, DiffArgs, PromoteArgs, RevisionsArgs, RollbackArgs};
pub(crate) use secrets::{KeeperArgs, SecretAction, SecretArgs};
pub(crate) use store::{StoreAction, StoreArgs};
pub(crate) use undo::UndoArgs;

/// What was typed.
#[derive(Debug, Parser)]
#[command(
    name = "converge",
    version,
    about = "Brings a Linux machine to the state that its policy declares, and keeps it there",
    long_about = "Brings a Linux machine to the state that its policy declares, and keeps it there.\n\n\
        Without a command it is the agent: a daemon that converges this machine on an interval, or once with --once.",
    after_help = "Exit codes: 0 success; 1 wrong input; 2 a run in which something failed; 3 trouble with the machine or \
        the store; 4 a plan with changes, where --detailed-exit-code asks for it.",
    max_term_width = 110
)]
pub(crate) struct Cli {
    /// What to do; without it, be the agent.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// How the agent runs.
    #[command(flatten)]
    pub agent: AgentArgs,

    /// What every command takes.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// The agent alone: what most processes are. A run does not pay for the description of every command.
#[derive(Debug, Parser)]
struct Alone {
    #[command(flatten)]
    agent: AgentArgs,

    #[command(flatten)]
    common: CommonArgs,
}

impl Cli {
    /// What was typed. Common options may stand before a command, as they may behind it; the agent's own may not.
    ///
    /// # Errors
    /// Where it means nothing. Asking for help is an error to the parser too.
    pub(crate) fn typed() -> Result<Self, clap::Error> {
        // Whatever is no run of the agent, or a wrong one, is a matter of the whole.
        if let Ok(Alone { agent, common }) = Alone::try_parse() {
            return Ok(Self { command: None, agent, common });
        }
        let mut command = Self::command();
        let matches = command.try_get_matches_from_mut(std::env::args_os())?;
        if let Some(name) = matches.subcommand_name() {
            let of_agent = AgentArgs::augment_args(clap::Command::new("agent"));
            let mut given = of_agent
                .get_arguments()
                .filter(|argument| matches.value_source(argument.get_id().as_str()) == Some(ValueSource::CommandLine));
            if let Some(flag) = given.find_map(clap::Arg::get_long) {
                let text = format!("`--{flag}` is for the agent: leave out `{name}`, or put the flag behind it");
                return Err(command.error(ErrorKind::ArgumentConflict, text));
            }
        }
        Self::from_arg_matches(&matches)
    }
}

/// What every command takes.
#[derive(Clone, Debug, Args)]
pub(crate) struct CommonArgs {
    /// Print one JSON document instead of text.
    #[arg(long, global = true, help_heading = "Common options")]
    pub json: bool,

    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t = ColorWhen::Auto, help_heading = "Common options")]
    pub color: ColorWhen,

    /// Say more; twice, much more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Common options")]
    pub verbose: u8,

    /// What each part logs, as `converge_store=debug,warn`; stands above --verbose.
    #[arg(long, global = true, value_name = "FILTER", env = "CONVERGE_LOG", hide_env_values = true)]
    #[arg(help_heading = "Common options")]
    pub log: Option<Targets>,

    /// The agent's configuration: agent.toml, allowed_signers, node.toml, facts.d.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "CONVERGE_CONFIG_DIR",
        default_value = "/etc/converge",
        help_heading = "Common options"
    )]
    pub config_dir: PathBuf,

    /// The agent's state: cache, journal, reports. All of it can be deleted.
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "CONVERGE_STATE_DIR",
        default_value = "/var/lib/converge",
        help_heading = "Common options"
    )]
    pub state_dir: PathBuf,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How the agent runs.
#[derive(Clone, Debug, Args)]
pub(crate) struct AgentArgs {
    /// Converge once, and exit.
    #[arg(long)]
    pub once: bool,

    /// The policy, instead of the store's.
    #[command(flatten)]
    pub policy: PolicyArgs,

    /// Converge this often [default: 30m, or what agent.toml says].
    #[arg(long, value_name = "DURATION", conflicts_with = "once")]
    pub interval: Option<Span>,

    /// Begin no more resources after this long, and end with a whole report [default: none, or what agent.toml says].
    #[arg(long, value_name = "DURATION")]
    pub deadline: Option<Span>,

    /// Wait this long for another run on this machine to end.
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    pub lock_wait: Span,

    /// Report a run that was started then, in milliseconds since 1970, and ended without a report; converge nothing.
    #[arg(long, hide = true, requires = "once", value_name = "MILLIS")]
    pub crashed_run: Option<i64>,

    /// How that run ended.
    #[arg(long, hide = true, requires = "crashed_run", value_name = "TEXT", default_value = "ended")]
    pub crashed_how: String,
}

/// A policy from a directory, instead of the store's.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct PolicyArgs {
    /// A policy file in a policy repository (policies/web.toml), or a compiled graph (.json).
    #[arg(long, value_name = "PATH")]
    pub policy: Option<PathBuf>,

    /// The group of this node within the policy.
    #[arg(long, requires = "policy")]
    pub group: Option<String>,

    /// The name of this node [default: its host name].
    #[arg(long, requires = "policy", value_name = "NAME")]
    pub node: Option<String>,
}

/// A command.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show what a run would change, changing nothing.
    Plan(PlanArgs),
    /// Check a policy repository: every error at once.
    Check(RepositoryArgs),
    /// Make a policy repository, or wire up the editors of one that exists.
    Init(RepositoryArgs),
    /// Compile a policy to the graph document that nodes run.
    Compile(CompileArgs),
    /// Print the JSON Schema of cookbooks, recipes and policies.
    Schema(SchemaArgs),
    /// Publish a policy to the store.
    Publish(PublishArgs),
    /// Keep values that nobody but the nodes they are for gets to see.
    Secret(SecretArgs),
    /// Add a signature to a revision that was published.
    Sign(SignArgs),
    /// List the revisions of a policy, and where each is live.
    Revisions(RevisionsArgs),
    /// Show what differs between two revisions of a policy, resource by resource.
    Diff(DiffArgs),
    /// Make what is live in one group live in another.
    Promote(PromoteArgs),
    /// Take a group back to what it ran before: signed anew, as the next revision.
    Rollback(RollbackArgs),
    /// Be the store, or copy one.
    Store(StoreArgs),
    /// Converge machines over SSH that need nothing installed.
    Push(PushArgs),
    /// Run a command or a script on machines over SSH.
    Exec(ExecArgs),
    /// Be the machine's side of a push.
    #[command(hide = true)]
    Pushed(PushedArgs),
    /// Make, list and revoke tokens: those with which machines enrol, and those of operators.
    Token(TokenArgs),
    /// Make this machine a node of a store.
    Enroll(EnrollArgs),
    /// Show or change the key of this node.
    Key(KeyArgs),
    /// Show who changed what at the store, and who was denied.
    Audit(AuditArgs),
    /// List the nodes of the store.
    Nodes(NodesArgs),
    /// Show, change or forget a node of the store.
    Node(NodeArgs),
    /// List reports, or show one.
    Report(ReportArgs),
    /// Say what the agent on this machine does, what is due, and when it last succeeded.
    #[command(
        after_help = "Exit codes: 0 all is well; 2 the last run did not succeed; 3 the daemon was killed, the store \
        does not answer, or the disk is full."
    )]
    Status,
    /// Put back what a run overwrote on this machine.
    #[command(
        after_help = "Exit codes: 0 all was put back; 1 wrong input; 2 something was refused, or failed; 3 trouble with the \
        machine."
    )]
    Undo(UndoArgs),
    /// Say where a resource and its values come from.
    Why(WhyArgs),
    /// Print this machine's facts.
    Facts,
    /// Print the completions of a shell.
    Completions(CompletionsArgs),
    /// Write the manual pages.
    #[command(hide = true)]
    Manual(ManualArgs),
    /// Converge this machine through a store of its own, to see how it goes.
    Demo(DemoArgs),
}

/// `converge plan`
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// The policy, instead of the store's.
    #[command(flatten)]
    pub policy: PolicyArgs,

    /// Exit with 4 where the plan has changes.
    #[arg(long)]
    pub detailed_exit_code: bool,
}

/// A policy repository.
#[derive(Debug, Args)]
pub(crate) struct RepositoryArgs {
    /// The repository: the directory that holds converge.toml [default: the nearest one upwards from here].
    #[arg(value_name = "DIR")]
    pub repository: Option<PathBuf>,
}

/// `converge compile`
#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    /// The policy file.
    #[arg(value_name = "POLICY")]
    pub policy: PathBuf,

    /// The directory to write graph.json and its blobs to.
    #[arg(short, long, value_name = "DIR")]
    pub output: PathBuf,
}

/// `converge schema`
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// Which document.
    #[arg(value_name = "DOCUMENT")]
    pub document: Option<String>,
}

/// How to reach the store as an operator.
#[derive(Clone, Debug, Args)]
pub(crate) struct StoreAccess {
    /// The store's address [default: converge.toml's, or what the access file says].
    #[arg(long, global = true, value_name = "URL", env = "CONVERGE_STORE")]
    pub store: Option<String>,

    /// The file that gives access to the store [default: ~/.config/converge/access.json, or that of a store on this machine].
    #[arg(long, global = true, value_name = "FILE", env = "CONVERGE_ACCESS_FILE")]
    pub access_file: Option<PathBuf>,
}

/// `converge nodes`
#[derive(Debug, Args)]
pub(crate) struct NodesArgs {
    /// Only nodes of this policy.
    #[arg(long)]
    pub policy: Option<String>,

    /// Only nodes of this group.
    #[arg(long)]
    pub group: Option<String>,

    /// Only nodes with this tag.
    #[arg(long)]
    pub tag: Option<String>,

    /// Only nodes in this state: good, silent, never-ran, failing, behind, drifted, pending, revoked.
    #[arg(long)]
    pub state: Option<String>,

    /// Only nodes for which this is true: `facts.os.id == "debian" and "edge" in node.tags`.
    #[arg(long, value_name = "EXPRESSION")]
    pub r#where: Option<String>,

    /// The store.
    #[command(flatten)]
    pub access: StoreAccess,
}

/// `converge node`
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: NodeAction,

    /// The store.
    #[command(flatten)]
    pub access: StoreAccess,
}

/// What to do with a node.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeAction {
    /// Show all that the store knows of it, its facts with --json.
    Show {
        /// The node.
        name: String,
    },
    /// Set attributes for this node alone, or move it to another group or policy.
    Set {
        /// The node.
        name: String,
        /// `cookbook.attribute=VALUE`, the value as JSON or plain text; `cookbook.attribute=` takes it back.
        values: Vec<String>,
        /// Its group from now on.
        #[arg(long)]
        group: Option<String>,
        /// Its policy from now on. The node refuses it until it is enrolled anew for that one.
        #[arg(long)]
        policy: Option<String>,
    },
    /// Give it tags, or take some away.
    Tag {
        /// The node.
        name: String,
        /// Tags that it gets.
        add: Vec<String>,
        /// A tag that it loses.
        #[arg(long, value_name = "TAG")]
        remove: Vec<String>,
    },
    /// List the machines that wait to take a node's place.
    Waiting,
    /// Make a waiting machine the node: it was rebuilt, and has another key.
    Approve {
        /// The node.
        name: String,
        /// The fingerprint that the machine shows; needed where more than one waits.
        #[arg(long)]
        fingerprint: Option<String>,
    },
    /// Refuse all its requests from now on.
    Revoke {
        /// The node.
        name: String,
        /// Take its requests again.
        #[arg(long)]
        undo: bool,
    },
    /// Forget it and its reports; it can enrol anew.
    Forget {
        /// The node.
        name: String,
    },
}

/// `converge report`
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// The run to show, or the first digits of it; `last` is the newest.
    #[arg(value_name = "RUN")]
    pub run: Option<String>,

    /// Only reports of this node.
    #[arg(long)]
    pub node: Option<String>,

    /// This machine's own reports, without asking the store.
    #[arg(long)]
    pub local: bool,

    /// Only runs in which something was not up to date.
    #[arg(long)]
    pub eventful: bool,

    /// At most so many.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,

    /// The store.
    #[command(flatten)]
    pub access: StoreAccess,
}

/// `converge why`
#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// The resource: `file[/etc/motd]`.
    pub resource: converge_model::ResourceId,

    /// One property of it.
    pub property: Option<String>,

    /// One line of its content: which lines of which template or file it comes from.
    #[arg(long, value_name = "NUMBER", conflicts_with = "property")]
    pub line: Option<u32>,

    /// The policy, instead of the one this node converged last.
    #[command(flatten)]
    pub policy: PolicyArgs,
}

/// `converge demo`
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,

    /// Take away everything the demo made.
    #[arg(long)]
    pub undo: bool,
}

/// A run, by its identity or the first digits of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RunRef {
    /// The newest.
    Last,
    /// This one.
    Exactly(RunId),
    /// The one that begins so.
    Prefix(String),
}

impl RunRef {
    /// What was meant by `text`.
    ///
    /// # Errors
    /// Where it is neither `last` nor hexadecimal digits.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text == "last" {
            return Ok(RunRef::Last);
        }
        if let Ok(run) = text.parse() {
            return Ok(RunRef::Exactly(run));
        }
        if !text.is_empty() && text.len() < 32 && text.bytes().all(|c| c.is_ascii_hexdigit()) {
            return Ok(RunRef::Prefix(text.to_ascii_lowercase()));
        }
        Err(format!("{text:?} is not a run; give `last`, or the digits that `converge report` shows"))
    }
}
