//! Whether enough trusted signers signed a manifest. What they signed are the exact bytes of its document.

use converge_model::{Error, ErrorKind, Result, Timestamp};
use converge_protocol::policy::MANIFEST_FORMAT;
use converge_protocol::{Manifest, SignedManifest, limits};
use serde::Deserialize;

use crate::allowed_signers::Signer;
use crate::{AllowedSigners, PublicKey, SigningKey, sshsig};

/// The purpose of these signatures: `ssh-keygen -Y verify -n converge-revision`.
pub const NAMESPACE: &str = "converge-revision";

/// Writes a manifest down and signs it.
///
/// # Errors
/// Where the key does not sign.
pub fn sign(manifest: &Manifest, key: &SigningKey) -> Result<SignedManifest> {
    let text =
        serde_json::to_string(manifest).map_err(|error| Error::new(ErrorKind::Failed, "write", "a manifest", error))?;
    let signature = key.sign(NAMESPACE, text.as_bytes())?;
    Ok(SignedManifest { manifest: text, signatures: vec![signature] })
}

/// What a signed manifest says, if at least `wanted` signers signed it whom `trusted` names and trusts at the time `at`.
///
/// # Errors
/// Says for each signature that does not count why it does not; or what is wrong with a manifest that was signed.
pub fn verify(
    signed: &SignedManifest,
    trusted: &AllowedSigners,
    wanted: u32,
    at: Timestamp,
) -> Result<Manifest, String> {
    let (signers, faults) = count(signed, trusted, at);
    let wanted = usize::try_from(wanted.max(1)).unwrap_or(usize::MAX);
    if signers.len() < wanted {
        let names: Vec<String> = signers.iter().map(|lines| name(lines)).collect();
        let by = if names.is_empty() { String::new() } else { format!(" (by {})", names.join("; ")) };
        let mut cause = format!("it has {} of the {wanted} trusted signatures it needs{by}", signers.len());
        if signed.signatures.is_empty() {
            cause.push_str(": it is not signed at all");
        }
        for fault in faults {
            cause.push_str("; ");
            cause.push_str(&fault);
        }
        return Err(cause);
    }
    // Only now is it worth reading.
    read(&signed.manifest)
}

/// The keys that made good signatures over a manifest, trusted or not.
///
/// # Errors
/// Says which signature is none over this manifest, or that there are too many.
pub fn keys(signed: &SignedManifest) -> Result<Vec<PublicKey>, String> {
    if signed.signatures.len() > limits::SIGNATURES {
        return Err(format!("a manifest may have {} signatures", limits::SIGNATURES));
    }
    let each = (1..).zip(&signed.signatures);
    let keys = each.map(|(number, signature)| {
        sshsig::check(signature, NAMESPACE, signed.manifest.as_bytes())
            .map_err(|fault| format!("signature {number}: {fault}"))
    });
    keys.collect()
}

/// What a manifest says. Whether it should be believed is another question.
///
/// # Errors
/// Says why it is none that this software understands.
pub fn read(text: &str) -> Result<Manifest, String> {
    let wrong = |error| format!("it is not a manifest: {error}");
    // Of another format only this can be told.
    let Format { format } = serde_json::from_str(text).map_err(wrong)?;
    if format != MANIFEST_FORMAT {
        return Err(format!(
            "the manifest has format {format}, and this software knows format {MANIFEST_FORMAT}; upgrade it"
        ));
    }
    let manifest: Manifest = serde_json::from_str(text).map_err(wrong)?;
    if manifest.serial == 0 || manifest.serial > limits::SERIAL {
        return Err(format!("the serial {} is none: they go from 1 to {}", manifest.serial, limits::SERIAL));
    }
    if manifest.groups.len() > limits::GROUPS {
        return Err(format!("the manifest names {} groups, and {} are allowed", manifest.groups.len(), limits::GROUPS));
    }
    for group in &manifest.groups {
        limits::check_name("group", group)?;
    }
    Ok(manifest)
}

/// What every format of a manifest has.
#[derive(Deserialize)]
struct Format {
    format: u32,
}

/// The signers whose signatures count, each once with the lines that name him; and why the other signatures do not.
fn count<'a>(
    signed: &SignedManifest,
    trusted: &'a AllowedSigners,
    at: Timestamp,
) -> (Vec<Vec<&'a Signer>>, Vec<String>) {
    let mut signers: Vec<Vec<&Signer>> = Vec::new();
    let mut faults = Vec::new();
    for (number, signature) in (1..).zip(signed.signatures.iter().take(limits::SIGNATURES)) {
        let found = sshsig::check(signature, NAMESPACE, signed.manifest.as_bytes())
            .map_err(|fault| fault.to_string())
            .and_then(|key| {
                trusted.who(&key, NAMESPACE, at).map_err(|why| format!("it is by the key {key}, and {why}"))
            });
        let lines = match found {
            Ok(lines) => lines,
            Err(why) => {
                faults.push(format!("signature {number}: {why}"));
                continue;
            }
        };
        // Everybody of whom one of these lines is one is one and the same.
        let (same, others): (Vec<_>, Vec<_>) = signers
            .into_iter()
            .partition(|signer| signer.iter().any(|known| lines.iter().any(|line| line.is_same_as(known))));
        if !same.is_empty() {
            faults.push(format!("signature {number}: {} signed it already", name(&lines)));
        }
        signers = others;
        signers.push(same.into_iter().flatten().chain(lines).collect());
    }
    (signers, faults)
}

fn name(lines: &[&Signer]) -> String {
    lines.first().map(|signer| signer.principals.join(",")).unwrap_or_default()
}
