//! Stores that are slow, wrong, or not there: the node goes on with the last policy, says why, and its reports arrive once,
//! in order, when the store is itself again.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::desk::{Desk, Ended, wait_until};
use crate::listener::{Listener, Trouble};

const STORE: [&str; 2] = ["--once", "--json"];

/// A policy with a blob of its own beside the graph.
fn revision(desk: &Desk, text: &str) {
    desk.recipe("[file.\"@/page\"]\ntemplate = 'page.j2'\n");
    desk.file("cookbooks/test/templates/page.j2", text);
}

fn enrolled() -> (Desk, Listener) {
    let desk = Desk::new("");
    let store = Listener::of(&desk);
    revision(&desk, "first");
    store.publish(&desk);
    (desk, store)
}

/// Troubles that show themselves at once.
const QUICK: [Trouble; 8] = [
    Trouble::Rubbish,
    Trouble::Page,
    Trouble::OtherDocument,
    Trouble::Cut,
    Trouble::Redirect,
    Trouble::ServerError,
    Trouble::Short,
    Trouble::Lost,
];

#[track_caller]
fn went_on(ended: Ended, store: &Listener, case: &str) {
    assert_eq!(ended.code, Some(0), "{case}: {}\n{}", ended.stdout, ended.stderr);
    let remarks = ended.json()["remarks"].to_string();
    assert!(remarks.contains("this run converges the policy that the store gave last"), "{case}: {remarks}");
    assert!(remarks.contains(store.address()), "{case}: {remarks}");
}

#[test]
fn a_node_goes_on_with_the_last_policy_while_the_store_misbehaves() {
    let (desk, store) = enrolled();
    desk.run(&STORE).with_code(0);
    // Something new to say, so that nothing is answered with "as before".
    revision(&desk, "second");
    store.publish(&desk);
    for trouble in QUICK {
        let case = format!("{trouble:?}");
        std::fs::write(desk.path("out/page"), "spoilt").unwrap();
        store.trouble("/v1/node", trouble);
        went_on(desk.run(&STORE), &store, &case);
        assert_eq!(desk.out("page").as_deref(), Some("first"), "{case}");
    }
    store.trouble("/v1/node", None);
    desk.run(&STORE).with_code(0);
    assert_eq!(desk.out("page").as_deref(), Some("second"));
}

#[test]
fn a_policy_that_does_not_come_whole_is_not_begun() {
    let (desk, store) = enrolled();
    desk.run(&STORE).with_code(0);
    revision(&desk, "second");
    store.publish(&desk);
    for trouble in QUICK.into_iter().chain([Trouble::Long, Trouble::OtherBytes]) {
        let case = format!("{trouble:?}");
        store.trouble("/v1/blobs", trouble);
        std::fs::write(desk.path("out/page"), "spoilt").unwrap();
        let ended = desk.run(&STORE);
        // What came whole and is not what was signed is more than a store in trouble.
        let is_other = !matches!(
            trouble,
            Trouble::Rubbish | Trouble::Cut | Trouble::Redirect | Trouble::ServerError | Trouble::Lost
        );
        assert_eq!(ended.code, Some(if is_other { 3 } else { 0 }), "{case}: {}\n{}", ended.stdout, ended.stderr);
        let remarks = ended.json()["remarks"].to_string();
        assert!(remarks.contains("this run converges the policy that the store gave last"), "{case}: {remarks}");
        assert_eq!(desk.out("page").as_deref(), Some("first"), "{case}");
        let leavings = std::fs::read_dir(desk.path("state/blobs")).unwrap().flatten();
        let leavings: Vec<_> = leavings.map(|entry| entry.file_name()).filter(|name| name.len() != 64).collect();
        assert!(leavings.is_empty(), "{case}: half a blob was left: {leavings:?}");
    }
    store.trouble("/v1/blobs", None);
    desk.run(&STORE).with_code(0);
    assert_eq!(desk.out("page").as_deref(), Some("second"));
}

