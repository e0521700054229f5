//! What is typed after `converge publish` and `converge sign`.

use std::path::PathBuf;

use clap::Args;

use super::StoreAccess;

/// `converge publish`
#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    /// The policy: its name in this repository, or its file.
    #[arg(value_name = "POLICY")]
    pub policy: PathBuf,

    /// Make it live in this group.
    #[arg(long)]
    pub group: Option<String>,

    /// The only group whose nodes may ever run it, whatever the store says; may be repeated [default: all].
    #[arg(long, value_name = "GROUP")]
    pub only: Vec<String>,

    /// The key to sign with: the file of an SSH key, or of the public one of a key that the SSH agent has [default:
    /// converge.toml's `signing_key`, or the agent's only key].
    #[arg(long, value_name = "FILE", env = "CONVERGE_SIGNING_KEY")]
    pub key: Option<PathBuf>,

    /// Publish under this serial, whatever the store says is next. A store that lost its policies goes on behind what
    /// nodes ran.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub serial: Option<u64>,

    /// The store.
    #[command(flatten)]
    pub access: StoreAccess,
}

/// `converge sign`
#[derive(Debug, Args)]
pub(crate) struct SignArgs {
    /// The policy.
    #[arg(value_name = "POLICY")]
    pub policy: String,

    /// The revision.
    #[arg(value_name = "SERIAL")]
    pub serial: u64,

    /// The SHA-256 of the graph that is to be signed, instead of what this repository compiles to.
    #[arg(long, value_name = "SHA256")]
    pub graph: Option<converge_model::Digest>,

    /// The key to sign with, as for `converge publish`.
    #[arg(long, value_name = "FILE", env = "CONVERGE_SIGNING_KEY")]
    pub key: Option<PathBuf>,

    /// Sign nothing: write the manifest and its signatures to this directory, for `ssh-keygen -Y verify` and `-Y sign`.
    #[arg(long, value_name = "DIRECTORY", conflicts_with_all = ["graph", "signature"])]
    pub save: Option<PathBuf>,

    /// Add the signature in this file, which `ssh-keygen -Y sign` made elsewhere.
    #[arg(long, value_name = "FILE", conflicts_with = "graph")]
    pub signature: Option<PathBuf>,

    /// The store.
    #[command(flatten)]
    pub access: StoreAccess,
}
