//! What is typed to be a store, and to copy one.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use converge_model::Span;

/// `converge store`
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// What to do with a store; without it, be one.
    #[command(subcommand)]
    pub action: Option<StoreAction>,

    /// Where the store keeps everything.
    #[arg(long, global = true, value_name = "DIR", default_value = "/var/lib/converge-store")]
    pub data: PathBuf,

    /// Where it listens; 0.0.0.0:8600 is everywhere.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8600")]
    pub listen: std::net::SocketAddr,

    /// A name or address that nodes reach it under; the first one goes into join strings [default: where it listens, or
    /// this machine's host name].
    #[arg(long = "name", value_name = "NAME")]
    pub names: Vec<String>,

    /// A certificate with what leads up to its authority, instead of one that the store makes itself; read again when it
    /// changes, and on SIGHUP.
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,

    /// The certificate's key.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,

    /// The certificate of that authority, which nodes shall trust alone [default: nodes trust whom their system trusts].
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub authority: Option<PathBuf>,

    /// Log one JSON document a line, with every field by its name.
    #[arg(long)]
    pub log_json: bool,

    /// How long reports are kept; the last of each node always is.
    #[arg(long, value_name = "DURATION", default_value = "90d")]
    pub keep_reports: Span,

    /// How many reports of each node are kept at most.
    #[arg(long, value_name = "NUMBER", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub keep_reports_of_node: u32,

    /// How long a blob is kept that no revision needs: a publication must not take longer.
    #[arg(long, value_name = "DURATION", default_value = "1d")]
    pub keep_idle_blobs: Span,

    /// How often to look for what need not be kept.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    pub tidy_every: Span,
}

/// What can be done with a store that this process is not.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreAction {
    /// Copy the store, which may run meanwhile: all that makes it what nodes and operators know.
    Backup {
        /// The directory that the copy will be: it must not be there.
        #[arg(value_name = "DIR")]
        to: PathBuf,
    },
    /// Make a store of a copy, in a directory that is empty or not there.
    Restore {
        /// The copy.
        #[arg(value_name = "DIR")]
        from: PathBuf,
    },
}
