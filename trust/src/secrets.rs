//! Who can read secrets, and who can set them.
//!
//! Everything comes from one key that operators have and the store never sees, the [`KeeperKey`]: the key of each rule, which
//! its values are encrypted to, and what is secret of each join string. A rule's key reaches a node encrypted: for the node's
//! own recipient, or for the join string that it comes with. Documents of rules are signed by who may sign revisions, so that
//! a node believes no value that the store made up; and sealed with the keeper's key, so that an operator builds on none.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use converge_model::{Error, ErrorKind, Result, Timestamp};
use converge_protocol::limits::{self, check_name};
use converge_protocol::secrets::{JoinScope, RuleKey, SECRETS_FORMAT, SecretsDocument, SignedSecrets, Voucher};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::age::{self, Identity, Recipient};
use crate::{AllowedSigners, SigningKey, sshsig};

/// The purpose of signatures over documents of rules: `ssh-keygen -Y verify -n converge-secrets`.
pub const NAMESPACE: &str = "converge-secrets";
/// Begins the text of a keeper's key.
const MARK: &str = "converge-keeper-key-1";

/// The operators' key to all secrets of a store.
pub struct KeeperKey(Zeroizing<[u8; 32]>);

impl KeeperKey {
    /// A new key.
    ///
    /// # Errors
    /// Where the kernel has no randomness to give.
    pub fn generate() -> Result<Self> {
        age::random().map(Self)
    }

    /// The key whose text this is.
    ///
    /// # Errors
    /// Where it is none.
    pub fn from_text(text: &str) -> Result<Self> {
        let wrong = || Error::new(ErrorKind::Invalid, "read", "the keeper's key", "it is none, or only a part of one");
        let text = text.trim().strip_prefix(MARK).ok_or_else(wrong)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text.trim()).map_err(|_| wrong())?);
        <[u8; 32]>::try_from(&**bytes).map(|bytes| Self(Zeroizing::new(bytes))).map_err(|_| wrong())
    }

    /// The key as a file holds it: a secret.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{MARK} {}\n", *Zeroizing::new(URL_SAFE_NO_PAD.encode(*self.0))))
    }

    /// The key of a rule in an epoch.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn rule(&self, rule: &str, epoch: u64) -> Result<Identity> {
        Ok(Identity::from_bytes(*self.made_of("converge rule 1", &(rule, epoch))?))
    }

    /// What is secret of a join string.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn join(&self, scope: &JoinScope) -> Result<JoinSecret> {
        Ok(JoinSecret { scope: scope.clone(), secret: self.made_of("converge join 1", scope)? })
    }

    /// A new join string's secret.
    ///
    /// # Errors
    /// Where the kernel has no randomness to give.
    pub fn new_join(&self, policy: &str, group: &str, tags: &[String]) -> Result<JoinSecret> {
        let id = URL_SAFE_NO_PAD.encode(*age::random::<16>()?);
        self.join(&JoinScope { id, policy: policy.to_owned(), group: group.to_owned(), tags: tags.to_vec() })
    }

    /// Writes a document down, signs it and seals it.
    ///
    /// # Errors
    /// Where the key does not sign.
    pub fn publish(&self, document: &SecretsDocument, key: &SigningKey) -> Result<SignedSecrets> {
        let text = serde_json::to_string(document)
            .map_err(|error| Error::new(ErrorKind::Failed, "write", "secrets", error))?;
        let signature = key.sign(NAMESPACE, text.as_bytes())?;
        let seal = URL_SAFE_NO_PAD.encode(hmac::sign(&self.sealing()?, text.as_bytes()));
        Ok(SignedSecrets { document: text, signatures: vec![signature], seal })
    }

    /// A document that somebody with this key made.
    ///
    /// # Errors
    /// Where nobody did, or it is none of this software's.
    pub fn open(&self, signed: &SignedSecrets) -> Result<SecretsDocument> {
        let refused = |cause: String| {
            Error::new(ErrorKind::Denied, "build on", "what the store has of a rule", cause)
                .with_hint("use the keeper's key that the rule was made with; or look who had their hands on the store")
        };
        let seal = URL_SAFE_NO_PAD.decode(&signed.seal).unwrap_or_default();
        hmac::verify(&self.sealing()?, signed.document.as_bytes(), &seal)
            .map_err(|_| refused("nobody made it who has this keeper's key".to_owned()))?;
        let document = read(&signed.document).map_err(refused)?;
        if document.recipient != self.rule(&document.rule, document.epoch)?.recipient()?.to_string() {
            return Err(refused("its recipient is another".to_owned()));
        }
        Ok(document)
    }

    /// Whether a recipient is that of the node of this name, by the word of who joined with a string of this keeper's.
    pub fn is_vouched(&self, node: &str, recipient: &str, voucher: &Voucher) -> bool {
        self.join(&voucher.join).and_then(|join| join.proves(node, recipient, &voucher.proof)).unwrap_or(false)
    }

    fn sealing(&self) -> Result<hmac::Key> {
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &*self.made_of("converge seal 1", &())?))
    }

    /// A key for one purpose and one thing.
    fn made_of(&self, purpose: &str, of: &impl Serialize) -> Result<Zeroizing<[u8; 32]>> {
        // As JSON, two things are never written alike.
        let of = serde_json::to_vec(&(purpose, of))
            .map_err(|error| Error::new(ErrorKind::Failed, "make", "a key", error))?;
        age::derive(&*self.0, b"converge keeper", &of)
    }
}

