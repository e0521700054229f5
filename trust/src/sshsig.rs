//! Signatures in the format of OpenSSH (PROTOCOL.sshsig): what `ssh-keygen -Y sign` makes and `-Y verify` takes.

use std::fmt;

use converge_model::{Error, ErrorKind, Result};
use ssh_key::public::KeyData;
use ssh_key::{EcdsaCurve, HashAlg, LineEnding, SshSig};

use crate::key::Means;
use crate::{PublicKey, SigningKey};

/// The longest signature that is looked at, in bytes of its text.
pub const LONGEST: usize = 16 << 10;

/// Why a text is no good signature over a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not a signature at all: why.
    Unreadable(String),
    /// It is made for another purpose: which.
    Namespace(String),
    /// It is made by a sort of key that is not supported here: which.
    Algorithm(String),
    /// It is no signature over this message by the key that it names.
    Wrong(Box<PublicKey>),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Unreadable(why) => write!(f, "it is not a signature ({why})"),
            Fault::Namespace(found) => write!(f, "it is made for the namespace {found:?}"),
            Fault::Algorithm(found) => {
                write!(
                    f,
                    "it is made with a key of type {found}: only ed25519 and ecdsa-sha2-nistp256 keys, also those of hardware, are supported"
                )
            }
            Fault::Wrong(key) => write!(f, "it is not {key}'s signature over this: one of the two was altered"),
        }
    }
}

impl SigningKey {
    /// The signature over `message` for the purpose `namespace`, as armored text.
    ///
    /// # Errors
    /// Where the key is of a sort that no node would accept, or the agent that has it does not sign.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<String> {
        let trouble =
            |cause: String| Error::new(ErrorKind::Failed, "sign with", format!("the key {}", self.public()), cause);
        let key = self.public();
        if let Some(unsupported) = unsupported(key.data()) {
            return Err(trouble(format!("it is of type {unsupported}, which nodes do not accept"))
                .with_hint("sign with an Ed25519 key: `ssh-keygen -t ed25519` makes one"));
        }
        let hash = HashAlg::Sha512;
        let signature = match &self.0 {
            Means::Held(held) => SshSig::sign(&**held, namespace, hash, message),
            Means::Agent(agent, key) => {
                let data = SshSig::signed_data(namespace, hash, message);
                let data = data.map_err(|error| trouble(error.to_string()))?;
                SshSig::new(key.data().clone(), namespace, hash, agent.sign(key, &data)?)
            }
        };
        let armored = signature.and_then(|signature| signature.to_pem(LineEnding::LF));
        let armored = armored.map_err(|error| trouble(error.to_string()))?;
        // An agent may answer anything: what is handed on is good.
        check(&armored, namespace, message).map_err(|fault| trouble(fault.to_string()))?;
        Ok(armored)
    }
}

/// The key that made `armored` over `message` for the purpose `namespace`. Whether that key is trusted is another question.
///
/// # Errors
/// Says why it is no good signature.
pub fn check(armored: &str, namespace: &str, message: &[u8]) -> Result<PublicKey, Fault> {
    if armored.len() > LONGEST {
        return Err(Fault::Unreadable(format!("it is longer than {LONGEST} bytes")));
    }
    let signature = SshSig::from_pem(armored.trim()).map_err(|error| Fault::Unreadable(error.to_string()))?;
    if let Some(unsupported) = unsupported(signature.public_key()) {
        return Err(Fault::Algorithm(unsupported));
    }
    if signature.namespace() != namespace {
        return Err(Fault::Namespace(signature.namespace().to_owned()));
    }
    let key = PublicKey::of(signature.public_key());
    let verified = ssh_key::PublicKey::from(key.data().clone()).verify(namespace, message, &signature);
    verified.map_err(|_| Fault::Wrong(Box::new(key.clone())))?;
    Ok(key)
}

/// The type of a key whose signatures are not taken.
fn unsupported(key: &KeyData) -> Option<String> {
    match key {
        KeyData::Ed25519(_) | KeyData::SkEd25519(_) | KeyData::SkEcdsaSha2NistP256(_) => None,
        KeyData::Ecdsa(key) if key.curve() == EcdsaCurve::NistP256 => None,
        other => Some(other.algorithm().to_string()),
    }
}
