//! Signed manifests as somebody else leaves them: whatever byte is another, nobody signed that.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use converge_model::{BlobRef, Timestamp};
use converge_protocol::policy::MANIFEST_FORMAT;
use converge_protocol::{Manifest, SignedManifest, limits};
use converge_trust::{AllowedSigners, SigningKey, revision};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn manifest() -> Manifest {
    Manifest {
        format: MANIFEST_FORMAT,
        policy: "web".to_owned(),
        serial: 7,
        groups: vec!["dev".to_owned()],
        graph: BlobRef::of(b"graph"),
        blobs: vec![BlobRef::of(b"page")],
        commit: Some("c0ffee".to_owned()),
        published: NOW,
    }
}

#[test]
fn no_other_byte_is_ever_accepted() {
    let key = SigningKey::generate("").unwrap();
    let trusted = AllowedSigners::of("alice", key.public());
    let good = revision::sign(&manifest(), &key).unwrap();
    assert_eq!(revision::verify(&good, &trusted, 1, NOW), Ok(manifest()));
    for place in 0..good.manifest.len() {
        let mut bytes = good.manifest.clone().into_bytes();
        bytes[place] ^= 1;
        let other = SignedManifest { manifest: String::from_utf8(bytes).unwrap(), ..good.clone() };
        assert!(revision::verify(&other, &trusted, 1, NOW).is_err(), "byte {place} of the manifest");
    }
    let signature = &good.signatures[0];
    for place in 0..signature.len() {
        for other in [None, Some('A'), Some('='), Some('\n'), Some('é')] {
            let mut text = signature[..place].to_owned();
            text.extend(other);
            // Without anything in its place, it is cut there.
            text.push_str(if other.is_some() { &signature[place + 1..] } else { "" });
            let changed = SignedManifest { signatures: vec![text], ..good.clone() };
            // What says the same in other letters is the same signature. It is one over the same manifest.
            if let Ok(read) = revision::verify(&changed, &trusted, 1, NOW) {
                assert_eq!(read, manifest(), "byte {place} of the signature");
            }
        }
    }
}

#[test]
fn what_is_signed_well_may_still_be_no_manifest() {
    let key = SigningKey::generate("").unwrap();
    let trusted = AllowedSigners::of("alice", key.public());
    let good = serde_json::to_string(&manifest()).unwrap();
    let edit = |from: &str, to: &str| {
        assert!(good.contains(from), "{from} is not in {good}");
        good.replacen(from, to, 1)
    };
    for (text, said) in [
        (String::new(), "not a manifest"),
        ("[]".to_owned(), "not a manifest"),
        (format!("{good}{good}"), "not a manifest"),
        (edit("\"format\":1", "\"format\":2"), "upgrade it"),
        (edit("\"format\":1", "\"format\":1,\"format\":1"), "duplicate field"),
        (edit("\"serial\":7", "\"serial\":7,\"serial\":8"), "duplicate field"),
        (edit("\"serial\":7", "\"serial\":-7"), "not a manifest"),
        (edit("\"serial\":7", "\"serial\":7.5"), "not a manifest"),
        (edit("\"serial\":7", "\"serial\":0"), "the serial 0 is none"),
        (edit("\"serial\":7", &format!("\"serial\":{}", limits::SERIAL + 1)), "is none"),
        (edit("\"commit\"", "\"comit\""), "unknown field `comit`"),
        (edit("[\"dev\"]", "[\"../dev\"]"), "not the name of a group"),
        (edit("[\"dev\"]", &format!("[{}]", vec!["\"dev\""; limits::GROUPS + 1].join(","))), "101 groups"),
    ] {
        let signatures = vec![key.sign(revision::NAMESPACE, text.as_bytes()).unwrap()];
        let found = revision::verify(&SignedManifest { manifest: text.clone(), signatures }, &trusted, 1, NOW);
        assert!(found.as_ref().is_err_and(|why| why.contains(said)), "{text}: {found:?}");
    }
    // More signatures than anybody would make are not looked at.
    let many = SignedManifest { manifest: good, signatures: vec!["x".to_owned(); limits::SIGNATURES + 1] };
    assert!(revision::keys(&many).unwrap_err().contains("16 signatures"));
    assert!(revision::verify(&many, &trusted, 1, NOW).is_err());
}
