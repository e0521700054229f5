//! What a machine in memory must get right, so that tests on it mean something.

mod document;
mod real;

use std::time::Duration;

use converge_model::error::ErrorKind;
use converge_model::property::CommandLine;
use converge_model::system::commands::{CommandSpec, Exit, Purpose};
use converge_model::system::files::Attributes;
use converge_model::system::packages::{Install, PackageState, Transaction};
use converge_model::system::services::{Activity, UnitAction};
use converge_model::{AbsPath, Content, System};

use crate::memory::{Behaviour, Faults, MemoryMachine, Release, is_crash};

const LONG: Duration = Duration::from_secs(60);

fn at(path: &str) -> AbsPath {
    path.parse().unwrap()
}

fn bytes(text: &str) -> Content {
    Content::Bytes(text.as_bytes().into())
}

fn write(machine: &MemoryMachine, path: &str, text: &str) -> Result<(), ErrorKind> {
    let nothing = Attributes::default();
    machine.files().write(&at(path), &bytes(text), nothing, None).map_err(|error| error.kind)
}

fn install(names: &[&str]) -> Transaction {
    let install = |name: &&str| Install { name: (*name).to_owned(), version: None, file: None };
    Transaction { install: names.iter().map(install).collect(), timeout: LONG, ..Transaction::default() }
}

#[test]
fn a_new_file_replaces_what_is_not_a_directory_and_breaks_hard_links() {
    let machine = MemoryMachine::debian();
    machine.file("/srv/a", "one").hard_link("/srv/b", "/srv/a").owner("/srv/a", 7, 8).mode("/srv/a", 0o600);
    assert_eq!(write(&machine, "/srv/a", "two"), Ok(()));
    assert_eq!(machine.content("/srv/b").unwrap(), b"one");
    let (a, b) = (machine.look("/srv/a").unwrap(), machine.look("/srv/b").unwrap());
    assert_ne!(a.identity, b.identity);
    assert_eq!((a.mode, a.uid, a.gid), (0o600, 7, 8));

    machine.symlink("/srv/l", "/srv/b");
    assert_eq!(write(&machine, "/srv/l", "three"), Ok(()));
    assert_eq!(machine.content("/srv/b").unwrap(), b"one", "a link is replaced, not written through");
    assert_eq!(machine.look("/srv/l").unwrap().mode, 0o644);
    assert_eq!(write(&machine, "/srv", "x"), Err(ErrorKind::Failed));
    assert_eq!(write(&machine, "/srv/none/x", "x"), Err(ErrorKind::NotFound));
    assert_eq!(write(&machine, "/srv/a/x", "x"), Err(ErrorKind::Failed));
}

#[test]
fn places_that_cannot_be_changed_refuse() {
    let machine = MemoryMachine::debian();
    machine.file("/opt/ro/a", "1").file("/etc/fixed", "1").file("/etc/resolv.conf", "1");
    machine.read_only("/opt/ro").immutable("/etc/fixed").mounted("/etc/resolv.conf");
    assert_eq!(write(&machine, "/opt/ro/a", "2"), Err(ErrorKind::Denied));
    assert_eq!(write(&machine, "/etc/fixed", "2"), Err(ErrorKind::Denied));
    assert_eq!(machine.files().remove(&at("/etc/fixed")).unwrap_err().kind, ErrorKind::Denied);
    let identity = machine.look("/etc/resolv.conf").unwrap().identity;
    assert_eq!(write(&machine, "/etc/resolv.conf", "2"), Ok(()));
    assert_eq!(machine.look("/etc/resolv.conf").unwrap().identity, identity, "rewritten in place");
    assert_eq!(machine.files().remove(&at("/etc/resolv.conf")).unwrap_err().kind, ErrorKind::Busy);
    machine.capacity(Some(300));
    assert_eq!(write(&machine, "/srv/big", &"x".repeat(400)), Err(ErrorKind::NoSpace));
    assert!(machine.look("/srv/big").is_none());
}

#[test]
fn only_links_that_root_made_are_followed_on_the_way() {
    let machine = MemoryMachine::debian();
    machine.directory("/srv/real").symlink("/srv/ours", "real").symlink("/tmp/theirs", "/srv/real");
    machine.owner("/tmp/theirs", 1000, 1000);
    assert_eq!(write(&machine, "/srv/ours/a", "1"), Ok(()));
    assert_eq!(machine.content("/srv/real/a").unwrap(), b"1");
    assert_eq!(write(&machine, "/tmp/theirs/b", "1"), Err(ErrorKind::Denied));
    machine.symlink("/srv/loop", "/srv/loop");
    assert_eq!(write(&machine, "/srv/loop/x", "1"), Err(ErrorKind::Failed));
    assert_eq!(machine.files().resolve(&at("/srv/ours/x/y")).unwrap(), at("/srv/real/x/y"));
}

