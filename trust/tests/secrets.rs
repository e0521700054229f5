//! Who can read secrets and who can set them, whoever keeps what is encrypted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use converge_model::Timestamp;
use converge_protocol::secrets::{JoinScope, SECRETS_FORMAT, SealedSecret, SecretsDocument, Selector, SignedSecrets};
use converge_trust::age::Identity;
use converge_trust::secrets::{JoinSecret, KeeperKey, open_value, seal_value, unwrap, verify, wrap};
use converge_trust::{AllowedSigners, SigningKey};

const NOW: Timestamp = Timestamp(1_800_000_000_000);

fn document(keeper: &KeeperKey, rule: &str, serial: u64, secrets: &[(&str, &str)]) -> SecretsDocument {
    let to = keeper.rule(rule, 1).unwrap().recipient().unwrap();
    let secrets = secrets.iter().map(|(name, value)| {
        let sealed = seal_value(to, rule, name, serial, value).unwrap();
        ((*name).to_owned(), SealedSecret { serial, sealed })
    });
    SecretsDocument {
        format: SECRETS_FORMAT,
        rule: rule.to_owned(),
        nodes: Selector { policy: "web".into(), group: None, tag: None },
        serial,
        epoch: 1,
        recipient: to.to_string(),
        secrets: secrets.collect(),
        granted: Default::default(),
        excluded: Default::default(),
        made: NOW,
    }
}

#[test]
fn a_node_believes_what_a_trusted_signer_signed_and_reads_what_was_encrypted_for_it() {
    let (keeper, author) = (KeeperKey::generate().unwrap(), SigningKey::generate("author").unwrap());
    let trusted = AllowedSigners::of("author", author.public());
    let written = document(&keeper, "web", 1, &[("a", "hunter2"), ("b", "sesame")]);
    let signed = keeper.publish(&written, &author).unwrap();
    assert_eq!(verify(&signed, &trusted, NOW).unwrap(), written);
    assert_eq!(keeper.open(&signed).unwrap(), written);

    let (node, other) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    let rule = keeper.rule("web", 1).unwrap();
    let keys = [wrap(&rule, other.recipient().unwrap()).unwrap(), wrap(&rule, node.recipient().unwrap()).unwrap()];
    let found = unwrap(&[&node], &keys, &written).unwrap().unwrap();
    assert_eq!(open_value(&found, &written, "a").unwrap().as_str(), "hunter2");
    // A key of another rule, or another epoch, is not this one's, whoever encrypted it.
    for wrong in [keeper.rule("web", 2).unwrap(), keeper.rule("db", 1).unwrap()] {
        let keys = [wrap(&wrong, node.recipient().unwrap()).unwrap()];
        assert!(unwrap(&[&node], &keys, &written).unwrap().is_none());
        assert!(open_value(&wrong, &written, "a").is_err());
    }
    assert!(unwrap(&[&Identity::generate().unwrap()], &keys, &written).unwrap().is_none());
    assert!(!format!("{:?}{}", keeper, signed.document).contains("hunter2"));
}

#[test]
fn a_document_that_nobody_trusted_signed_is_not_believed() {
    let (keeper, author) = (KeeperKey::generate().unwrap(), SigningKey::generate("author").unwrap());
    let mallory = SigningKey::generate("mallory").unwrap();
    let trusted = AllowedSigners::of("author", author.public());
    let written = document(&keeper, "web", 1, &[("a", "hunter2")]);
    let signed = keeper.publish(&written, &author).unwrap();
    let altered = |document: String| SignedSecrets { document, ..signed.clone() };
    let revision = author.sign(converge_trust::revision::NAMESPACE, signed.document.as_bytes()).unwrap();
    for (what, signed) in [
        ("altered", altered(signed.document.replace("\"web\"", "\"wed\""))),
        ("cut", altered(signed.document[..signed.document.len() - 1].to_owned())),
        ("signed by another", keeper.publish(&written, &mallory).unwrap()),
        ("not signed", SignedSecrets { signatures: Vec::new(), ..signed.clone() }),
        ("signed for a revision", SignedSecrets { signatures: vec![revision], ..signed.clone() }),
    ] {
        assert!(verify(&signed, &trusted, NOW).is_err(), "{what}");
    }
    // Nor does an operator build on what the store made up: whom it encrypts to, or a value that it knows.
    let mut forged = written.clone();
    forged.secrets.insert("a".into(), document(&keeper, "web", 1, &[("a", "known")]).secrets["a"].clone());
    let forged = SignedSecrets { document: serde_json::to_string(&forged).unwrap(), ..signed.clone() };
    assert!(keeper.open(&forged).is_err());
    assert!(KeeperKey::generate().unwrap().open(&signed).is_err());
    let own = SecretsDocument { recipient: Identity::generate().unwrap().recipient().unwrap().to_string(), ..written };
    assert!(keeper.open(&keeper.publish(&own, &author).unwrap()).is_err());
}

