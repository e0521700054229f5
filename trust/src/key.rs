//! SSH keys: public ones, and those to sign with.

use std::fmt;

use converge_model::{Error, ErrorKind, Result};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::public::KeyData;
use ssh_key::{HashAlg, LineEnding, PrivateKey};

use crate::SshAgent;

/// A public key, without the comment that may stand beside it. Shown as its fingerprint, as `ssh-keygen -l` does.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey(KeyData);

impl PublicKey {
    /// The key of a line such as `ssh-ed25519 AAAA… comment`.
    ///
    /// # Errors
    /// Says what is wrong with the line.
    pub fn from_line(line: &str) -> Result<Self, String> {
        // The rest is a comment, and may hold anything.
        let fields: Vec<&str> = line.split_ascii_whitespace().take(2).collect();
        let key = ssh_key::PublicKey::from_openssh(&fields.join(" "));
        key.map(|key| Self(key.key_data().clone())).map_err(|error| format!("it holds no public key ({error})"))
    }

    /// The key as a line of a file of public keys, without a line end.
    ///
    /// # Errors
    /// Where the key cannot be written down, which no key that was read can cause.
    pub fn to_line(&self) -> Result<String> {
        let line = ssh_key::PublicKey::from(self.0.clone()).to_openssh();
        line.map_err(|error| Error::new(ErrorKind::Failed, "write", format!("the public key {self}"), error))
    }

    /// What sort of key it is: `ssh-ed25519`, `sk-ssh-ed25519@openssh.com`, …
    pub fn algorithm(&self) -> String {
        self.0.algorithm().to_string()
    }

    pub(crate) fn data(&self) -> &KeyData {
        &self.0
    }

    pub(crate) fn of(data: &KeyData) -> Self {
        Self(data.clone())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fingerprint(HashAlg::Sha256).fmt(f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key to sign with.
pub struct SigningKey(pub(crate) Means);

/// Who does the signing.
pub(crate) enum Means {
    /// This process has the private key.
    Held(Box<PrivateKey>),
    /// An agent has it.
    Agent(SshAgent, PublicKey),
}

impl SigningKey {
    /// A new Ed25519 key.
    ///
    /// # Errors
    /// Where the kernel has no randomness to give.
    pub fn generate(comment: &str) -> Result<Self> {
        let trouble = |cause: String| Error::new(ErrorKind::Unavailable, "make", "a signing key", cause);
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| trouble(error.to_string()))?;
        let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed));
        let key = PrivateKey::new(pair, comment).map_err(|error| trouble(error.to_string()))?;
        Ok(Self(Means::Held(Box::new(key))))
    }

    /// The key that `agent` has, to be used through it.
    pub fn at_agent(agent: SshAgent, key: PublicKey) -> Self {
        Self(Means::Agent(agent, key))
    }

    /// Its public key.
    pub fn public(&self) -> PublicKey {
        match &self.0 {
            Means::Held(key) => PublicKey::of(key.public_key().key_data()),
            Means::Agent(_, key) => key.clone(),
        }
    }

    /// The private key as OpenSSH's file format, without a password; nothing where an agent has it. A secret.
    ///
    /// # Errors
    /// Where the key cannot be written down, which no key that was made here can cause.
    pub fn to_file(&self) -> Result<Option<String>> {
        let Means::Held(key) = &self.0 else { return Ok(None) };
        let text = key.to_openssh(LineEnding::LF);
        let text = text.map_err(|error| Error::new(ErrorKind::Failed, "write", "a signing key", error))?;
        Ok(Some(text.as_str().to_owned()))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.public())
    }
}

/// What is in a file that somebody named as his key.
#[derive(Debug)]
pub enum KeyFile {
    /// A private key that can be used as it is.
    Open(SigningKey),
    /// A private key under a password: an agent may have it.
    Locked(PublicKey),
    /// A public key: an agent may have the private one.
    Public(PublicKey),
}

impl KeyFile {
    /// What is in a file with this content: a private key in OpenSSH's format, or a line with a public key.
    ///
    /// # Errors
    /// Says why it is neither, without repeating any of it.
    pub fn parse(content: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(content).map_err(|_| "it is not text".to_owned())?;
        if !text.trim_start().starts_with("-----BEGIN") {
            return PublicKey::from_line(text.trim()).map(KeyFile::Public);
        }
        if !text.trim_start().starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") {
            return Err(
                "it is a private key of another format than OpenSSH's; `ssh-keygen -p -f FILE` converts it".into()
            );
        }
        let key =
            PrivateKey::from_openssh(text.trim()).map_err(|error| format!("it holds no private key ({error})"))?;
        Ok(match key.key_data() {
            KeypairData::Encrypted(_) => KeyFile::Locked(PublicKey::of(key.public_key().key_data())),
            // What a hardware key needs beside the file, its agent has.
            KeypairData::SkEd25519(_) | KeypairData::SkEcdsaSha2NistP256(_) => {
                KeyFile::Public(PublicKey::of(key.public_key().key_data()))
            }
            _ => KeyFile::Open(SigningKey(Means::Held(Box::new(key)))),
        })
    }
}
