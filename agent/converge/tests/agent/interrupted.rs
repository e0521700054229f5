//! Runs that are told to stop, that are too late, and that meet another run.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::desk::{Desk, ONCE, Process, wait_for, wait_until};

/// A command that takes its time between two files; it waits for a process of its own.
const SLOW: &str = r#"
[file."@/before"]

[execute.slow]
command = "sleep 3 & echo $! > @/sleeper; echo $$ > @/started; wait; touch @/finished"

[file."@/after"]
"#;

fn begun(desk: &Desk, arguments: &[&str]) -> Process {
    let process = desk.start(arguments);
    wait_for(&desk.path("out/started"));
    process
}

fn pid_in(desk: &Desk, name: &str) -> i32 {
    wait_until("no process wrote its id", || desk.out(name).is_some_and(|text| text.ends_with('\n')));
    desk.out(name).unwrap().trim().parse().unwrap()
}

fn is_alive(pid: i32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A process that ended and that nobody waited for is still listed.
    !status.is_empty() && !status.contains(") Z ")
}

fn named(outcomes: &[(&str, &str)]) -> Vec<(String, String)> {
    outcomes.iter().map(|(name, outcome)| ((*name).to_owned(), (*outcome).to_owned())).collect()
}

#[test]
fn one_signal_lets_the_current_resource_end() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let desk = Desk::new(SLOW);
        let process = begun(&desk, &ONCE);
        process.signal(signal);
        let ended = process.wait().with_code(2);
        assert_eq!(ended.conclusion(), "cancelled");
        assert_eq!(ended.outcomes(), named(&[("before", "updated"), ("slow", "updated"), ("after", "unprocessed")]));
        assert!(desk.out("finished").is_some() && desk.out("after").is_none(), "{signal}");
        assert_eq!(desk.once().with_code(0).conclusion(), "succeeded");
    }
}

#[test]
fn a_second_signal_ends_the_command_with_all_its_processes() {
    let desk = Desk::new(&SLOW.replace("sleep 3", "sleep 50"));
    let process = begun(&desk, &ONCE);
    let (shell, sleeper) = (pid_in(&desk, "started"), pid_in(&desk, "sleeper"));
    process.signal(Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(200));
    process.signal(Signal::SIGINT);
    let ended = process.wait().with_code(2);
    assert!(ended.took < Duration::from_secs(20), "{:?}", ended.took);
    assert_eq!(ended.conclusion(), "cancelled");
    assert_eq!(ended.outcomes(), named(&[("before", "updated"), ("slow", "failed"), ("after", "unprocessed")]));
    wait_until("processes of the command go on", || !is_alive(shell) && !is_alive(sleeper));
    assert!(desk.out("finished").is_none());
}

#[test]
fn a_run_whose_time_is_up_begins_nothing_more() {
    let desk = Desk::new(SLOW);
    let ended = desk.run(&[&ONCE[..], &["--deadline", "1s"]].concat()).with_code(2);
    assert_eq!(ended.conclusion(), "timed_out");
    assert_eq!(ended.outcomes(), named(&[("before", "updated"), ("slow", "updated"), ("after", "unprocessed")]));
}

#[test]
fn a_command_whose_time_is_up_is_ended_with_all_its_processes() {
    let desk =
        Desk::new(&SLOW.replace("sleep 3", "sleep 50").replace("[execute.slow]", "[execute.slow]\ntimeout = '1s'"));
    let ended = desk.once().with_code(2).saying(&["1s", "timeout"]);
    assert!(ended.took < Duration::from_secs(20), "{:?}", ended.took);
    let (shell, sleeper) = (pid_in(&desk, "started"), pid_in(&desk, "sleeper"));
    wait_until("processes of the command go on", || !is_alive(shell) && !is_alive(sleeper));
}

#[test]
fn a_second_run_names_the_first_or_waits_for_it() {
    let desk = Desk::new(SLOW);
    let first = begun(&desk, &ONCE);
    let pid = format!("pid {}", first.id());
    desk.run(&[&ONCE[..], &["--lock-wait", "100ms"]].concat()).with_code(3).saying(&[&pid, "--lock-wait"]);
    // A plan changes nothing, and need not wait.
    desk.run(&["plan", "--policy", "policies/test.toml"]).with_code(0);
    let second = desk.start(&ONCE);
    assert_eq!(first.wait().with_code(0).conclusion(), "succeeded");
    assert_eq!(second.wait().with_code(0).conclusion(), "succeeded");
}

#[test]
fn a_killed_run_leaves_a_report_and_no_lock() {
    let desk = Desk::new(&SLOW.replace("sleep 3", "sleep 50"));
    let killed = begun(&desk, &ONCE);
    killed.signal(Signal::SIGKILL);
    let sleeper = pid_in(&desk, "sleeper");
    desk.recipe("[file.\"@/before\"]\n");
    let next = desk.run(&[&ONCE[..], &["--lock-wait", "100ms"]].concat()).with_code(0);
    assert!(next.json()["remarks"].to_string().contains("pieced together"), "{}", next.stdout);
    let local = desk.run(&["report", "--local", "--json"]).with_code(0).json();
    assert!(local.as_array().unwrap().iter().any(|report| report["conclusion"] == "crashed"), "{local:#}");
    let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(sleeper), Signal::SIGKILL);
}

#[test]
fn what_a_killed_first_run_made_is_taken_away_when_it_leaves_the_policy() {
    let desk = Desk::new("[file.\"@/made\"]\n[execute.slow]\ncommand = 'touch @/begun; sleep 5'\n");
    let run = desk.start(&ONCE);
    wait_for(&desk.path("out/begun"));
    run.signal(Signal::SIGKILL);
    run.wait();
    assert!(desk.out("made").is_some());
    desk.file("policies/test.toml", "name = \"test\"\nrun_list = []\norphans = \"remove\"\n");
    let report = desk.once().with_code(0).json();
    assert_eq!(report["counts"]["updated"], 1, "{report:#}");
    assert_eq!(desk.out("made"), None);
}
