//! Commands: how they end, what they say, what they leave.

use std::time::{Duration, Instant};

use converge_model::error::ErrorKind;
use converge_model::property::CommandLine;
use converge_model::system::commands::{CommandOutput, CommandSpec, Exit, Purpose};
use converge_model::{Cancel, System as _};
use converge_system::NoBlobs;
use converge_system::linux::{LinuxSystem, Options};
use std::sync::Arc;

use crate::machine::{Machine, is_root};

fn spec(line: &str) -> CommandSpec {
    CommandSpec::new(CommandLine::Shell(line.to_owned()), Purpose::Change, Duration::from_secs(20))
}

fn run(machine: &Machine, spec: &CommandSpec) -> CommandOutput {
    machine.system.commands().run(spec).unwrap()
}

/// Whether a process that was started with this marker in its environment or arguments is there.
fn is_running(marker: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(marker))
    })
}

#[test]
fn commands_end_as_they_end() {
    let machine = Machine::new();
    for (line, exit, text) in [
        ("exit 0", Exit::Code(0), ""),
        ("exit 7", Exit::Code(7), ""),
        ("kill -9 $$", Exit::Signal(9), ""),
        ("echo out; echo err >&2; echo out", Exit::Code(0), "out\nerr\nout\n"),
        ("cat", Exit::Code(0), ""),
        ("umask", Exit::Code(0), "0022\n"),
        ("pwd", Exit::Code(0), "/\n"),
        ("printf '\\377'", Exit::Code(0), "\u{fffd}"),
        ("exec >&- 2>&-; sleep 0.2", Exit::Code(0), ""),
        ("tty; ps -o tty= -p $$ | tr -d ' '", Exit::Code(0), "not a tty\n?\n"),
    ] {
        let output = run(&machine, &spec(line));
        assert_eq!((output.exit, output.output.text.as_str()), (exit, text), "{line}");
    }
    let output = run(&machine, &spec("env | sort"));
    let names: Vec<&str> = output.output.text.lines().filter_map(|line| line.split('=').next()).collect();
    assert!(
        names.iter().all(|name| ["HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "PWD", "SHELL", "USER"].contains(name)),
        "{names:?}"
    );
}

#[test]
fn what_surrounds_a_command_is_what_was_asked_for() {
    let machine = Machine::new();
    let mut asked = spec("pwd; umask; echo $A; echo $LANG");
    asked.directory = Some(machine.path(""));
    asked.umask = Some(0o077);
    asked.environment.insert("A".to_owned(), "b c".to_owned());
    asked.environment.insert("LANG".to_owned(), "C".to_owned());
    let directory = machine.path("");
    assert_eq!(run(&machine, &asked).output.text, format!("{directory}\n0077\nb c\nC\n"));

    for (line, directory, kind, part) in [
        (CommandLine::Argv(vec!["/no/such".into()]), "", ErrorKind::Unavailable, "/no/such"),
        (CommandLine::Argv(vec!["no-such-program".into()]), "", ErrorKind::Unavailable, "no-such-program"),
        (CommandLine::Argv(vec!["/etc/passwd".into()]), "", ErrorKind::Denied, "ermission"),
        (CommandLine::Argv(vec!["true".into()]), "none", ErrorKind::NotFound, "its directory"),
        (CommandLine::Argv(vec!["true".into(), "a\0b".into()]), "", ErrorKind::Invalid, "nul"),
    ] {
        let mut wrong = CommandSpec::new(line, Purpose::Look, Duration::from_secs(1));
        wrong.directory = Some(machine.path(directory));
        let error = machine.system.commands().run(&wrong).unwrap_err();
        assert!(error.kind == kind && error.to_string().contains(part), "{error:?}");
    }
    let mut wrong = spec("true");
    wrong.user = Some("no-such-user".to_owned());
    assert_eq!(machine.system.commands().run(&wrong).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn only_the_end_of_a_long_output_is_kept() {
    let machine = Machine::new();
    let output = run(&machine, &spec("head -c 5000000 /dev/zero | tr '\\0' x; echo end"));
    assert_eq!(output.output.text.len(), 64 * 1024);
    assert!(output.output.text.ends_with("xend\n"), "the last part is kept");
    assert_eq!(output.output.dropped, 5_000_004 - 64 * 1024);
}

#[test]
fn a_command_that_takes_too_long_is_ended_with_all_it_started() {
    let machine = Machine::new();
    for (line, most) in [
        // The grandchild keeps the pipe open; the second ignores SIGTERM.
        ("sleep 987654 & sleep 987654; echo never", 2),
        ("trap '' TERM; sleep 987653 & sleep 987653 & wait; wait", 8),
        ("yes 987652", 2),
        ("sleep 987651 & kill -STOP $$", 2),
    ] {
        let begun = Instant::now();
        let mut asked = spec(line);
        asked.timeout = Duration::from_millis(200);
        assert_eq!(run(&machine, &asked).exit, Exit::TimedOut, "{line}");
        assert!(begun.elapsed() < Duration::from_secs(most), "{line}: {:?}", begun.elapsed());
    }
    std::thread::sleep(Duration::from_millis(50));
    for marker in ["987654", "987653", "987652", "987651"] {
        assert!(!is_running(marker), "{marker}");
    }
}

#[test]
fn what_a_command_leaves_behind_in_its_group_is_ended() {
    let machine = Machine::new();
    let begun = Instant::now();
    let output = run(&machine, &spec("sleep 887654 & (sleep 887653 >/dev/null 2>&1 &) ; echo done"));
    assert_eq!((output.exit, output.output.text.as_str()), (Exit::Code(0), "done\n"));
    assert!(begun.elapsed() < Duration::from_secs(2));
    std::thread::sleep(Duration::from_millis(50));
    assert!(!is_running("887654") && !is_running("887653"));
    let threads = std::fs::read_dir("/proc/self/task").unwrap().count();
    run(&machine, &spec("true"));
    assert_eq!(std::fs::read_dir("/proc/self/task").unwrap().count(), threads);
}

#[test]
fn a_run_that_is_stopped_ends_its_command() {
    let cancel = Cancel::new();
    let options = Options { root: "/".into(), blobs: Arc::new(NoBlobs), cancel: cancel.clone(), stat_cache: None };
    let system = LinuxSystem::new(options).unwrap();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            cancel.after_current();
            std::thread::sleep(Duration::from_millis(300));
            cancel.now();
        });
        assert_eq!(system.commands().run(&spec("sleep 787654")).unwrap().exit, Exit::Cancelled);
    });
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(300) && took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_command_runs_as_whom_it_should() {
    if !is_root() {
        return;
    }
    let machine = Machine::new();
    let mut asked = spec("id -u; id -g; id -G; echo $HOME $USER; touch /etc/converge-must-not-be 2>&1 && echo BAD");
    asked.user = Some("daemon".to_owned());
    let text = run(&machine, &asked).output.text;
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..4], ["1", "1", "1", "/usr/sbin daemon"], "{text}");
    assert!(!text.contains("BAD"));
    asked.user = Some("65534".to_owned());
    assert!(run(&machine, &asked).output.text.starts_with("65534\n65534\n"));
}
