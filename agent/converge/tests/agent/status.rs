//! `converge status`: what it says of runs, of a daemon, of the store, and of reports that wait.

use nix::sys::signal::Signal;
use serde_json::Value as Json;

use crate::desk::{Desk, ONCE, wait_for, wait_until};
use crate::listener::{Listener, Trouble};

fn status(desk: &Desk, code: i32) -> Json {
    desk.run(&["status", "--json"]).with_code(code).json()
}

#[test]
fn it_says_how_the_last_runs_ended_where_there_is_no_daemon() {
    let desk = Desk::new("[file.\"@/page\"]\n[execute.odd]\ncommand = 'test ! -e @/spoilt'\n");
    desk.run(&["status"]).with_code(0).saying(&["none runs", "none has a report here yet"]);
    assert!(!desk.path("state").exists(), "looking leaves no trace");
    desk.once().with_code(0);
    desk.run(&["status"]).with_code(0).saying(&["none runs", "succeeded", "policy        test"]);
    desk.file("out/spoilt", "");
    desk.once().with_code(2);
    let said = status(&desk, 2);
    assert_eq!(said["daemon"]["state"], "none");
    assert_eq!(said["last_run"]["conclusion"]["kind"], "failed");
    assert!(said["last_success"].as_i64() < said["last_failure"]["started"].as_i64(), "{said:#}");
    assert!(said["last_failure"]["message"].as_str().unwrap().contains("execute[odd]"), "{said:#}");
    assert_eq!((&said["store"], &said["running"]), (&Json::Null, &Json::Null));
    desk.run(&["status"]).with_code(2).saying(&["failed", "last success", "last failure", "execute[odd]"]);
    std::fs::remove_file(desk.path("out/spoilt")).unwrap();
    desk.once().with_code(0);
    let said = status(&desk, 0);
    assert_eq!(said["last_run"]["conclusion"]["kind"], "succeeded");
    assert!(said["last_failure"]["message"].is_string(), "a failure is remembered: {said:#}");
}

#[test]
fn it_says_what_the_daemon_does_and_that_one_was_killed() {
    let desk = Desk::new("[execute.slow]\ncommand = 'touch @/begun; while ! test -e @/go; do sleep 0.1; done'\n");
    desk.file("config/agent.toml", "interval = '1000h'\n");
    let daemon = desk.start(&["--policy", "policies/test.toml"]);
    wait_for(&desk.path("out/begun"));
    let said = status(&desk, 0);
    assert_eq!(
        (&said["daemon"]["state"], said["daemon"]["pid"].as_i64()),
        (&"running".into(), Some(daemon.id().into()))
    );
    assert_eq!((&said["daemon"]["next"], &said["running"]["resource"]), (&Json::Null, &"execute[slow]".into()));
    assert!(said["running"]["since"].as_i64() <= said["now"].as_i64(), "{said:#}");
    desk.run(&["status"]).with_code(0).saying(&["under way: pid", "it is at execute[slow]", "every 5w6d16h"]);
    // A second one is told who is there.
    let second = desk.run(&["--policy", "policies/test.toml"]).with_code(3);
    let second = second.saying(&[&format!("pid {}", daemon.id()), "one daemon is enough"]);
    assert!(second.took >= std::time::Duration::from_secs(4), "it waits for one that ends");
    desk.file("out/go", "");
    wait_until("the run does not end", || status(&desk, 0)["daemon"]["why"] == "interval");
    let said = status(&desk, 0);
    assert!(said["daemon"]["next"].as_i64() > said["now"].as_i64(), "{said:#}");
    assert_eq!((&said["running"], &said["last_run"]["conclusion"]["kind"]), (&Json::Null, &"succeeded".into()));
    daemon.signal(Signal::SIGKILL);
    wait_until("it is not dead", || desk.run(&["status"]).code == Some(3));
    desk.run(&["status"]).with_code(3).saying(&["was killed"]);
    // What one that ends by itself leaves says nothing.
    let daemon = desk.start(&["--policy", "policies/test.toml"]);
    wait_until("it does not run", || {
        let said = desk.run(&["status", "--json"]).json();
        said["daemon"]["pid"].as_i64() == Some(daemon.id().into()) && said["daemon"]["why"] == "interval"
    });
    daemon.signal(Signal::SIGTERM);
    daemon.wait().with_code(0);
    assert_eq!(status(&desk, 0)["daemon"]["state"], "none");
}

#[test]
fn it_says_how_the_store_is_and_what_waits_for_it() {
    let desk = Desk::new("[file.\"@/page\"]\n");
    let store = Listener::of(&desk);
    store.publish(&desk);
    desk.file("config/agent.toml", "spool_reports = 3\n");
    let once = || drop(desk.run(&ONCE[..2]).with_code(0));
    once();
    let said = status(&desk, 0);
    assert_eq!((&said["store"]["trouble"], &said["spool"]["reports"]), (&Json::Null, &0.into()));
    assert_eq!((&said["store"]["heard"], &said["last_run"]["revision"]), (&said["last_run"]["started"], &1.into()));
    store.trouble("/v1/", Trouble::ServerError);
    for _ in 0..5 {
        once();
    }
    let said = status(&desk, 3);
    let trouble = &said["store"]["trouble"];
    assert!(trouble["message"].as_str().unwrap().contains(store.address()), "{said:#}");
    assert!(trouble["since"].as_i64() < trouble["at"].as_i64(), "{said:#}");
    assert_eq!((&said["spool"]["reports"], &said["dropped"]["reports"]), (&3.into(), &2.into()));
    let shown = desk.run(&["status"]).with_code(3);
    shown.saying(&["in trouble", "3 wait for the store", "2 were dropped"]);
    // The first report that the store takes tells it what it will never see; the others do not.
    store.trouble("/v1/", None);
    let given = store.given().len();
    once();
    let remarks: Vec<bool> = store.given()[given..]
        .iter()
        .map(|report| report["remarks"].to_string().contains("2 older reports were dropped"))
        .collect();
    assert_eq!(remarks, [true, false, false, false], "{said:#}");
    let said = status(&desk, 0);
    assert_eq!((&said["spool"]["reports"], &said["dropped"]["reports"]), (&0.into(), &0.into()));
    // Asked to be left alone, it is.
    store.trouble("/v1/node", Trouble::Busy(1_800));
    once();
    let said = status(&desk, 3);
    assert!(said["store"]["leave_alone_until"].as_i64().unwrap() > said["now"].as_i64().unwrap() + 1_700_000);
    desk.run(&["status"]).with_code(3).saying(&["left alone until"]);
}
