//! What can be typed of secrets.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::StoreAccess;

/// `converge secret`
#[derive(Debug, Args)]
pub(crate) struct SecretArgs {
    /// What to do.
    #[command(subcommand)]
    pub action: SecretAction,

    /// The keeper's key.
    #[command(flatten)]
    pub keeper: KeeperArgs,

    /// The key to sign with, as for `converge publish`.
    #[arg(long, global = true, value_name = "FILE", env = "CONVERGE_SIGNING_KEY")]
    pub key: Option<PathBuf>,

    /// The store.
    #[command(flatten)]
    pub access: StoreAccess,
}

/// Where the operators' key to all secrets is.
#[derive(Clone, Debug, Args)]
pub(crate) struct KeeperArgs {
    /// The operators' key to all secrets [default: ~/.config/converge/keeper.key].
    #[arg(long, global = true, value_name = "FILE", env = "CONVERGE_KEEPER_KEY")]
    pub keeper: Option<PathBuf>,
}

/// What can be done with secrets. No value is ever taken from the command line, where every process of the machine reads it.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretAction {
    /// Make the operators' key to all secrets, which the store never sees. Once; other operators get a copy.
    Init,
    /// Show to whom to encrypt what is meant for this machine; its key is made where there is none.
    Recipient,
    /// Say for which nodes some secrets are. All that is said must hold.
    Rule {
        /// What it is called.
        rule: String,
        /// The policy of the nodes.
        #[arg(long)]
        policy: String,
        /// Their group [default: any].
        #[arg(long)]
        group: Option<String>,
        /// A tag that they have.
        #[arg(long)]
        tag: Option<String>,
    },
    /// Set a secret. Its value comes from standard input, or is asked for.
    Set {
        /// The secret, as cookbooks name it: `db/password`.
        name: String,
        /// The rule that says for which nodes it is.
        #[arg(long)]
        rule: String,
        /// Take the value from this file, byte for byte.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Remove a secret, or a rule with all that it has.
    Rm {
        /// The secret.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        name: Option<String>,
        /// Its rule.
        #[arg(long)]
        rule: String,
        /// All of the rule, and the rule.
        #[arg(long)]
        all: bool,
    },
    /// List secrets: for whom they are, who has read them, and what is due. No values.
    List,
    /// Give a rule another key, for the nodes that it means now, and encrypt its values anew: who left it reads nothing that
    /// is set from now on.
    Rotate {
        /// The rule.
        rule: String,
        /// A node that must not get the key, whatever the store says of it; may be repeated.
        #[arg(long, value_name = "NODE")]
        without: Vec<String>,
        /// A join string that stays good for it, as `converge token list` names it; may be repeated. All others read nothing
        /// new of this rule.
        #[arg(long, value_name = "ID")]
        join: Vec<String>,
    },
    /// Let in a node that came without a join string with secrets, or that was moved or tagged since.
    Grant {
        /// The rule.
        rule: String,
        /// The node.
        node: String,
        /// Its recipient, as `converge secret recipient` shows it on the node itself.
        #[arg(long, value_name = "AGE1…")]
        recipient: String,
    },
}