impl std::fmt::Debug for KeeperKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeeperKey")
    }
}

/// What is secret of a join string: it never goes to the store.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinSecret {
    /// What the join string is for.
    pub scope: JoinScope,
    secret: Zeroizing<[u8; 32]>,
}

/// A join secret as a join string and a file hold it.
#[derive(Serialize, Deserialize)]
struct Written {
    scope: JoinScope,
    key: Zeroizing<String>,
}

impl JoinSecret {
    /// The key that reads what is meant for who joins with the string.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn identity(&self) -> Result<Identity> {
        Ok(Identity::from_bytes(*age::derive(&*self.secret, b"", b"converge join identity 1")?))
    }

    /// The word of the node of this name that a recipient is its own.
    ///
    /// # Errors
    /// Where it cannot be made.
    pub fn vouch(&self, node: &str, recipient: &str) -> Result<Voucher> {
        let proof = hmac::sign(&self.vouching()?, &said(node, recipient));
        Ok(Voucher { join: self.scope.clone(), proof: URL_SAFE_NO_PAD.encode(proof) })
    }

    fn proves(&self, node: &str, recipient: &str, proof: &str) -> Result<bool> {
        let proof = URL_SAFE_NO_PAD.decode(proof).unwrap_or_default();
        Ok(hmac::verify(&self.vouching()?, &said(node, recipient), &proof).is_ok())
    }

    fn vouching(&self) -> Result<hmac::Key> {
        let key = age::derive(&*self.secret, b"", b"converge join voucher 1")?;
        Ok(hmac::Key::new(hmac::HMAC_SHA256, &*key))
    }
}

fn said(node: &str, recipient: &str) -> Vec<u8> {
    format!("{node}\n{recipient}").into_bytes()
}

impl Serialize for JoinSecret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let key = Zeroizing::new(URL_SAFE_NO_PAD.encode(*self.secret));
        Written { scope: self.scope.clone(), key }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for JoinSecret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let Written { scope, key } = Written::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(key.as_bytes()).ok().map(Zeroizing::new);
        let secret = bytes.and_then(|bytes| <[u8; 32]>::try_from(&**bytes).ok());
        let secret = secret.ok_or_else(|| serde::de::Error::custom("what is secret of the join string is damaged"))?;
        Ok(Self { scope, secret: Zeroizing::new(secret) })
    }
}

/// What a document says, if somebody signed it whom `trusted` names and trusts for secrets at the time `at`. One signature is
/// enough, however many a revision needs.
///
/// # Errors
/// Says for each signature why it does not count; or what is wrong with a document that was signed.
pub fn verify(
    signed: &SignedSecrets,
    trusted: &AllowedSigners,
    at: Timestamp,
) -> std::result::Result<SecretsDocument, String> {
    let mut faults = Vec::new();
    for signature in signed.signatures.iter().take(limits::SIGNATURES) {
        let key = sshsig::check(signature, NAMESPACE, signed.document.as_bytes()).map_err(|fault| fault.to_string());
        match key.and_then(|key| {
            trusted.who(&key, NAMESPACE, at).map_err(|why| format!("it is by the key {key}, and {why}")).map(drop)
        }) {
            // Only now is it worth reading.
            Ok(()) => return read(&signed.document),
            Err(fault) => faults.push(format!("; {fault}")),
        }
    }
    Err(format!("nobody signed it whom this node trusts for secrets{}", faults.concat()))
}