#[test]
fn without_any_policy_the_run_says_what_the_store_did() {
    for trouble in QUICK {
        let (desk, store) = enrolled();
        store.trouble("/v1/node", trouble);
        let ended = desk.run(&STORE).with_code(3);
        assert_eq!(ended.conclusion(), "not_started");
        let error = ended.json()["conclusion"]["error"].clone();
        let said = error.to_string();
        assert!(said.contains(store.address()), "{trouble:?}: {said}");
        assert!(error["hint"].is_string(), "{trouble:?}: {said}");
    }
}

#[test]
fn reports_wait_for_the_store_and_arrive_once_in_order() {
    for trouble in [Trouble::Rubbish, Trouble::Cut, Trouble::Redirect, Trouble::ServerError] {
        let (desk, store) = enrolled();
        // The reports of a store that takes none are told apart from those it took whose answer was lost.
        store.trouble("/v1/reports", trouble);
        let mut runs = Vec::new();
        for _ in 0..3 {
            let ended = desk.run(&STORE).with_code(0);
            runs.push(ended.json()["run"].as_str().unwrap().to_owned());
        }
        let given = store.reports().len();
        assert_eq!(std::fs::read_dir(desk.path("state/spool")).unwrap().count(), 3, "{trouble:?}");
        store.trouble("/v1/reports", None);
        let last = desk.run(&STORE).with_code(0);
        runs.push(last.json()["run"].as_str().unwrap().to_owned());
        assert_eq!(store.reports()[given..], runs, "{trouble:?}");
        assert_eq!(std::fs::read_dir(desk.path("state/spool")).unwrap().count(), 0, "{trouble:?}");
        desk.run(&STORE).with_code(0);
        assert_eq!(store.reports()[given..].len(), 5, "{trouble:?}: a report was sent twice");
    }
}

#[test]
fn a_busy_store_is_waited_for_or_left_alone_for_as_long_as_it_asks() {
    let (desk, store) = enrolled();
    desk.run(&STORE).with_code(0);
    revision(&desk, "second");
    store.publish(&desk);
    // For a moment: the run waits, and is one like any other.
    store.trouble("/v1/node", Trouble::Busy(1));
    let run = desk.start(&STORE);
    wait_until("nobody asked", || store.asked("/v1/node") > 0);
    store.trouble("/v1/node", None);
    let ended = run.wait().with_code(0);
    assert_eq!(desk.out("page").as_deref(), Some("second"));
    assert_eq!(ended.json()["remarks"], serde_json::Value::Null);
    // For long: this run and the next go on without it, and leave it alone, also when it could answer by then.
    let given = store.reports().len();
    store.trouble("/v1/node", Trouble::Busy(1_800));
    let mut runs = Vec::new();
    for trouble in [Trouble::Busy(1_800).into(), None] {
        store.trouble("/v1/node", trouble);
        let ended = desk.run(&STORE).with_code(0);
        assert!(ended.took < Duration::from_secs(20), "{:?}", ended.took);
        runs.push(ended.json()["run"].as_str().unwrap().to_owned());
        let remarks = ended.json()["remarks"].to_string();
        assert!(remarks.contains("this run converges the policy that the store gave last"), "{remarks}");
    }
    assert_eq!(store.reports().len(), given, "it was not left alone");
    // Its time is over.
    let contact = std::fs::read_to_string(desk.path("state/contact.json")).unwrap();
    assert!(contact.contains("leave_alone_until"), "{contact}");
    std::fs::remove_file(desk.path("state/contact.json")).unwrap();
    runs.push(desk.run(&STORE).with_code(0).json()["run"].as_str().unwrap().to_owned());
    assert_eq!(store.reports()[given..], runs);
}

#[test]
fn a_report_whose_receipt_was_lost_is_sent_again_under_the_same_run() {
    let (desk, store) = enrolled();
    store.trouble("/v1/reports", Trouble::Lost);
    let run = desk.run(&STORE).with_code(0).json()["run"].as_str().unwrap().to_owned();
    store.trouble("/v1/reports", None);
    desk.run(&STORE).with_code(0);
    let given = store.reports();
    assert!(given.len() >= 3 && given[..given.len() - 1].iter().all(|given| *given == run), "{given:?}");
}

