//! `converge key`: the key of this node.

use converge_model::Result;
use converge_protocol::authority::KeyRotation;
use converge_trust::node_key::{Purpose, rotation_message, signature_text};
use serde_json::json;

use crate::cli::{CommonArgs, KeyAction, KeyArgs};
use crate::client::{Credentials, StoreClient};
use crate::config::ConfigDir;
use crate::console::Console;
use crate::failure::Outcome;
use crate::identity::{NodeKeys, Signer};
use crate::state::StateDir;

/// Shows the key, or changes it.
pub(crate) fn run(args: &KeyArgs, common: &CommonArgs, console: Console) -> Outcome {
    let config = ConfigDir::new(&common.config_dir);
    let fingerprint = match args.action {
        KeyAction::Show => {
            NodeKeys::read(&config)?.ok_or_else(|| config.not_a_node())?.current().public().fingerprint()
        }
        KeyAction::Rotate => rotate(&config, &StateDir::open(&common.state_dir)?)?,
    };
    console.result(&json!({ "fingerprint": fingerprint }), |_| fingerprint.clone())
}

/// Makes the next key, has the store take it, and makes it the key. Where that was broken off, it goes on from there.
///
/// # Errors
/// Where the store does not take it, or a key cannot be written.
pub(crate) fn rotate(config: &ConfigDir, state: &StateDir) -> Result<String> {
    let identity = config.node()?.ok_or_else(|| config.not_a_node())?;
    let signer = Signer::new(&identity, config, state)?;
    let (store, name) = (signer.store().to_owned(), signer.name().to_owned());
    let (next, rotation) = signer.with_keys(|keys| -> Result<_> {
        let next = keys.prepare_next()?;
        let proof = next.sign(Purpose::Rotate, &rotation_message(&store, &name, &next.public()));
        let rotation = KeyRotation { next: next.public().to_string(), proof: signature_text(&proof) };
        Ok((next.public(), rotation))
    })?;
    let client = StoreClient::new(&identity.store, identity.authority.into(), Credentials::Node(Box::new(signer)))?;
    client.rotate_key(&rotation)?;
    let mut keys = NodeKeys::read(config)?.ok_or_else(|| config.not_a_node())?;
    keys.promote()?;
    Ok(next.fingerprint())
}
