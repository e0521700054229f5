//! A store that is made of an older copy, and a node that was ahead of it.

use crate::desk::Desk;
use crate::machines::{ONCE, Store, on_machine, run};

#[test]
fn a_node_does_not_go_back_with_a_store_that_was_restored_and_its_operator_is_told_what_to_do() {
    let page = |text: &str| format!("[file.\"@/page\"]\ncontent = '{text}'\n");
    let desk = Desk::new(&page("first"));
    let store = Store::with_policy(&desk);
    let join = store.join(&desk, &[]);
    run(on_machine(&desk, "web-1", &["enroll", &join, "--name", "web-1"])).with_code(0);
    let backup = ["store", "backup", "copy", "--data", "store"];
    desk.run(&backup).with_code(0).saying(&["copied the store in store to copy", "1 nodes, 1 policies"]);
    desk.run(&backup).with_code(1).saying(&["it is there already"]);
    desk.run(&["store", "backup", "x", "--data", "nowhere"]).with_code(1).saying(&["there is no store in it"]);
    desk.recipe(&page("second"));
    store.publish(&desk);
    let converge = || run(on_machine(&desk, "web-1", &ONCE));
    converge().with_code(0);
    assert_eq!(desk.out("page").as_deref(), Some("second"));

    desk.run(&["store", "restore", "copy", "--data", "store"]).with_code(1).saying(&["it is not empty"]);
    let listen = store.address.trim_start_matches("https://").to_owned();
    drop(store);
    std::fs::rename(desk.path("store"), desk.path("lost")).unwrap();
    let restored = desk.run(&["store", "restore", "copy", "--data", "store"]).with_code(0);
    restored.saying(&["test: newest revision 1", "--serial N", "Nodes never go back", "Revoke again"]);
    let store = Store::start(&desk, &listen);
    let refused = converge().with_code(3);
    refused.saying(&["this node ran revision 2 already, and never goes back"]);
    assert_eq!(desk.out("page").as_deref(), Some("second"), "the last good policy goes on");

    // What nodes ran, the store learns from them.
    let nodes = store.operate(&desk, &["nodes"]).with_code(0).json();
    assert_eq!((&nodes[0]["run_revision"], &nodes[0]["wanted_revision"]), (&2.into(), &1.into()), "{nodes:#}");
    desk.recipe(&page("third"));
    store.operate(&desk, &["publish", "test", "--group", "dev", "--serial", "3"]).with_code(0);
    converge().with_code(0);
    assert_eq!(desk.out("page").as_deref(), Some("third"));
}
