//! What is typed to look at revisions, and to move groups between them.

use std::path::PathBuf;

use clap::Args;

use super::StoreAccess;

/// `converge revisions`
#[derive(Debug, Args)]
pub(crate) struct RevisionsArgs {
    /// The policy.
    #[arg(value_name = "POLICY")]
    pub policy: String,

    /// At most so many.
    #[arg(long, default_value_t = 20)]
    pub limit: usize,

    /// The store.
    #[command(flatten)]
    pub access: StoreAccess,
}

/// `converge diff`
#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The policy.
    #[arg(value_name = "POLICY")]
    pub policy: String,

    /// The earlier revision: its serial, or a group, for what is live there.
    #[arg(value_name = "FROM")]
    pub from: String,

    /// The later revision [default: the newest].
    #[arg(value_name = "TO")]
    pub to: Option<String>,

    /// The store.
    #[command(flatten)]
    pub access: StoreAccess,
}

/// Who signs, where something has to be signed.
#[derive(Debug, Args)]
pub(crate) struct AnewArgs {
    /// The key to sign with, where a new revision is needed, as for `converge publish`.
    #[arg(long, value_name = "FILE", env = "CONVERGE_SIGNING_KEY")]
    pub key: Option<PathBuf>,

    /// How many trusted signers must have signed what is signed anew: what nodes want of it.
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub threshold: u32,

    /// Sign it under this serial, whatever the store says is next.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub serial: Option<u64>,
}

/// `converge promote`
#[derive(Debug, Args)]
pub(crate) struct PromoteArgs {
    /// The policy.
    #[arg(value_name = "POLICY")]
    pub policy: String,

    /// The group whose revision it is.
    #[arg(long, value_name = "GROUP")]
    pub from: String,

    /// The group that gets it.
    #[arg(long, value_name = "GROUP")]
    pub to: String,

    /// The revision that must be live in that group; then nobody is asked before it is signed anew.
    #[arg(long, value_name = "SERIAL")]
    pub revision: Option<u64>,

    /// Do not ask before it is signed anew.
    #[arg(long, short)]
    pub yes: bool,

    /// Who signs, where that revision was signed for other groups only.
    #[command(flatten)]
    pub anew: AnewArgs,

    /// The store.
    #[command(flatten)]
    pub access: StoreAccess,
}

/// `converge rollback`
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// The policy.
    #[arg(value_name = "POLICY")]
    pub policy: String,

    /// The group.
    #[arg(long, value_name = "GROUP")]
    pub group: String,

    /// The revision to go back to [default: what the store says was live there before; that is asked for].
    #[arg(long, value_name = "SERIAL")]
    pub to: Option<u64>,

    /// Do not ask.
    #[arg(long, short)]
    pub yes: bool,

    /// Who signs.
    #[command(flatten)]
    pub anew: AnewArgs,

    /// The store.
    #[command(flatten)]
    pub access: StoreAccess,
}