#[test]
fn a_store_that_is_not_there_is_no_obstacle() {
    let (desk, store) = enrolled();
    desk.run(&STORE).with_code(0);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    std::fs::write(desk.path("out/page"), "spoilt").unwrap();
    // The same store at an address where nobody listens: what it said last was said by another.
    let node = std::fs::read_to_string(desk.path("config/node.toml")).unwrap();
    desk.file("config/node.toml", node.replace(store.address(), &format!("https://{closed}")));
    let ended = desk.run(&STORE).with_code(3);
    assert!(ended.json()["conclusion"].to_string().contains("is the store running"), "{}", ended.stdout);
    assert_eq!(desk.out("page").as_deref(), Some("spoilt"));
    desk.file("config/node.toml", node);
    desk.run(&STORE).with_code(0);
    assert_eq!(desk.out("page").as_deref(), Some("first"));
}

#[test]
fn a_store_that_shows_no_certificate_of_the_pinned_authority_is_told_nothing() {
    let (desk, store) = enrolled();
    desk.run(&STORE).with_code(0);
    revision(&desk, "second");
    store.publish(&desk);
    let given = store.reports().len();
    let node = std::fs::read_to_string(desk.path("config/node.toml")).unwrap();
    let pinned = node.lines().find(|line| line.starts_with("authority")).unwrap();
    let another = format!("authority = \"{}\"", converge_model::Digest::of(b"another authority"));
    // With the authority of another store, and with those of the system alone: both are not who answers.
    for authority in [another.as_str(), ""] {
        desk.file("config/node.toml", node.replace(pinned, authority));
        let ended = desk.run(&STORE).with_code(0);
        let remarks = ended.json()["remarks"].to_string();
        assert!(remarks.contains("its certificate is not"), "{authority}: {remarks}");
        assert_eq!(desk.out("page").as_deref(), Some("first"), "{authority}");
    }
    assert_eq!(store.reports().len(), given, "a report went to a stranger");
    desk.file("config/node.toml", node);
    desk.run(&STORE).with_code(0);
    assert_eq!(desk.out("page").as_deref(), Some("second"));
    assert_eq!(store.reports().len(), given + 3);
}

#[test]
fn waiting_for_a_silent_store_can_be_interrupted() {
    let (desk, store) = enrolled();
    desk.run(&STORE).with_code(0);
    store.trouble("/v1/", Trouble::Silence);
    let process = desk.start(&STORE);
    wait_until("the run took no lock", || {
        std::fs::read_to_string(desk.path("state/run.lock")).is_ok_and(|text| text.contains(&process.id().to_string()))
    });
    std::thread::sleep(Duration::from_millis(300));
    process.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(300));
    process.signal(Signal::SIGTERM);
    let ended = process.wait();
    assert!(ended.took < Duration::from_secs(10), "{:?}: {}", ended.took, ended.stderr);
    assert_eq!(ended.code, Some(2), "{ended:?}");
}

#[test]
#[ignore = "takes minutes: it waits until the agent has lost its patience"]
fn stores_that_never_end_an_answer_are_given_up() {
    for trouble in [Trouble::Silence, Trouble::Drip] {
        for path in ["/v1/node", "/v1/blobs", "/v1/reports"] {
            let (desk, store) = enrolled();
            desk.run(&STORE).with_code(0);
            revision(&desk, "second");
            store.publish(&desk);
            store.trouble(path, trouble);
            let ended = desk.start(&STORE).wait_for(Duration::from_secs(150)).with_code(0);
            let case = format!("{trouble:?} at {path}: {:?}", ended.took);
            let expected = if path == "/v1/reports" { "second" } else { "first" };
            assert_eq!(desk.out("page").as_deref(), Some(expected), "{case}");
            assert!(ended.took > Duration::from_secs(15) && ended.took < Duration::from_secs(90), "{case}");
        }
    }
}
