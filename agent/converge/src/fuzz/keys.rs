//! Keys, signatures, tokens, and what is sealed with them.

use converge_model::{Digest, Timestamp};
use converge_protocol::SignedManifest;
use converge_trust::age::{Identity, Recipient, decrypt, encrypt};
use converge_trust::join_string::JoinString;
use converge_trust::node_key::{NodeKey, NodePublicKey, signature_from_text};
use converge_trust::request_token::{Asked, RequestToken};
use converge_trust::{AllowedSigners, KeyFile, PublicKey, SigningKey, revision, secrets};
use jiff::tz::TimeZone;

use super::Target;

/// When things are looked at.
const NOW: Timestamp = Timestamp(1_800_000_000_000);

pub(super) fn targets() -> Vec<Target> {
    let key = SigningKey::generate("author").unwrap();
    let line = key.public().to_line().unwrap();
    let signers = format!(
        "# whom to trust\na@example.org,b@* namespaces=\"converge-revision\",valid-after=\"20200101\",valid-before=\"20990101Z\" {line}\n* {line} x\n"
    );
    let trusted = AllowedSigners::parse(&signers, &TimeZone::UTC, "sample").unwrap();
    let signature = key.sign(revision::NAMESPACE, b"{}").unwrap();
    let identity = Identity::generate().unwrap();
    let sealed = encrypt(&[identity.recipient().unwrap()], b"a secret").unwrap();
    let node = NodeKey::generate().unwrap();
    let asked = Asked { store: "s", method: "GET", target: "/v1/node" };
    let token = RequestToken::sign(&node, "a", asked, Digest::of(b""), NOW, [7; 16]).header();
    let join = JoinString {
        stores: vec!["https://s".to_owned()],
        authority: Some(Digest::of(b"x")),
        token: "t".to_owned(),
        signers: Some(signers.clone()),
        threshold: Some(1),
        secrets: None,
    };
    let mut age = Target::new("age file", &[], {
        let identity = Identity::from_bytes(*identity.as_bytes());
        move |bytes| drop(decrypt(&[&identity], bytes))
    });
    age.samples.push(sealed);
    let mut targets = vec![
        age,
        Target::of_text("allowed_signers", &[&signers], |text| {
            drop(AllowedSigners::parse(text, &TimeZone::UTC, "garbled"));
        }),
        Target::of_text("SSH signature", &[&signature], move |text| {
            let signed = SignedManifest { manifest: "{}".to_owned(), signatures: vec![text.to_owned()] };
            drop((revision::keys(&signed), revision::verify(&signed, &trusted, 1, NOW)));
        }),
        Target::of_text("manifest, as it was signed", &["{\"format\":1,\"serial\":1}"], |text| {
            drop(revision::read(text))
        }),
        Target::of_text("token of a request", &[&token], move |text| {
            if let Ok(token) = RequestToken::parse(text) {
                assert_eq!(RequestToken::parse(&token.header()), Ok(token.clone()));
                let _ = token.verify(&node.public(), asked, NOW);
            }
        }),
        Target::of_text("join string", &[&join.to_text().unwrap()], |text| {
            if let Ok(join) = JoinString::parse(text) {
                drop(join.to_text().map(|text| JoinString::parse(&text).unwrap()));
            }
        }),
    ];
    targets.extend(plain_keys(&key, &line));
    targets.extend(identities(&identity));
    targets
}

/// Keys by themselves.
fn plain_keys(key: &SigningKey, line: &str) -> Vec<Target> {
    let node = NodeKey::generate().unwrap();
    vec![
        Target::of_text("public key", &[line], |text| {
            if let Ok(key) = PublicKey::from_line(text) {
                assert_eq!(PublicKey::from_line(&key.to_line().unwrap()).unwrap(), key);
            }
        }),
        Target::new("signing key", &[&key.to_file().unwrap().unwrap(), line], |bytes| drop(KeyFile::parse(bytes))),
        Target::of_text("node key", &[&node.to_text()], |text| {
            if let Ok(key) = NodeKey::from_text(text) {
                assert_eq!(NodeKey::from_text(&key.to_text()).unwrap().public(), key.public());
            }
        }),
        Target::of_text("public key of a node", &[&node.public().to_string()], |text| {
            if let Ok(key) = text.parse::<NodePublicKey>() {
                assert_eq!(key.to_string().parse::<NodePublicKey>().unwrap(), key);
            }
        }),
        Target::of_text("signature of a node", &["AAAA"], |text| {
            let _ = signature_from_text(text);
        }),
    ]
}

/// What secrets are sealed for.
fn identities(identity: &Identity) -> Vec<Target> {
    vec![
        Target::of_text("recipient of age", &[&identity.recipient().unwrap().to_string()], |text| {
            if let Ok(recipient) = text.parse::<Recipient>() {
                assert_eq!(recipient.to_string().parse::<Recipient>().unwrap().to_string(), recipient.to_string());
            }
        }),
        Target::of_text("file of identities", &[&format!("# a\n{}\n", *identity.to_text())], |text| {
            drop(Identity::of_file(text));
        }),
        Target::of_text(
            "document of secrets",
            &["{\"format\":1,\"rule\":\"r\",\"serial\":1,\"epoch\":1,\"values\":{}}"],
            |text| {
                drop(secrets::read(text));
            },
        ),
    ]
}
