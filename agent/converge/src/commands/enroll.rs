//! `converge enroll`: make this machine a node of a store.

use std::io::Read;

use converge_model::{Error, ErrorKind, Result};
use converge_protocol::EnrollRequest;
use converge_system::linux::facts;
use serde::Serialize;

use crate::cli::{CommonArgs, EnrollArgs};
use crate::client::StoreClient;
use crate::config::{ConfigDir, NodeIdentity};
use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::tls::Trust;

/// The join string of a store, its authority and a token: `https://127.0.0.1:8600#TOKEN#AUTHORITY`.
pub(crate) fn join_string(store: &str, trust: Trust, token: &str) -> String {
    trust.pin().map_or_else(|| format!("{store}#{token}"), |authority| format!("{store}#{token}#{authority}"))
}

/// What enrolling came to.
#[derive(Debug, Serialize)]
pub(crate) struct Enrolled {
    /// The node's name.
    pub name: String,
    /// Its policy.
    pub policy: String,
    /// Its group.
    pub group: String,
    /// Its store.
    pub store: String,
}

/// Enrols this machine, and keeps what it was given.
pub(crate) fn run(args: &EnrollArgs, common: &CommonArgs, console: Console) -> Outcome {
    let config = ConfigDir::new(&common.config_dir);
    if let (Some(node), false) = (config.node()?, args.again) {
        let cause = format!("it is the node {} of {} already", node.name, node.store);
        let error = Error::new(ErrorKind::Invalid, "enrol", "this machine", cause);
        return Err(error.with_hint("enrol it anew with --again").into());
    }
    let join = if args.join == "-" { read_join_string()? } else { args.join.clone() };
    let name = match &args.name {
        Some(name) => name.clone(),
        None => facts::hostname()?,
    };
    let enrolled = enroll(&config, join.trim(), &name)?;
    console.result(&enrolled, |node| {
        format!(
            "{} is a node of {}: policy {}, group {}\nconverge it with `converge --once`, or see first with `converge plan`",
            node.name, node.store, node.policy, node.group
        )
    })
}

/// Enrols as `name` with a join string, and writes the node's identity.
pub(crate) fn enroll(config: &ConfigDir, join: &str, name: &str) -> Outcome<Enrolled> {
    let Some((store, token)) = join.split_once('#') else {
        return Err(Failure::input("use", "the join string", "it is not one: an address, `#` and a token")
            .with_hint("pass what `converge token` printed, in quotes"));
    };
    let (token, authority) = match token.split_once('#') {
        Some((token, authority)) => {
            let authority =
                authority.parse().map_err(|cause: String| Failure::input("use", "the join string", cause))?;
            (token, Some(authority))
        }
        None => (token, None),
    };
    let client = StoreClient::new(store, authority.into(), None)?;
    // Who is this node already may stay it under the same name. A node.toml that cannot be read proves nothing.
    let previous = config.node().ok().flatten().filter(|node| node.name == name).map(|node| node.token);
    let answer = client.enroll(&EnrollRequest { token: token.to_owned(), name: name.to_owned(), previous })?;
    let identity = NodeIdentity { store: store.to_owned(), name: answer.name.clone(), token: answer.token, authority };
    config.write_node(&identity)?;
    Ok(Enrolled { name: answer.name, policy: answer.policy, group: answer.group, store: store.to_owned() })
}

fn read_join_string() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().take(4096).read_to_string(&mut text);
    read.map_err(|error| Error::io("read", "the join string from standard input", &error))?;
    Ok(text)
}