/// What a document says. Whether it should be believed is another question.
///
/// # Errors
/// Says why it is none that this software understands.
pub fn read(text: &str) -> std::result::Result<SecretsDocument, String> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let wrong = |error| format!("it is not a document of secrets: {error}");
    let Format { format } = serde_json::from_str(text).map_err(wrong)?;
    if format != SECRETS_FORMAT {
        return Err(format!("it has format {format}, and this software knows format {SECRETS_FORMAT}; upgrade it"));
    }
    let document: SecretsDocument = serde_json::from_str(text).map_err(wrong)?;
    check_name("rule", &document.rule)?;
    if document.serial == 0 || document.serial > limits::SERIAL || document.epoch > limits::SERIAL {
        return Err(format!("the serial {} is none", document.serial));
    }
    if document.secrets.values().any(|secret| secret.serial > document.serial) {
        return Err("a secret in it is newer than itself".to_owned());
    }
    Ok(document)
}

/// What a value is in, encrypted: it says itself which secret it is, whatever it is called around it.
#[derive(Serialize, Deserialize)]
struct Content {
    rule: String,
    name: String,
    serial: u64,
    value: Zeroizing<String>,
}

/// Encrypts the value of a secret for who has a rule's key.
///
/// # Errors
/// Where it cannot be encrypted.
pub fn seal_value(to: Recipient, rule: &str, name: &str, serial: u64, value: &str) -> Result<String> {
    let value = Zeroizing::new(value.to_owned());
    let content = Content { rule: rule.to_owned(), name: name.to_owned(), serial, value };
    let text = serde_json::to_vec(&content).map_err(|error| Error::new(ErrorKind::Failed, "encrypt", name, error))?;
    Ok(STANDARD.encode(age::encrypt(&[to], &Zeroizing::new(text))?))
}

/// The value of the secret `name` of a document.
///
/// # Errors
/// Where it is not encrypted for this key, or is another secret's value.
pub fn open_value(key: &Identity, document: &SecretsDocument, name: &str) -> Result<Zeroizing<String>> {
    let refused = |cause: &str| Error::new(ErrorKind::Denied, "decrypt", format!("the secret {name}"), cause);
    let secret = document.secrets.get(name).ok_or_else(|| refused("the rule does not have it"))?;
    let sealed = STANDARD.decode(&secret.sealed).map_err(|_| refused("it is not Base64"))?;
    let text = age::decrypt(&[key], &sealed).map_err(|error| refused(&error.cause))?;
    let content: Content = serde_json::from_slice(&text).map_err(|_| refused("what was encrypted is no secret"))?;
    if (content.rule.as_str(), content.name.as_str(), content.serial) != (&document.rule, name, secret.serial) {
        return Err(refused("it is the value of another secret, or an older one"));
    }
    Ok(content.value)
}

/// Encrypts a rule's key for one who may read it.
///
/// # Errors
/// Where it cannot be encrypted.
pub fn wrap(key: &Identity, holder: Recipient) -> Result<RuleKey> {
    Ok(RuleKey { holder: holder.to_string(), sealed: STANDARD.encode(age::encrypt(&[holder], key.as_bytes())?) })
}

/// A rule's key, out of those that were encrypted for one of `holders`; nothing where none of them is the key that the
/// document names.
///
/// # Errors
/// Where a holder's own key cannot be used.
pub fn unwrap(holders: &[&Identity], keys: &[RuleKey], document: &SecretsDocument) -> Result<Option<Identity>> {
    for key in keys {
        let sealed = STANDARD.decode(&key.sealed).unwrap_or_default();
        let Ok(bytes) = age::decrypt(holders, &sealed) else { continue };
        let Ok(bytes) = <[u8; 32]>::try_from(&**bytes) else { continue };
        let found = Identity::from_bytes(bytes);
        if found.recipient()?.to_string() == document.recipient {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
