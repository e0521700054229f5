//! The agent's own files, damaged or gone: each is built anew, and what could not be known meanwhile is said.

use nix::mount::{MsFlags, mount};

use crate::desk::{Desk, ONCE};
use crate::listener::{Listener, Trouble};

const RECIPE: &str = "[file.\"@/a\"]\ncontent = 'a'\n";

fn remarks(ended: &crate::desk::Ended) -> String {
    ended.json()["remarks"].to_string()
}

#[test]
fn a_torn_journal_is_read_as_far_as_it_goes() {
    let desk = Desk::new(RECIPE);
    desk.once().with_code(0);
    desk.file("state/journal", b"{\"entry\":\"begin\",\"ru\n\xff\xfe garbage\n");
    let ended = desk.once().with_code(0);
    assert!(remarks(&ended).contains("2 entries of the journal"), "{}", ended.stdout);
    let after = desk.once().with_code(0);
    assert!(!remarks(&after).contains("journal"), "{}", after.stdout);
}

#[test]
fn a_damaged_ledger_is_said_once_and_built_anew() {
    for damage in [&b""[..], b"garbage", b"{\"owned\": 3}", b"\xff"] {
        let desk = Desk::new(RECIPE);
        desk.once().with_code(0);
        desk.file("state/ledger.json", damage);
        let _ = std::fs::remove_file(desk.path("state/ledger.fingerprint"));
        let ended = desk.once().with_code(0);
        assert!(remarks(&ended).contains("the ledger of owned resources"), "{damage:?}: {}", ended.stdout);
        let after = desk.once().with_code(0);
        assert!(!remarks(&after).contains("ledger"), "{damage:?}: {}", after.stdout);
    }
}

#[test]
fn what_the_store_said_is_asked_again_where_it_was_lost() {
    let desk = Desk::new(RECIPE);
    let store = Listener::of(&desk);
    store.publish(&desk);
    desk.run(&["--once", "--json"]).with_code(0);
    desk.file("state/assignment.json", "garbage");
    let ended = desk.run(&["--once", "--json"]).with_code(0);
    assert!(remarks(&ended).contains("assignment.json: it is damaged"), "{}", ended.stdout);
    let after = desk.run(&["--once", "--json"]).with_code(0);
    assert!(!remarks(&after).contains("damaged"), "{}", after.stdout);
}

#[test]
fn damaged_copies_of_a_policy_are_fetched_again() {
    let desk = Desk::new("[file.\"@/page\"]\ntemplate = 'page.j2'\n[file.\"@/logo\"]\nsource = 'logo'\n");
    desk.file("cookbooks/test/templates/page.j2", "a page that is a template");
    desk.file("cookbooks/test/files/logo", "x".repeat(5_000));
    let store = Listener::of(&desk);
    store.publish(&desk);
    desk.run(&["--once", "--json"]).with_code(0);
    let blobs = || std::fs::read_dir(desk.path("state/blobs")).unwrap().flatten().map(|entry| entry.path());
    assert_eq!(blobs().count(), 3);
    for blob in blobs().collect::<Vec<_>>() {
        let mut bytes = std::fs::read(&blob).unwrap();
        bytes[0] ^= 0xff;
        std::fs::write(&blob, bytes).unwrap();
        std::fs::write(desk.path("out/logo"), "spoilt").unwrap();
        std::fs::write(desk.path("out/page"), "spoilt").unwrap();
        // The run that meets the damage says so; the next one at the latest is whole again.
        let first = desk.run(&["--once", "--json"]);
        assert!(first.stdout.contains("damaged"), "{}", first.stdout);
        desk.run(&["--once", "--json"]).with_code(0);
        assert_eq!(desk.out("logo").map(|logo| logo.len()), Some(5_000));
        assert_eq!(desk.out("page").as_deref(), Some("a page that is a template"));
    }
    std::fs::remove_dir_all(desk.path("state/blobs")).unwrap();
    desk.run(&["--once", "--json"]).with_code(0);
    assert_eq!(blobs().count(), 3);
}