#[test]
fn a_value_is_good_for_its_name_its_rule_and_its_serial() {
    let keeper = KeeperKey::generate().unwrap();
    let key = keeper.rule("web", 1).unwrap();
    let good = document(&keeper, "web", 2, &[("a", "hunter2"), ("b", "sesame")]);
    let mut swapped = good.clone();
    let (a, b) = (good.secrets["a"].clone(), good.secrets["b"].clone());
    swapped.secrets = [("a".to_owned(), b), ("b".to_owned(), a)].into();
    assert!(open_value(&key, &swapped, "a").is_err() && open_value(&key, &swapped, "b").is_err());
    let mut older = good.clone();
    older.secrets.insert("a".into(), document(&keeper, "web", 1, &[("a", "old")]).secrets["a"].clone());
    older.secrets.get_mut("a").unwrap().serial = 2;
    assert!(open_value(&key, &older, "a").is_err());
    let moved = SecretsDocument { rule: "db".into(), ..good.clone() };
    assert!(open_value(&key, &moved, "a").is_err() && open_value(&key, &good, "c").is_err());
}

#[test]
fn a_recipient_is_vouched_for_by_who_has_the_join_string_and_for_its_scope() {
    let keeper = KeeperKey::generate().unwrap();
    let join = keeper.new_join("web", "dev", &["edge".into()]).unwrap();
    // As it comes to the machine, and as it is known to the keeper when the token is listed.
    let carried: JoinSecret = serde_json::from_str(&serde_json::to_string(&join).unwrap()).unwrap();
    assert_eq!(keeper.join(&join.scope).unwrap().identity().unwrap(), carried.identity().unwrap());
    let recipient = Identity::generate().unwrap().recipient().unwrap().to_string();
    let voucher = carried.vouch("web-1", &recipient).unwrap();
    assert!(keeper.is_vouched("web-1", &recipient, &voucher));
    let own = Identity::generate().unwrap().recipient().unwrap().to_string();
    assert!(!keeper.is_vouched("web-1", &own, &voucher) && !keeper.is_vouched("web-2", &recipient, &voucher));
    for scope in [
        JoinScope { group: "prod".into(), ..join.scope.clone() },
        JoinScope { policy: "db".into(), ..join.scope.clone() },
        JoinScope { tags: Vec::new(), ..join.scope.clone() },
        JoinScope { id: "x".into(), ..join.scope.clone() },
    ] {
        let mut claimed = voucher.clone();
        claimed.join = scope.clone();
        assert!(!keeper.is_vouched("web-1", &recipient, &claimed), "{scope:?}");
        assert!(keeper.join(&scope).unwrap().identity().unwrap() != carried.identity().unwrap());
    }
    assert!(!KeeperKey::generate().unwrap().is_vouched("web-1", &recipient, &voucher));
}

#[test]
fn a_keepers_key_survives_its_text() {
    let keeper = KeeperKey::generate().unwrap();
    let text = keeper.to_text();
    let again = KeeperKey::from_text(&text).unwrap();
    assert_eq!(again.rule("web", 3).unwrap(), keeper.rule("web", 3).unwrap());
    assert!(again.rule("web", 3).unwrap() != keeper.rule("web", 4).unwrap());
    for end in 0..text.trim_end().len() {
        assert!(KeeperKey::from_text(&text[..end]).is_err(), "{end}");
    }
}
