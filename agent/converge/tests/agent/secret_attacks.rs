//! A store under somebody else's control, and the secrets that it keeps: it can withhold them, and nothing more.

use converge_model::Timestamp;
use converge_protocol::secrets::{
    NodeRule, NodeSecrets, SECRETS_FORMAT, SealedSecret, SecretsDocument, Selector, SignedSecrets,
};
use converge_trust::SigningKey;
use converge_trust::age::{Identity, Recipient};
use converge_trust::secrets::{KeeperKey, seal_value, wrap};

use crate::desk::Desk;
use crate::listener::Listener;
use crate::machines::ONCE;
use crate::secrets::CANARY;

/// A node that read serial 2 of a rule, and what its store had.
struct Scene {
    desk: Desk,
    store: Listener,
    keeper: KeeperKey,
    node: Recipient,
    mallory: SigningKey,
    first: NodeRule,
    second: NodeRule,
}

impl Scene {
    fn new() -> Self {
        let desk = Desk::new(
            "[file.\"@/a\"]\ncontent = '{{ secret(\"a\") }}'\n[file.\"@/b\"]\ncontent = '{{ secret(\"b\") }}'",
        );
        let store = Listener::of(&desk);
        store.publish(&desk);
        let node = desk.run(&["secret", "recipient"]).with_code(0).stdout.trim().parse().unwrap();
        let (keeper, mallory) = (KeeperKey::generate().unwrap(), SigningKey::generate("mallory").unwrap());
        let author = store.author();
        let first = document(&keeper, "web", 1, &[("a", 1, "a1"), ("b", 1, "b1")]);
        let second = document(&keeper, "web", 2, &[("a", 2, "a2"), ("b", 1, "b1")]);
        let (first, second) = (given(&keeper, &first, author, node), given(&keeper, &second, author, node));
        let scene = Self { desk, store, keeper, node, mallory, first, second };
        scene.gives(&scene.second);
        scene.desk.run(&ONCE).with_code(0);
        assert_eq!(scene.desk.out("a").unwrap(), format!("{CANARY}-a2"));
        scene
    }

    fn gives(&self, rule: &NodeRule) {
        let (recipient, rules) = (Some(self.node.to_string()), vec![rule.clone()]);
        self.store.seize(|store| store.secrets = Some(NodeSecrets { recipient, rules }));
    }

    /// A document that a trusted author signed.
    fn signed(&self, document: &SecretsDocument) -> NodeRule {
        given(&self.keeper, document, self.store.author(), self.node)
    }

    fn document(&self) -> SecretsDocument {
        converge_trust::secrets::read(&self.second.signed.document).unwrap()
    }
}

fn document(keeper: &KeeperKey, rule: &str, serial: u64, secrets: &[(&str, u64, &str)]) -> SecretsDocument {
    let to = keeper.rule(rule, 1).unwrap().recipient().unwrap();
    let secrets = secrets.iter().map(|(name, serial, value)| {
        let sealed = seal_value(to, rule, name, *serial, &format!("{CANARY}-{value}")).unwrap();
        ((*name).to_owned(), SealedSecret { serial: *serial, sealed })
    });
    SecretsDocument {
        format: SECRETS_FORMAT,
        rule: rule.to_owned(),
        nodes: Selector { policy: "test".into(), group: Some("dev".into()), tag: None },
        serial,
        epoch: 1,
        recipient: to.to_string(),
        secrets: secrets.collect(),
        granted: Default::default(),
        excluded: Default::default(),
        made: Timestamp(1_800_000_000_000),
    }
}

fn given(keeper: &KeeperKey, document: &SecretsDocument, author: &SigningKey, node: Recipient) -> NodeRule {
    let key = keeper.rule(&document.rule, document.epoch).unwrap();
    NodeRule { signed: keeper.publish(document, author).unwrap(), keys: vec![wrap(&key, node).unwrap()] }
}

/// What is done, and what must be said of it.
type Attack = (&'static str, fn(&Scene) -> NodeRule, &'static str);