#[test]
fn a_failed_check_leaves_nothing_behind() {
    let machine = MemoryMachine::debian();
    machine.file("/etc/x.conf", "old");
    let before = machine.dump();
    let check = |candidate: &AbsPath| {
        let line = CommandLine::Shell(format!("grep -q good {candidate}"));
        let output = machine.commands().run(&CommandSpec::new(line, Purpose::Look, LONG))?;
        match output.exit {
            Exit::Code(0) => Ok(()),
            exit => Err(converge_model::Error::new(ErrorKind::Failed, "validate", candidate, exit)),
        }
    };
    let write = |text| machine.files().write(&at("/etc/x.conf"), &bytes(text), Attributes::default(), Some(&check));
    assert_eq!(write("bad").unwrap_err().kind, ErrorKind::Failed);
    let files = |dump: &str| dump.lines().filter(|line| line.starts_with('/')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(files(&machine.dump()), files(&before));
    write("good").unwrap();
    assert_eq!(machine.content("/etc/x.conf").unwrap(), b"good");
}

#[test]
fn a_transaction_brings_what_is_needed_and_stops_where_a_script_fails() {
    let machine = MemoryMachine::debian();
    machine.package("lib", "1", Release::default());
    let web = Release::default().needing("lib").adding_user("web").starting("web.service");
    let unit = "[Service]\nExecReload=/bin/true\n[Install]\nWantedBy=multi-user.target\n";
    let web = web.shipping(at("/usr/lib/systemd/system/web.service"), unit.as_bytes());
    machine.package("web", "2", web.shipping(at("/etc/web.conf"), &b"shipped"[..]));
    machine.package("bad", "1", Release::default().failing("boom"));

    let error = machine.packages().transact(&install(&["web", "bad"])).unwrap_err();
    assert!(error.cause.contains("boom") && error.kind == ErrorKind::Failed);
    let state = |name| machine.packages().installed(name).unwrap().map(|installed| installed.state);
    assert_eq!(state("web"), Some(PackageState::Installed));
    assert_eq!(state("lib"), Some(PackageState::Installed));
    assert_eq!(state("bad"), Some(PackageState::Unfinished));
    assert_eq!(machine.services().status("web.service").unwrap().activity, Activity::Active);
    assert!(machine.accounts().user("web").unwrap().is_some());

    machine.mend_package("bad");
    write(&machine, "/etc/web.conf", "edited").unwrap();
    let remove =
        |names: &[&str]| Transaction { remove: names.iter().map(|name| (*name).to_owned()).collect(), ..install(&[]) };
    let error = machine.packages().transact(&remove(&["lib"])).unwrap_err();
    assert!(error.cause.contains("also remove web"), "{error}");
    machine.packages().transact(&remove(&["lib", "web"])).unwrap();
    assert_eq!(state("bad"), Some(PackageState::Installed), "what was interrupted is finished first");
    assert_eq!(state("web"), Some(PackageState::ConfigFiles));
    assert_eq!(machine.content("/etc/web.conf").unwrap(), b"edited");
    machine.packages().transact(&Transaction { purge: vec!["web".to_owned()], ..install(&[]) }).unwrap();
    assert_eq!((state("web"), machine.content("/etc/web.conf")), (None, None));
}

#[test]
fn the_index_is_fetched_only_when_it_must_be_and_a_lock_names_its_holder() {
    let machine = MemoryMachine::debian();
    machine.publish("new", "1", Release::default());
    assert!(machine.packages().candidates("new").unwrap().is_empty());
    assert!(!machine.packages().refresh(LONG).unwrap());
    machine.packages().transact(&install(&["new"])).unwrap();
    assert_eq!(machine.index_fetches(), 1);
    machine.file("/etc/apt/sources.list.d/more.list", "deb http://more /\n");
    assert!(machine.packages().refresh(LONG).unwrap(), "the sources are newer than the index");
    assert_eq!(machine.packages().transact(&install(&["none"])).unwrap_err().kind, ErrorKind::NotFound);

    machine.lock_packages("unattended-upgrades (4711)", LONG * 2);
    let error = machine.packages().transact(&install(&["new"])).unwrap_err();
    assert!(error.kind == ErrorKind::Busy && error.cause.contains("4711"), "{error}");
}

#[test]
fn units_follow_their_files() {
    let machine = MemoryMachine::debian();
    machine.unit("a.service").enabled("a.service").running("a.service");
    let services = machine.services();
    assert!(!services.status("a.service").unwrap().stale);
    machine.file("/etc/systemd/system/a.service.d/more.conf", "[Service]\nNice=5\n");
    assert!(services.status("a.service").unwrap().stale);
    services.perform("a.service", UnitAction::Restart, LONG).unwrap();
    assert!(!services.status("a.service").unwrap().stale);
    assert_eq!((machine.counts("a.service").restarts, machine.unit_reloads()), (1, 1));

    machine.behaviour("a.service", Behaviour::Fails("no port".to_owned()));
    let error = services.perform("a.service", UnitAction::Restart, LONG).unwrap_err();
    assert!(error.cause.contains("no port"));
    assert_eq!(services.status("a.service").unwrap().activity, Activity::Failed);
    assert_eq!(services.perform("b.service", UnitAction::Start, LONG).unwrap_err().kind, ErrorKind::NotFound);
    machine.symlink("/etc/systemd/system/a.service", "/dev/null");
    assert!(services.perform("a.service", UnitAction::Start, LONG).unwrap_err().cause.contains("masked"));
    services.perform("a.service", UnitAction::Unmask, LONG).unwrap();
    assert!(machine.look("/etc/systemd/system/a.service").is_none());
}

#[test]
fn every_step_of_a_transaction_can_be_the_last() {
    let fresh = || {
        let machine = MemoryMachine::debian();
        machine.package("lib", "1", Release::default());
        machine.package("web", "2", Release::default().needing("lib").shipping(at("/usr/bin/web"), &b"x"[..]));
        machine
    };
    let mut states = Vec::new();
    for number in 1.. {
        let machine = fresh();
        machine.set_faults(Faults::crash(number));
        let outcome = machine.packages().transact(&install(&["web"]));
        if !machine.fault_fired() {
            outcome.unwrap();
            break;
        }
        assert!(is_crash(&outcome.unwrap_err()));
        assert!(is_crash(&machine.packages().installed("web").unwrap_err()), "a crash lasts");
        machine.revive();
        let state = |name| machine.packages().installed(name).unwrap().map(|installed| installed.state);
        states.push((state("lib"), state("web")));
        machine.packages().transact(&install(&["web"])).unwrap();
        assert_eq!(state("web"), Some(PackageState::Installed));
        assert!(machine.content("/usr/bin/web").is_some());
    }
    states.dedup();
    assert!(states.len() >= 4, "a crash in the middle leaves something in the middle: {states:?}");
}

#[test]
fn faults_are_single_or_lasting_and_have_no_effect() {
    for (faults, results) in [
        (Faults::once(2, ErrorKind::NoSpace), [Ok(()), Err(ErrorKind::NoSpace), Ok(())]),
        (Faults::lasting(2, ErrorKind::Denied), [Ok(()), Err(ErrorKind::Denied), Err(ErrorKind::Denied)]),
        (Faults::none(), [Ok(()), Ok(()), Ok(())]),
    ] {
        let machine = MemoryMachine::debian();
        machine.set_faults(faults);
        for (number, result) in results.into_iter().enumerate() {
            let path = format!("/srv/{number}");
            assert_eq!(write(&machine, &path, "x"), result);
            assert_eq!(machine.look(&path).is_some(), result.is_ok());
        }
        assert_eq!(machine.operations().len(), 3);
    }
}

#[test]
fn commands_end_as_they_were_scripted() {
    let machine = MemoryMachine::debian();
    machine.command("make *", crate::memory::Script::exits(0).writing(at("/srv/built"), &b"x"[..]).taking(LONG / 2));
    let run = |line: &str, timeout| {
        let spec = CommandSpec::new(CommandLine::Shell(line.to_owned()), Purpose::Change, timeout);
        machine.commands().run(&spec).unwrap().exit
    };
    for (line, code) in [("true", 0), ("test -e /srv/built", 1), ("nonsense", 127), ("touch /srv/t && false", 1)] {
        assert_eq!(run(line, LONG), Exit::Code(code), "{line}");
    }
    assert!(machine.look("/srv/t").is_some());
    assert_eq!(run("make all", LONG / 4), Exit::TimedOut);
    assert!(machine.look("/srv/built").is_none());
    assert_eq!(run("make all", LONG), Exit::Code(0));
    assert_eq!(run("test -f /srv/built", LONG), Exit::Code(0));
    assert_eq!(run("sleep 100", LONG), Exit::TimedOut);
    let spec = CommandSpec {
        user: Some("nemo".to_owned()),
        ..CommandSpec::new(CommandLine::Argv(vec!["true".to_owned()]), Purpose::Look, LONG)
    };
    assert_eq!(machine.commands().run(&spec).unwrap_err().kind, ErrorKind::NotFound);
}
