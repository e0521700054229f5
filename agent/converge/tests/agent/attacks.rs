//! A store under somebody else's control. It can withhold, and can give what was good before; whatever else it tries is
//! refused with a reason, and the last policy that was accepted goes on.

use converge_protocol::{Manifest, SignedManifest};
use converge_trust::{SigningKey, revision};
use serde_json::{Value as Json, json};

use crate::desk::Desk;
use crate::listener::{Listener, Store};
use crate::machines::ONCE;

/// A node that ran revision 1, signed by alice and bob, and a store that has their revision 2.
pub(crate) struct Scene {
    pub(crate) desk: Desk,
    pub(crate) store: Listener,
    pub(crate) bob: SigningKey,
    /// A second key of alice's.
    spare: SigningKey,
    /// A key that was trusted until 2020.
    retired: SigningKey,
    mallory: SigningKey,
}

impl Scene {
    /// One whose node wants so many signatures.
    pub(crate) fn new(wanted: u32) -> Self {
        let desk = Desk::new("");
        desk.file(
            "cookbooks/test/cookbook.toml",
            "name = \"test\"\nversion = \"1.0.0\"\n[attributes.size]\ntype = \"integer\"\ndefault = 1\nnode_settable = true\n\
             [attributes.fixed]\ntype = \"integer\"\ndefault = 1\n",
        );
        desk.recipe(
            "[file.\"@/page\"]\ntemplate = 'page.j2'\n[file.\"@/size\"]\ncontent = '{{ attr.test.size | string }}'\n",
        );
        let store = Listener::of(&desk);
        let new = || SigningKey::generate("").unwrap();
        let scene = Self { desk, store, bob: new(), spare: new(), retired: new(), mallory: new() };
        let line = |key: &SigningKey| key.public().to_line().unwrap();
        let signers = format!(
            "alice@example.org {}\nbob@example.org namespaces=\"converge-*\" {}\nalice@example.org {}\n\
             carol@example.org valid-before=\"20200101Z\" {}\n",
            line(scene.store.author()),
            line(&scene.bob),
            line(&scene.spare),
            line(&scene.retired)
        );
        scene.desk.file("config/allowed_signers", signers);
        scene.desk.file("config/agent.toml", format!("signatures = {wanted}\ngroup = \"dev\"\n"));
        for text in ["first", "second"] {
            scene.desk.file("cookbooks/test/templates/page.j2", text);
            scene.store.publish(&scene.desk);
            scene.store.seize(|store| {
                let signed = store.signed.values_mut().last().unwrap();
                signed.signatures.push(sign(&scene.bob, &signed.manifest));
                let count = signed.signatures.len();
                store.assignment["revision"]["signatures"] = count.into();
            });
            if text == "first" {
                scene.desk.run(&ONCE).with_code(0);
            }
        }
        scene
    }

    /// Makes the store give this as revision 2.
    pub(crate) fn gives(store: &mut Store, signed: SignedManifest) {
        store.assignment["revision"]["manifest"] = json!(converge_model::Digest::of(signed.manifest.as_bytes()));
        store.assignment["revision"]["signatures"] = signed.signatures.len().into();
        store.signed.insert(2, signed);
    }

    /// What is remembered of the store, and what is never gone back behind.
    fn kept(&self) -> [String; 3] {
        ["state/assignment.json", "state/highest.json", "config/highest.json"]
            .map(|file| std::fs::read_to_string(self.desk.path(file)).unwrap_or_default())
    }

    /// Every cached blob is what its name says.
    fn check_cache(&self) {
        for blob in std::fs::read_dir(self.desk.path("state/blobs")).unwrap().flatten() {
            let digest = converge_model::Digest::of(&std::fs::read(blob.path()).unwrap());
            assert_eq!(blob.file_name().to_str().unwrap(), digest.to_string());
        }
    }
}

fn sign(key: &SigningKey, manifest: &str) -> String {
    key.sign(revision::NAMESPACE, manifest.as_bytes()).unwrap()
}