const ATTACKS: &[Attack] = &[
    ("an older document", |scene| scene.first.clone(), "it has serial 1, and this node read 2 already"),
    (
        "two values are swapped",
        |scene| {
            let mut document = scene.document();
            let (a, b) = (document.secrets["a"].sealed.clone(), document.secrets["b"].sealed.clone());
            document.secrets.get_mut("a").unwrap().sealed = b;
            document.secrets.get_mut("b").unwrap().sealed = a;
            altered(scene, &document)
        },
        "nobody signed it whom this node trusts",
    ),
    (
        "a value of the store's own",
        |scene| {
            let mut document = scene.document();
            let to = document.recipient.parse().unwrap();
            document.secrets.get_mut("a").unwrap().sealed = seal_value(to, "web", "a", 2, "evil").unwrap();
            altered(scene, &document)
        },
        "nobody signed it whom this node trusts",
    ),
    (
        "a rule and a recipient of the store's own",
        |scene| {
            let own = Identity::generate().unwrap();
            let mut document = scene.document();
            document.recipient = own.recipient().unwrap().to_string();
            let sealed = seal_value(own.recipient().unwrap(), "web", "a", 3, "evil").unwrap();
            document.serial = 3;
            document.secrets.insert("a".into(), SealedSecret { serial: 3, sealed });
            let signed = scene.keeper.publish(&document, &scene.mallory).unwrap();
            NodeRule { signed, keys: vec![wrap(&own, scene.node).unwrap()] }
        },
        "nobody signed it whom this node trusts",
    ),
    (
        "another document of the same serial",
        |scene| scene.signed(&document(&scene.keeper, "web", 2, &[("a", 2, "other"), ("b", 1, "b1")])),
        "it is another one with the serial 2",
    ),
    (
        "an older value in a newer document",
        |scene| scene.signed(&document(&scene.keeper, "web", 3, &[("a", 1, "a1"), ("b", 3, "b3")])),
        "its value of a is older",
    ),
    (
        "it is for other nodes",
        |scene| {
            let nodes = Selector { policy: "test".into(), group: Some("prod".into()), tag: None };
            scene.signed(&SecretsDocument { nodes, serial: 3, ..scene.document() })
        },
        "it is for policy test, group prod, and this node is not",
    ),
    (
        "a signature for another purpose",
        |scene| {
            let text = &scene.second.signed.document;
            let revision = scene.store.author().sign(converge_trust::revision::NAMESPACE, text.as_bytes()).unwrap();
            let signed = SignedSecrets { signatures: vec![revision], ..scene.second.signed.clone() };
            NodeRule { signed, ..scene.second.clone() }
        },
        "converge-revision",
    ),
    (
        "it says more than is understood",
        |scene| {
            let text = scene.second.signed.document.replacen('{', "{\"only\":[],", 1);
            let signature = scene.store.author().sign(converge_trust::secrets::NAMESPACE, text.as_bytes()).unwrap();
            let signed = SignedSecrets { document: text, signatures: vec![signature], seal: String::new() };
            NodeRule { signed, ..scene.second.clone() }
        },
        "unknown field `only`",
    ),
];

fn altered(scene: &Scene, document: &SecretsDocument) -> NodeRule {
    let document = serde_json::to_string(document).unwrap();
    NodeRule { signed: SignedSecrets { document, ..scene.second.signed.clone() }, ..scene.second.clone() }
}

#[test]
fn whatever_the_store_does_with_secrets_is_refused_and_the_last_good_ones_go_on() {
    for (what, attack, said) in ATTACKS {
        let scene = Scene::new();
        scene.gives(&attack(&scene));
        let ended = scene.desk.run(&ONCE);
        let text = format!("{}{}", ended.stdout, ended.stderr);
        assert_eq!(ended.code, Some(3), "{what}: {text}");
        assert!(text.contains(said), "{what}: {text}");
        assert!(text.contains("cannot accept the rule of secrets") && !text.contains(CANARY), "{what}: {text}");
        let good = |name: &str, value: &str| scene.desk.out(name) == Some(format!("{CANARY}-{value}"));
        assert!(good("a", "a2") && good("b", "b1"), "{what}");
        scene.gives(&scene.second);
        scene.desk.run(&ONCE).with_code(0);
    }
}

#[test]
fn a_store_can_withhold_secrets_and_the_run_says_so() {
    let scene = Scene::new();
    // The key of a rule that is another's.
    let other = scene.keeper.rule("db", 1).unwrap();
    scene.gives(&NodeRule { keys: vec![wrap(&other, scene.node).unwrap()], ..scene.second.clone() });
    scene.desk.run(&ONCE).saying(&["nobody gave this node the key of the rule web", "converge secret grant web test"]);
    scene.store.seize(|store| store.secrets.as_mut().unwrap().rules.clear());
    scene.desk.run(&ONCE).saying(&["no secret `a` here", "no rule that means this node has it"]);
    assert_eq!(scene.desk.out("a").unwrap(), format!("{CANARY}-a2"));
    // One that does not answer at all is waited out with what it gave last.
    scene.gives(&scene.second);
    scene.desk.run(&ONCE).with_code(0);
    scene.store.seize(|store| store.secrets = None);
    scene.desk.run(&ONCE).with_code(0).saying(&["uses the secrets that the store gave last"]);
}