#[test]
fn reports_that_are_damaged_are_passed_over() {
    let desk = Desk::new(RECIPE);
    let store = Listener::of(&desk);
    store.publish(&desk);
    desk.run(&["--once", "--json"]).with_code(0);
    let kept = std::fs::read_dir(desk.path("state/reports")).unwrap().flatten().next().unwrap().path();
    std::fs::write(&kept, "{").unwrap();
    desk.file(&format!("state/spool/{}", kept.file_name().unwrap().to_str().unwrap()), "{");
    desk.file("state/spool/stray", "no report");
    let ended = desk.run(&["--once"]).with_code(0).saying(&["a queued report was dropped", "it is damaged"]);
    assert!(ended.stderr.contains("spool/"), "{}", ended.stderr);
    let local = desk.run(&["report", "--local", "--json"]).with_code(0).json();
    assert_eq!(local.as_array().unwrap().len(), 1, "{local:#}");
    assert_eq!(store.reports().len(), 2);
}

#[test]
fn state_that_is_gone_is_no_loss() {
    let desk = Desk::new(RECIPE);
    let store = Listener::of(&desk);
    store.publish(&desk);
    desk.run(&["--once", "--json"]).with_code(0);
    let names: Vec<_> = std::fs::read_dir(desk.path("state")).unwrap().flatten().map(|entry| entry.path()).collect();
    assert!(names.len() >= 4, "{names:?}");
    for path in names {
        if path.is_dir() {
            std::fs::remove_dir_all(&path).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        let ended = desk.run(&["--once", "--json"]);
        assert_eq!(ended.code, Some(0), "{}: {}\n{}", path.display(), ended.stdout, ended.stderr);
        assert_eq!(ended.json()["counts"]["up_to_date"], 1, "{}", path.display());
    }
    std::fs::remove_dir_all(desk.path("state")).unwrap();
    desk.run(&["--once", "--json"]).with_code(0);
}

#[test]
fn a_lock_or_journal_that_is_no_file_is_named() {
    for name in ["run.lock", "journal"] {
        let desk = Desk::new(RECIPE);
        std::fs::create_dir_all(desk.path("state").join(name)).unwrap();
        desk.once().with_code(3).saying(&[&format!("state/{name}"), "irectory"]);
    }
}

#[test]
#[ignore = "needs root, to mount a small file system"]
fn a_full_disk_is_reported_through_memory() {
    let desk = Desk::new(RECIPE);
    let store = Listener::of(&desk);
    store.publish(&desk);
    std::fs::create_dir_all(desk.path("state")).unwrap();
    // For this thread, and the processes that it starts.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    let none = None::<&str>;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
    mount(Some("none"), &desk.path("state"), Some("tmpfs"), MsFlags::empty(), Some("size=256k")).unwrap();
    desk.run(&ONCE[..2]).with_code(0);
    let mut fill = std::fs::File::create(desk.path("state/fill")).unwrap();
    while std::io::Write::write_all(&mut fill, &[7; 512]).is_ok() {}
    desk.file("out/a", "spoilt");
    let ended = desk.run(&ONCE[..2]).with_code(3).saying(&["No space left"]);
    assert_eq!(desk.out("a").as_deref(), Some("a"), "{}", ended.stderr);
    let given = store.given();
    assert_eq!((given.len(), &given[1]["counts"]["updated"]), (2, &1.into()), "{given:#?}");
    assert!(given[1]["remarks"].to_string().contains("No space left"), "{given:#?}");
    desk.run(&["status"]).with_code(3).saying(&["full", "no run can be kept"]);
    // Neither kept nor sent: that is said.
    store.trouble("/v1/reports", Trouble::ServerError);
    desk.run(&["--once"]).with_code(3).saying(&["lost to the store"]);
    store.trouble("/v1/reports", None);
    drop(fill);
    std::fs::remove_file(desk.path("state/fill")).unwrap();
    desk.run(&ONCE[..2]).with_code(0);
    assert_eq!(store.given().len(), 3, "one was refused and never came again");
    desk.run(&["status"]).with_code(0);
}