/// A manifest with the signatures of these keys.
pub(crate) fn signed(manifest: &str, keys: &[&SigningKey]) -> SignedManifest {
    SignedManifest { manifest: manifest.to_owned(), signatures: keys.iter().map(|key| sign(key, manifest)).collect() }
}

fn manifest(store: &Store) -> Manifest {
    revision::read(&store.signed[&2].manifest).unwrap()
}

/// The manifest of revision 2, as somebody else would like it.
pub(crate) fn like(store: &Store, change: impl FnOnce(&mut Manifest)) -> String {
    let mut manifest = manifest(store);
    change(&mut manifest);
    serde_json::to_string(&manifest).unwrap()
}

/// What is done to the store, how many signers the node wants, and what it must say.
type Attack = (&'static str, u32, fn(&Scene, &mut Store), &'static [&'static str]);

const ATTACKS: &[Attack] = &[
    (
        "the graph is another",
        1,
        |_, store| {
            let graph = manifest(store).graph.digest.to_string();
            store.blobs.get_mut(&graph).unwrap().reverse();
        },
        &["cannot fetch blob", "what came has the digest"],
    ),
    (
        "a blob is another",
        1,
        |_, store| {
            let page = converge_model::Digest::of(b"second").to_string();
            store.blobs.insert(page, b"secund".to_vec());
        },
        &["cannot fetch blob", "what came has the digest"],
    ),
    (
        "a blob is cut",
        1,
        |_, store| {
            let page = converge_model::Digest::of(b"second").to_string();
            store.blobs.insert(page, b"sec".to_vec());
        },
        &["has 6 bytes, but 3 came"],
    ),
    (
        "a blob is longer",
        1,
        |_, store| {
            let page = converge_model::Digest::of(b"second").to_string();
            store.blobs.insert(page, vec![b'x'; 1 << 20]);
        },
        &["has 6 bytes, but "],
    ),
    (
        "the manifest is altered",
        1,
        |_, store| {
            let mut altered = store.signed[&2].clone();
            altered.manifest = like(store, |manifest| manifest.graph.digest = converge_model::Digest::of(b"evil"));
            Scene::gives(store, altered);
        },
        &["0 of the 1 trusted signatures", "was altered"],
    ),
    (
        "the manifest is cut",
        1,
        |_, store| {
            let mut cut = store.signed[&2].clone();
            cut.manifest.pop();
            Scene::gives(store, cut);
        },
        &["was altered"],
    ),
    (
        "the signature is cut",
        1,
        |_, store| {
            let mut cut = store.signed[&2].clone();
            cut.signatures = vec![cut.signatures[0][..80].to_owned()];
            Scene::gives(store, cut);
        },
        &["it is not a signature"],
    ),
    (
        "nobody signed",
        1,
        |_, store| {
            let unsigned = signed(&store.signed[&2].manifest, &[]);
            Scene::gives(store, unsigned);
        },
        &["it is not signed at all"],
    ),
    (
        "somebody else signed",
        1,
        |scene, store| {
            let other = like(store, |manifest| manifest.commit = Some("evil".to_owned()));
            Scene::gives(store, signed(&other, &[&scene.mallory]));
        },
        &["the key is not among the trusted ones", "SHA256:"],
    ),
    (
        "a key signed that is trusted no longer",
        1,
        |scene, store| {
            let other = like(store, |manifest| manifest.published.0 = 1_500_000_000_000);
            Scene::gives(store, signed(&other, &[&scene.retired]));
        },
        &["line 4 of the allowed signers trusts the key no longer"],
    ),
    (
        "it was signed for another purpose",
        1,
        |scene, store| {
            let manifest = store.signed[&2].manifest.clone();
            let signature = scene.store.author().sign("git", manifest.as_bytes()).unwrap();
            Scene::gives(store, SignedManifest { manifest, signatures: vec![signature] });
        },
        &["made for the namespace \"git\""],
    ),
    (
        "one signed where two are wanted",
        2,
        |scene, store| {
            let one = signed(&store.signed[&2].manifest, &[&scene.bob]);
            Scene::gives(store, one);
        },
        &["1 of the 2 trusted signatures", "by bob@example.org"],
    ),
    (
        "one signed and a stranger",
        2,
        |scene, store| {
            let one = signed(&store.signed[&2].manifest, &[&scene.bob, &scene.mallory]);
            Scene::gives(store, one);
        },
        &["1 of the 2 trusted signatures", "signature 2: it is by the key SHA256:"],
    ),
    (
        "the same key signed twice",
        2,
        |scene, store| {
            let twice = signed(&store.signed[&2].manifest, &[&scene.bob, &scene.bob]);
            Scene::gives(store, twice);
        },
        &["1 of the 2 trusted signatures", "signature 2: bob@example.org signed it already"],
    ),
    (
        "the same signer signed with two keys",
        2,
        |scene, store| {
            let twice = signed(&store.signed[&2].manifest, &[scene.store.author(), &scene.spare]);
            Scene::gives(store, twice);
        },
        &["1 of the 2 trusted signatures", "signature 2: alice@example.org signed it already"],
    ),
    (
        "it is another policy's revision",
        1,
        |scene, store| {
            let other = like(store, |manifest| manifest.policy = "database".to_owned());
            Scene::gives(store, signed(&other, &[&scene.bob]));
        },
        &["what was signed is revision 2 of policy database"],
    ),
    (
        "it is another revision",
        1,
        |_, store| {
            store.signed.insert(3, store.signed[&2].clone());
            store.assignment["revision"]["serial"] = 3.into();
        },
        &["revision 3 of policy test", "what was signed is revision 2"],
    ),
    (
        "the group leads to another policy",
        1,
        |_, store| {
            store.assignment["policy"] = "database".into();
        },
        &["it is to run policy \"database\", and enrolled for test"],
    ),
    (
        "the node is put into another group",
        1,
        |_, store| {
            store.assignment["group"] = "canary".into();
        },
        &["it is to be in group canary, and agent.toml keeps it in dev"],
    ),
    (
        "it was signed for another group",
        1,
        |scene, store| {
            let other = like(store, |manifest| manifest.groups = vec!["canary".to_owned()]);
            Scene::gives(store, signed(&other, &[&scene.bob]));
        },
        &["it was signed for canary only, and this node is in group dev"],
    ),
    (
        "the manifest says more than is understood",
        1,
        |scene, store| {
            let manifest = store.signed[&2].manifest.clone();
            let other = manifest.replacen('{', "{\"not_before\":1,", 1);
            Scene::gives(store, signed(&other, &[&scene.bob]));
        },
        &["it is not a manifest: unknown field `not_before`"],
    ),
    (
        "the manifest is of another format",
        1,
        |scene, store| {
            let other = store.signed[&2].manifest.replacen("\"format\":1", "\"format\":2", 1);
            Scene::gives(store, signed(&other, &[&scene.bob]));
        },
        &["the manifest has format 2", "upgrade it"],
    ),
    (
        "the graph is of another policy",
        1,
        |scene, store| {
            let graph = String::from_utf8(store.blobs[&manifest(store).graph.digest.to_string()].clone()).unwrap();
            let graph = graph.replacen("\"policy\":\"test\"", "\"policy\":\"else\"", 1).into_bytes();
            let blob = converge_model::BlobRef::of(&graph);
            store.blobs.insert(blob.digest.to_string(), graph);
            let other = like(store, |manifest| manifest.graph = blob);
            Scene::gives(store, signed(&other, &[&scene.bob]));
        },
        &["its graph is one of policy \"else\""],
    ),
    (
        "the graph names a blob that the manifest does not",
        1,
        |scene, store| {
            let other = like(store, |manifest| manifest.blobs.clear());
            Scene::gives(store, signed(&other, &[&scene.bob]));
        },
        &["its graph names blob", "its manifest does not"],
    ),
    (
        "the node is called otherwise",
        1,
        |_, store| {
            store.assignment["name"] = "database-1".into();
        },
        &["it is to be called \"database-1\", and is test"],
    ),
    ("a group is no name", 1, |_, store| store.assignment["group"] = "{{ 1 }}".into(), &["not the name of a group"]),
    ("a tag is no name", 1, |_, store| store.assignment["tags"] = json!(["a", "b\nc"]), &["not the name of a tag"]),
    (
        "an attribute has another type",
        1,
        |_, store| {
            store.assignment["attributes"] = json!({ "test": { "size": "{{ 7 * 7 }}" } });
        },
        &["attribute `test.size` of this node", "expected an integer"],
    ),
    (
        "an attribute may not be set",
        1,
        |_, store| {
            store.assignment["attributes"] = json!({ "test": { "fixed": 2 } });
        },
        &["attribute `test.fixed` of this node", "node_settable"],
    ),
];

#[test]
fn whatever_the_store_tries_is_refused_and_the_last_good_policy_goes_on() {
    // Each row is a node and a store of its own, and waits more than it works.
    std::thread::scope(|threads| {
        for part in ATTACKS.chunks(ATTACKS.len().div_ceil(4)) {
            threads.spawn(|| part.iter().for_each(check_attack));
        }
    });
}

#[track_caller]
fn check_attack((name, wanted, attack, said): &Attack) {
    let scene = Scene::new(*wanted);
    let kept = scene.kept();
    let honest = scene.store.seize(|store| attack(&scene, store));
    std::fs::write(scene.desk.path("out/page"), "spoilt").unwrap();
    for arguments in [&["plan", "--json"], &ONCE[..]] {
        let ended = scene.desk.run(arguments);
        assert_eq!(ended.code, Some(3), "{name}: {}\n{}", ended.stdout, ended.stderr);
        let report = ended.json();
        assert_eq!((&report["conclusion"]["kind"], &report["revision"]), (&"succeeded".into(), &1.into()), "{name}");
        check_remark(name, &report["remarks"], said);
    }
    assert_eq!(scene.kept(), kept, "{name}: something of it was remembered");
    scene.check_cache();
    assert_eq!(scene.desk.out("page").as_deref(), Some("first"), "{name}");
    assert_eq!(scene.desk.out("size").as_deref(), Some("1"), "{name}");
    let why = scene.desk.run(&["why", &format!("file[{}]", scene.desk.path("out/page").display())]).with_code(0);
    why.saying(said);

    // A node that has nothing to go on with does nothing.
    std::fs::remove_dir_all(scene.desk.path("state")).unwrap();
    std::fs::write(scene.desk.path("out/page"), "spoilt").unwrap();
    let ended = scene.desk.run(&ONCE).with_code(3);
    assert_eq!(ended.conclusion(), "not_started", "{name}");
    let error = &ended.json()["conclusion"]["error"];
    assert!(error["hint"].is_string(), "{name}: {error:#}");
    check_remark(name, &json!([error["message"]]), said);
    assert_eq!(scene.desk.out("page").as_deref(), Some("spoilt"), "{name}");

    // And no harm is left when the store is itself again.
    scene.store.seize(|store| *store = honest);
    scene.desk.run(&ONCE).with_code(0);
    assert_eq!(scene.desk.out("page").as_deref(), Some("second"), "{name}");
}

/// Some remark says all of this.
#[track_caller]
pub(crate) fn check_remark(name: &str, remarks: &Json, said: &[&str]) {
    let all = remarks.as_array().unwrap().iter().filter_map(Json::as_str);
    let found = all.clone().find(|remark| said.iter().all(|part| remark.contains(part)));
    assert!(found.is_some(), "{name}: no remark says {said:?}: {remarks:#}");
}
