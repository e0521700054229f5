//! `converge enroll`: make this machine a node of a store.

use std::io::Read;
use std::path::Path;
use std::time::Duration;

use converge_model::{Error, ErrorKind, Result};
use converge_protocol::{EnrollRequest, EnrollResponse};
use converge_system::linux::{durable, facts};
use converge_trust::join_string::{self, JoinString};
use converge_trust::node_key::{Purpose, enrolment_message, signature_text};
use serde::Serialize;

use crate::cli::{CommonArgs, EnrollArgs};
use crate::client::{Credentials, StoreClient};
use crate::config::{ConfigDir, NodeIdentity};
use crate::console::{Console, error_text};
use crate::failure::{Failure, Outcome};
use crate::identity::{NodeKeys, Signer};
use crate::secrets::{MachineIdentity, given};
use crate::state::StateDir;
use crate::state::highest::Highest;

/// How often a machine that waits asks whether it was approved.
const ASKS_EVERY: Duration = Duration::from_secs(3);

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
    /// The fingerprint of its key.
    pub fingerprint: String,
}

/// Enrols this machine, and keeps what it was given.
pub(crate) fn run(args: &EnrollArgs, common: &CommonArgs, console: Console) -> Outcome {
    let config = ConfigDir::new(&common.config_dir);
    if let (Some(node), false) = (config.node()?, args.again) {
        let cause = format!("it is the node {} of {} already", node.name, node.store);
        let error = Error::new(ErrorKind::Invalid, "enrol", "this machine", cause);
        return Err(error.with_hint("enrol it anew with --again").into());
    }
    let join = match (&args.join, &args.join_file) {
        (_, Some(file)) => from_file(file)?,
        (Some(join), None) if join != "-" => join.clone(),
        _ => from_standard_input()?,
    };
    let name = match &args.name {
        Some(name) => name.clone(),
        None => facts::hostname()?,
    };
    let mut said = false;
    let mut wait = |fingerprint: &str| {
        let approve = format!("`converge node approve {name}`");
        if args.no_wait {
            let cause = format!("the name is another key's, and an operator has to approve this one: {fingerprint}");
            let error = Error::new(ErrorKind::Busy, "enrol", "this machine", cause);
            return Err(error.with_hint(format!("an operator says {approve}; then enrol again")));
        }
        if !said {
            console.note(format_args!(
                "the name {name} is another key's: waiting for an operator to say {approve}\nthe key of this machine is {fingerprint}"
            ));
        }
        said = true;
        std::thread::sleep(ASKS_EVERY);
        Ok(())
    };
    let enrolled = enroll(&config, &JoinString::parse(&join)?, &name, &mut wait)?;
    if let Err(error) = config.signers() {
        console.note(error_text(&error));
    }
    if let Err(error) = announce(&config, &common.state_dir) {
        console.note(format_args!("{}\nthe first run that needs a secret does so", error_text(&error)));
    }
    console.result(&enrolled, |node| {
        format!(
            "{} is a node of {}: policy {}, group {}\nconverge it with `converge --once`, or see first with `converge plan`",
            node.name, node.store, node.policy, node.group
        )
    })
}

/// Enrols as `name` with a join string, and writes the node's identity. While an operator has to approve it, `wait` is
/// called with the fingerprint of the machine's key before each time it asks again.
pub(crate) fn enroll(
    config: &ConfigDir,
    join: &JoinString,
    name: &str,
    wait: &mut dyn FnMut(&str) -> Result<()>,
) -> Outcome<Enrolled> {
    let keys = NodeKeys::read_or_make(config)?;
    let key = keys.current().public();
    let proof = keys.current().sign(Purpose::Enroll, &enrolment_message(&join.token, name, &key));
    let request = EnrollRequest {
        token: join.token.clone(),
        name: name.to_owned(),
        key: key.to_string(),
        proof: signature_text(&proof),
    };
    check_signers(config, join)?;
    let (client, mut answer) = first_that_answers(join, &request)?;
    while answer.waiting {
        wait(&key.fingerprint())?;
        answer = match client.enroll(&request) {
            Ok(answer) => answer,
            // A store that is away for a while is waited for too.
            Err(error) if is_away(&error) => continue,
            Err(error) => return Err(error.into()),
        };
    }
    let EnrollResponse { name: called, policy, group, store: store_identity, waiting: _ } = answer;
    if called != name {
        let cause = format!("the store calls it {called:?}");
        return Err(Error::new(ErrorKind::Denied, "enrol", format!("this machine as {name}"), cause).into());
    }
    if let Some(signers) = &join.signers {
        config.write_signers(signers)?;
    }
    Highest::begin(config)?;
    match &join.secrets {
        Some(secrets) => given::keep_join(config, secrets)?,
        None => durable::remove(&config.join_file())?,
    }
    let store = client.base().to_owned();
    config.write_node(&NodeIdentity {
        store: store.clone(),
        name: called.clone(),
        policy: policy.clone(),
        store_identity,
        authority: join.authority,
        threshold: join.threshold,
    })?;
    Ok(Enrolled { name: called, policy, group, store, fingerprint: key.fingerprint() })
}

/// Tells the store to whom to encrypt what is meant for this machine, so that it need not ask for it first.
fn announce(config: &ConfigDir, state: &Path) -> Result<()> {
    let identity = config.node()?.ok_or_else(|| config.not_a_node())?;
    let signer = Signer::new(&identity, config, &StateDir::open(state)?)?;
    let client = StoreClient::new(&identity.store, identity.authority.into(), Credentials::Node(Box::new(signer)))?;
    let own = MachineIdentity::read_or_make(config)?;
    given::announce(&client, &identity.name, &own, given::read_join(config)?.as_ref())
}

/// Asks at one address after the other. The token goes to no one who does not show the authority of the join string.
fn first_that_answers(join: &JoinString, request: &EnrollRequest) -> Result<(StoreClient, EnrollResponse)> {
    let mut last = None;
    for address in &join.stores {
        let client = StoreClient::new(address, join.authority.into(), Credentials::Nothing)?;
        match client.enroll(request) {
            Ok(answer) => return Ok((client, answer)),
            Err(error) if is_away(&error) => last = Some(error),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| Error::new(ErrorKind::Invalid, "use", "the join string", "it names no store")))
}

fn is_away(error: &Error) -> bool {
    matches!(error.kind, ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::Busy)
}

/// Whom a machine trusts already is not for a join string to change.
fn check_signers(config: &ConfigDir, join: &JoinString) -> Outcome {
    let file = config.signers_file();
    let there = durable::read(&file, join_string::LONGEST as u64)?;
    match (&join.signers, there) {
        (Some(signers), Some(there)) if there != signers.as_bytes() => {
            let cause = "this machine trusts other signers than the join string names";
            Err(Failure::input("enrol, keeping", file.display(), cause)
                .with_hint("where the join string is right, remove the file first"))
        }
        _ => Ok(()),
    }
}

fn from_file(file: &Path) -> Outcome<String> {
    let bytes = durable::read(file, join_string::LONGEST as u64 + 2)?;
    let bytes = bytes.ok_or_else(|| Failure::input("read", file.display(), "it is not there"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn from_standard_input() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().take(join_string::LONGEST as u64 + 2).read_to_string(&mut text);
    read.map_err(|error| Error::io("read", "the join string from standard input", &error))?;
    Ok(text)
}
