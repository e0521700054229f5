//! What can be typed of tokens, keys and the audit log.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use converge_model::Span;
use converge_protocol::Role;

use super::{KeeperArgs, StoreAccess};

/// `converge token`
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: TokenAction,

    /// The store.
    #[command(flatten)]
    pub access: StoreAccess,
}

/// What can be done with tokens.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenAction {
    /// Make a join string, with which machines enrol.
    Create(JoinArgs),
    /// Make an access file for an operator, and print it.
    CreateOperator(OperatorArgs),
    /// List tokens, without what is secret of them.
    List,
    /// Make a token good for nothing from now on.
    Revoke {
        /// A join token, as `converge token list` names it.
        #[arg(required_unless_present = "operator", conflicts_with = "operator")]
        id: Option<String>,
        /// The operator whose token it is.
        #[arg(long, value_name = "NAME")]
        operator: Option<String>,
    },
}

/// `converge token create`
#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The policy of the machines that enrol with it.
    #[arg(long)]
    pub policy: String,

    /// Their group.
    #[arg(long)]
    pub group: String,

    /// How many may enrol [default: any number].
    #[arg(long, value_name = "NUMBER")]
    pub uses: Option<u32>,

    /// For how long it is good.
    #[arg(long, value_name = "DURATION", default_value = "1d")]
    pub expires: Span,

    /// The node whose place the machine takes: it was rebuilt, and needs no approval. Good for one use.
    #[arg(long, value_name = "NODE", conflicts_with = "uses")]
    pub replace: Option<String>,

    /// A tag that they get; may be repeated.
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,

    /// The operators' key to all secrets, without which those machines read none until they are let in by hand.
    #[command(flatten)]
    pub keeper: KeeperArgs,

    /// An address under which these machines reach the store; the likeliest first [default: those the store knows].
    #[arg(long = "address", value_name = "URL")]
    pub addresses: Vec<String>,

    /// Whose revisions the nodes will run: an allowed_signers file [default: that of this policy repository, if it has one].
    #[arg(long, value_name = "FILE")]
    pub signers: Option<PathBuf>,

    /// How many of them must have signed a revision.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub threshold: u32,
}

/// `converge token create-operator`
#[derive(Debug, Args)]
pub(crate) struct OperatorArgs {
    /// What the audit log calls who has it.
    pub name: String,

    /// What it is good for: viewer, deployer, author or admin; each may do what those before it may.
    #[arg(long)]
    pub role: Role,

    /// Only for this policy; may be said more than once.
    #[arg(long = "policy", value_name = "POLICY")]
    pub policies: Vec<String>,

    /// Only for this group; may be said more than once.
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,

    /// For how long it is good [default: until it is revoked].
    #[arg(long, value_name = "DURATION")]
    pub expires: Option<Span>,

    /// Write the access file here, for its owner only, instead of printing it.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// `converge enroll`
#[derive(Debug, Args)]
pub(crate) struct EnrollArgs {
    /// What `converge token create` printed; `-` reads it from standard input, where no list of processes shows it.
    #[arg(value_name = "JOIN-STRING", required_unless_present = "join_file", conflicts_with = "join_file")]
    pub join: Option<String>,

    /// The file that holds it.
    #[arg(long, value_name = "FILE")]
    pub join_file: Option<PathBuf>,

    /// The node's name [default: this machine's host name].
    #[arg(long)]
    pub name: Option<String>,

    /// Enrol although this machine is a node already; it keeps its key.
    #[arg(long)]
    pub again: bool,

    /// Do not wait where an operator has to approve this machine; ask again later.
    #[arg(long)]
    pub no_wait: bool,
}

/// `converge key`
#[derive(Debug, Args)]
pub(crate) struct KeyArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: KeyAction,
}

/// What can be done with this node's key.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// Show its fingerprint.
    Show,
    /// Make another one, and have the store take it in place of the one until now.
    Rotate,
}

/// `converge audit`
#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    /// Only what was denied.
    #[arg(long)]
    pub denied: bool,

    /// Only what this one did, as the list names them: `operator first`.
    #[arg(long)]
    pub who: Option<String>,

    /// At most so many entries, newest first.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,

    /// The store.
    #[command(flatten)]
    pub access: StoreAccess,
}
