//! `converge sign`: add a signature to a revision that is in the store.

use std::path::Path;

use converge_model::{BlobRef, Digest, Error, ErrorKind, Result};
use converge_protocol::{Manifest, SignedManifest};
use converge_system::linux::durable;
use converge_trust::{PublicKey, revision, sshsig};
use serde::Serialize;

use super::compile::Compilation;
use crate::access;
use crate::cli::SignArgs;
use crate::console::Console;
use crate::failure::Outcome;
use crate::repository::PolicyRepository;
use crate::signing_key;

/// The longest signature file that is read, in bytes.
const LONGEST: u64 = sshsig::LONGEST as u64;

/// What was signed.
#[derive(Debug, Serialize)]
struct Signed {
    policy: String,
    revision: u64,
    graph: Digest,
    groups: Vec<String>,
    key: String,
}

/// Signs a revision, or hands it out to be signed elsewhere.
pub(crate) fn run(args: &SignArgs, console: Console) -> Outcome {
    let repository = PolicyRepository::around(Path::new("."))?;
    let store = access::operator(&args.access, Some(&repository))?;
    let signed = store.signed_manifest(&args.policy, args.serial)?;
    let manifest = understood(&signed.manifest).map_err(|cause| refusal(args, cause))?;
    if manifest.policy != args.policy || manifest.serial != args.serial {
        let cause = format!("the store gave revision {} of policy {}", manifest.serial, manifest.policy);
        return Err(refusal(args, cause).into());
    }
    if let Some(directory) = &args.save {
        return save(directory, &signed, console);
    }
    let (key, signature) = match &args.signature {
        Some(file) => made_elsewhere(file, &signed)?,
        None => {
            let named = match &args.key {
                Some(key) => Some(key.clone()),
                None => repository.signing_key()?,
            };
            check_graph(args, &manifest, repository, console)?;
            let key = signing_key::find(named.as_deref())?;
            (key.public(), key.sign(revision::NAMESPACE, signed.manifest.as_bytes())?)
        }
    };
    store.add_signature(&args.policy, args.serial, signature)?;
    let signed = Signed {
        policy: args.policy.clone(),
        revision: args.serial,
        graph: manifest.graph.digest,
        groups: manifest.groups,
        key: key.to_string(),
    };
    console.result(&signed, |signed| {
        let groups = if signed.groups.is_empty() { "all groups".to_owned() } else { signed.groups.join(", ") };
        format!("policy {} revision {} for {groups} is signed with {}", signed.policy, signed.revision, signed.key)
    })
}

fn refusal(args: &SignArgs, cause: String) -> Error {
    Error::new(ErrorKind::Invalid, "sign", format!("revision {} of policy {}", args.serial, args.policy), cause)
}

/// The store could show anything: what is signed is what this repository compiles to, or what the author names by its digest.
fn check_graph(args: &SignArgs, manifest: &Manifest, repository: PolicyRepository, console: Console) -> Outcome {
    let (wanted, whose) = match args.graph {
        Some(digest) => (digest, "the digest that you gave"),
        None => (compiled(repository, &args.policy, console)?.digest, "what this repository compiles to"),
    };
    if manifest.graph.digest == wanted {
        return Ok(());
    }
    let commit = manifest.commit.as_ref().map(|commit| format!(", made from commit {commit}")).unwrap_or_default();
    let cause = format!("its graph is {}{commit}, and {whose} is {wanted}", manifest.graph.digest);
    let hint = "check out the commit that it was made from, and look at what you sign; \
                --graph signs what you have looked at elsewhere";
    Err(refusal(args, cause).with_hint(hint).into())
}

/// Writes a revision down as stock tools take it.
fn save(directory: &Path, signed: &SignedManifest, console: Console) -> Outcome {
    durable::create_directory(directory, 0o755)?;
    let manifest = directory.join("manifest.json");
    durable::write(&manifest, signed.manifest.as_bytes(), 0o644)?;
    let mut files = vec![manifest.display().to_string()];
    for (number, signature) in (1..).zip(&signed.signatures) {
        let file = directory.join(format!("manifest.json.{number}.sig"));
        durable::write(&file, signature.as_bytes(), 0o644)?;
        files.push(file.display().to_string());
    }
    console.result(&files, |files| {
        format!(
            "wrote {}\nsign it with `ssh-keygen -Y sign -n {} -f KEY {}`, and add that with --signature FILE",
            files.join("\n      "),
            revision::NAMESPACE,
            manifest.display()
        )
    })
}

fn made_elsewhere(file: &Path, signed: &SignedManifest) -> Result<(PublicKey, String)> {
    let wrong = |cause: String| Error::new(ErrorKind::Invalid, "add the signature in", file.display(), cause);
    let bytes = durable::read(file, LONGEST)?.ok_or_else(|| wrong("it is not there".to_owned()))?;
    let text = String::from_utf8(bytes).map_err(|error| wrong(error.to_string()))?;
    let key = sshsig::check(&text, revision::NAMESPACE, signed.manifest.as_bytes());
    let key = key.map_err(|fault| {
        wrong(fault.to_string()).with_hint("--save writes the manifest that is to be signed, and says how")
    })?;
    Ok((key, text))
}

fn compiled(repository: PolicyRepository, policy: &str, console: Console) -> Outcome<BlobRef> {
    let compilation = Compilation::of(repository, policy, console)?;
    Ok(BlobRef::of(&compilation.graph.to_bytes()?))
}

/// A manifest of which all is understood: nothing is signed that nobody saw.
fn understood(text: &str) -> Result<Manifest, String> {
    let manifest = revision::read(text)?;
    let again = serde_json::to_string(&manifest).map_err(|error| error.to_string())?;
    if again == text { Ok(manifest) } else { Err("its manifest holds more than this software understands".to_owned()) }
}
