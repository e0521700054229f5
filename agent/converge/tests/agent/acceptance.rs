//! What a node accepts over time: never what is older, only what is declared, and by whom its own file says at that moment.

use serde_json::{Value as Json, json};

use crate::attacks::{Scene, check_remark, like, signed};
use crate::desk::Ended;
use crate::listener::Store;
use crate::machines::ONCE;

#[test]
fn a_node_never_goes_back() {
    let scene = Scene::new(1);
    scene.desk.run(&ONCE).with_code(0);
    assert_eq!(scene.desk.out("page").as_deref(), Some("second"));
    let back = |store: &mut Store| {
        let one = &store.signed[&1];
        let digest = converge_model::Digest::of(one.manifest.as_bytes());
        store.assignment["revision"] = json!({ "serial": 1, "manifest": digest, "signatures": one.signatures.len() });
    };
    scene.store.seize(back);
    let said = "cannot accept revision 1 of policy test: this node ran revision 2 already, and never goes back";
    std::fs::write(scene.desk.path("out/page"), "spoilt").unwrap();
    let ended = scene.desk.run(&ONCE).with_code(3).json();
    check_remark("older", &ended["remarks"], &[said]);
    assert_eq!(scene.desk.out("page").as_deref(), Some("second"), "the last good policy goes on");

    // Two were signed under one serial: the one that ran is the one.
    scene.store.seize(|store| {
        let other = like(store, |manifest| manifest.commit = Some("another".to_owned()));
        store.assignment["revision"]["serial"] = 2.into();
        Scene::gives(store, signed(&other, &[&scene.bob]));
    });
    let twice = scene.desk.run(&ONCE).with_code(3).json();
    check_remark("twice", &twice["remarks"], &["this node ran another revision 2 already"]);
    scene.store.seize(back);

    // Without its state the node still knows, and has nothing to go on with.
    std::fs::remove_dir_all(scene.desk.path("state")).unwrap();
    let ended = scene.desk.run(&ONCE).with_code(3);
    assert_eq!(ended.conclusion(), "not_started");
    ended.saying(&[said]);
    assert_eq!(scene.desk.out("page").as_deref(), Some("second"));

    // One that forgot all of it says so, once.
    std::fs::remove_dir_all(scene.desk.path("state")).unwrap();
    std::fs::remove_file(scene.desk.path("config/highest.json")).unwrap();
    let forgot = scene.desk.run(&ONCE).with_code(0).json();
    check_remark("forgot", &forgot["remarks"], &["which revision of policy test this node ran last is not known"]);
    let after = scene.desk.run(&ONCE).with_code(0).json();
    assert_eq!(after["remarks"], Json::Null, "{after:#}");
}

#[test]
fn a_value_for_what_is_not_declared_changes_nothing() {
    let scene = Scene::new(1);
    scene.store.seize(|store| {
        store.assignment["attributes"] = json!({ "test": { "size": 7, "nothing": "x" }, "none": { "at": "all" } });
    });
    scene.desk.run(&ONCE).with_code(0);
    assert_eq!((scene.desk.out("size").as_deref(), scene.desk.out("page").as_deref()), (Some("7"), Some("second")));
}

#[test]
fn the_file_of_signers_decides_at_every_run() {
    let scene = Scene::new(1);
    scene.desk.run(&ONCE).with_code(0);
    let signers = std::fs::read_to_string(scene.desk.path("config/allowed_signers")).unwrap();
    let line = |number: usize| signers.lines().nth(number).unwrap().to_owned();
    // A key that expired after its revision was accepted leaves that one good, also without the store.
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let option = format!("alice@example.org valid-before={}", soon.strftime("%Y%m%d%H%M%SZ"));
    scene.desk.file("config/allowed_signers", line(0).replace("alice@example.org", &option) + "\n");
    std::thread::sleep(std::time::Duration::from_secs(3));
    scene.desk.run(&ONCE).with_code(0);
    scene.desk.file("cookbooks/test/templates/page.j2", "third");
    scene.store.publish(&scene.desk);
    scene
        .desk
        .run(&ONCE)
        .with_code(3)
        .saying(&["revision 3", "line 1 of the allowed signers trusts the key no longer"]);
    assert_eq!(scene.desk.out("page").as_deref(), Some("second"));
    for (text, said) in [
        // A signer who is trusted no more: neither is what he signed.
        (line(2), "the key is not among the trusted ones"),
        ("# nobody\n".to_owned(), "it names no signer"),
        ("*@example.org cert-authority ssh-ed25519 AAAA\n".to_owned(), "allowed_signers:1"),
    ] {
        scene.desk.file("config/allowed_signers", &text);
        for arguments in [&ONCE[..], &["plan", "--json"]] {
            let ended = scene.desk.run(arguments);
            assert!(matches!(ended.code, Some(1 | 3)), "{text}: {ended:?}");
            ended.saying(&[said]);
        }
    }
    std::fs::remove_file(scene.desk.path("config/allowed_signers")).unwrap();
    let ended = scene.desk.run(&ONCE).with_code(3);
    assert_eq!(ended.conclusion(), "not_started");
    ended.saying(&["config/allowed_signers", "this node trusts nobody", "a join string that names them"]);
    scene.desk.file("config/agent.toml", "signatures = 0\n");
    scene.desk.run(&ONCE).with_code(1).saying(&["a revision that nobody signed is never run"]);
    // Two are wanted from now on: what one signed is not good any more.
    scene.desk.file("config/allowed_signers", &signers);
    scene.desk.file("config/agent.toml", "signatures = 3\n");
    let ended: Ended = scene.desk.run(&ONCE).with_code(3);
    ended.saying(&["2 of the 3 trusted signatures it needs (by alice@example.org; bob@example.org)"]);
}
