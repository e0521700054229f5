//! Who may have what run on a node, and how that is proved.
//!
//! - [`key`]: SSH keys: public ones, and those to sign with, from a file or through an [`ssh_agent`].
//! - [`sshsig`]: signatures as `ssh-keygen -Y sign` makes them, and `ssh-keygen -Y verify` takes them.
//! - [`allowed_signers`]: whom a node trusts, in the file format of ssh-keygen(1).
//! - [`node_key`]: the key that a node is; [`request_token`]: how it signs each of its requests.
//! - [`join_string`]: what a machine needs to become a node.
//! - [`age`]: encryption for who has a key; [`secrets`]: who can read secrets, and who can set them.
//! - [`revision`]: whether enough trusted signers signed a manifest.
//!
//! All of it takes bytes and gives values, but for [`ssh_agent`], which talks to a socket it is given.
//!
//! # Current limitations
//!
//! - Signatures by RSA keys, NIST P-384 and P-521 keys and certificates are refused, and say so.
//! - A manifest counts as signed at the time it arrives by the node's clock: there are no time stamps of a third party.
//! - What age encrypts to SSH keys, to a password or with plug-ins is not decrypted here.
//! - Password-protected key files are not opened: their keys sign through an agent.

pub mod age;
pub mod allowed_signers;
pub mod join_string;
pub mod key;
pub mod node_key;
pub mod request_token;
pub mod revision;
pub mod secrets;
pub mod ssh_agent;
pub mod sshsig;

pub use allowed_signers::AllowedSigners;
pub use key::{KeyFile, PublicKey, SigningKey};
pub use ssh_agent::SshAgent;
