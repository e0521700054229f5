//! What cannot be known is said, and neither refused nor taken for certain.

use std::time::Duration;

use converge_model::error::ErrorKind;
use converge_model::property::CommandLine;
use converge_model::system::accounts::UserSettings;
use converge_model::system::commands::{CommandSpec, Exit, Purpose};
use converge_model::system::files::{Attributes, FileType};
use converge_model::system::packages::{Install, Transaction};
use converge_model::system::services::{Activity, UnitAction};
use converge_model::{AbsPath, BlobRef, Content, Digest, System};

use crate::memory::{MemoryMachine, Release, Script};
use crate::overlay::{Overlay, UNKNOWN_VERSION};

const LONG: Duration = Duration::from_secs(60);

fn at(path: &str) -> AbsPath {
    path.parse().unwrap()
}

fn bytes(text: &str) -> Content {
    Content::Bytes(text.as_bytes().into())
}

fn write(system: &dyn System, path: &str, text: &str) {
    system.files().write(&at(path), &bytes(text), Attributes::default(), None).unwrap();
}

fn install(name: &str) -> Transaction {
    let install = Install { name: name.to_owned(), version: None, file: None };
    Transaction { install: vec![install], timeout: LONG, ..Transaction::default() }
}

fn command(line: &str, purpose: Purpose) -> CommandSpec {
    CommandSpec::new(CommandLine::Shell(line.to_owned()), purpose, LONG)
}

/// Whether the assumptions made since the last time are these: for each a part of its words, in this order.
fn assert_assumed(overlay: &Overlay<'_>, parts: &[&str]) {
    let assumed = overlay.take_assumptions();
    let fits = assumed.len() == parts.len() && assumed.iter().zip(parts).all(|(text, part)| text.contains(part));
    assert!(fits, "{assumed:#?} are not {parts:#?}");
}

#[test]
fn a_package_makes_everything_doubtful_that_is_looked_at_after_it() {
    let machine = MemoryMachine::debian();
    machine.package("web", "1", Release::default()).file("/etc/motd", "hello");
    let overlay = Overlay::new(&machine);
    overlay.files().metadata(&at("/etc/motd")).unwrap();
    assert_assumed(&overlay, &[]);
    overlay.packages().transact(&install("web")).unwrap();
    assert_eq!(overlay.packages().installed("web").unwrap().unwrap().version, "1");
    assert_assumed(&overlay, &["files of package web"]);
    for path in ["/etc/motd", "/etc/web.conf"] {
        overlay.files().probe(&at(path), Some(&bytes("hello"))).unwrap();
    }
    assert_assumed(&overlay, &["before what may come of package web"]);
    write(&overlay, "/etc/own", "x");
    overlay.take_assumptions();
    overlay.files().probe(&at("/etc/own"), Some(&bytes("x"))).unwrap();
    assert_assumed(&overlay, &[]);
    assert!(machine.packages().installed("web").unwrap().is_none());
}

#[test]
fn installing_what_is_installed_changes_nothing() {
    let machine = MemoryMachine::debian();
    machine.package("web", "1", Release::default()).installed("web", "1");
    let overlay = Overlay::new(&machine);
    overlay.packages().transact(&install("web")).unwrap();
    overlay.files().metadata(&at("/etc/motd")).unwrap();
    assert_assumed(&overlay, &[]);
}

#[test]
fn an_unknown_package_is_refused_only_where_the_index_can_tell() {
    let machine = MemoryMachine::debian();
    let refused = Overlay::new(&machine).packages().transact(&install("wbe")).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::NotFound);

    let overlay = Overlay::new(&machine);
    write(&overlay, "/etc/apt/sources.list.d/more.list", "deb http://more /\n");
    overlay.packages().transact(&install("web")).unwrap();
    assert_eq!(overlay.packages().installed("web").unwrap().unwrap().version, UNKNOWN_VERSION);
    assert_assumed(&overlay, &["once it is fetched", "files of package web"]);

    machine.without_index();
    let overlay = Overlay::new(&machine);
    overlay.packages().transact(&install("web")).unwrap();
    assert_assumed(&overlay, &["once it is fetched", "files of package web"]);
}

#[test]
fn accounts_and_units_are_taken_to_come_with_a_package() {
    let machine = MemoryMachine::debian();
    machine.package("db", "1", Release::default());
    let overlay = Overlay::new(&machine);
    let accounts = overlay.accounts();
    assert_eq!(accounts.uid_of("db").unwrap(), None);
    assert!(!overlay.services().status("db.service").unwrap().exists);
    overlay.packages().transact(&install("db")).unwrap();
    overlay.take_assumptions();

    assert!(accounts.user("db").unwrap().is_none(), "who declares the user still sees that it is not there");
    overlay.take_assumptions();
    let uid = accounts.uid_of("db").unwrap().unwrap();
    assert_assumed(&overlay, &["the group db is taken to come with package db", "the user db"]);
    assert_eq!(accounts.user_name(uid).unwrap().as_deref(), Some("db"));
    assert_eq!(accounts.uid_of("db").unwrap(), Some(uid));
    let settings = UserSettings { groups: Some(vec!["ssl-cert".to_owned()]), ..UserSettings::default() };
    accounts.add_user("alice", &settings).unwrap();
    assert_assumed(&overlay, &["the group ssl-cert is taken to come"]);
    assert_eq!(accounts.supplementary_groups("alice").unwrap(), ["ssl-cert"]);

    let status = overlay.services().status("db.service").unwrap();
    assert!(status.exists && status.activity == Activity::Inactive);
    assert_assumed(&overlay, &["the unit db.service is taken to come with package db"]);
    overlay.services().perform("db.service", UnitAction::Enable, LONG).unwrap();
    overlay.services().perform("db.service", UnitAction::Start, LONG).unwrap();
    assert_eq!(overlay.services().status("db.service").unwrap().activity, Activity::Active);
}

#[test]
fn a_command_that_changes_is_not_run_and_what_it_creates_is_whatever_it_must_be() {
    let machine = MemoryMachine::debian();
    machine.command("build", Script::exits(1));
    let overlay = Overlay::new(&machine);
    let mut build = command("build", Purpose::Change);
    build.creates = vec![at("/srv/app/checkout"), at("/srv/image")];
    assert_eq!(overlay.commands().run(&build).unwrap().exit, Exit::Assumed);
    assert!(machine.commands_run().is_empty());
    assert_assumed(&overlay, &["`build` is taken to succeed"]);

    let checkout = overlay.files().metadata(&at("/srv/app/checkout")).unwrap().unwrap();
    assert_eq!(checkout.file_type, FileType::Directory);
    write(&overlay, "/srv/app/checkout/config", "x");
    assert_eq!(overlay.files().list(&at("/srv/app/checkout")).unwrap().len(), 1);

    overlay.take_assumptions();
    let image = overlay.files().probe(&at("/srv/image"), Some(&bytes("x"))).unwrap().unwrap();
    assert_eq!((image.metadata.file_type, image.same), (FileType::Regular, Some(false)));
    assert_assumed(&overlay, &["/srv/image is taken for a file"]);
    write(&overlay, "/srv/image", "x");
    assert_eq!(overlay.files().probe(&at("/srv/image"), Some(&bytes("x"))).unwrap().unwrap().same, Some(true));
}

#[test]
fn a_command_that_cannot_start_is_refused() {
    let machine = MemoryMachine::debian();
    let overlay = Overlay::new(&machine);
    let as_nemo = CommandSpec { user: Some("nemo".to_owned()), ..command("true", Purpose::Change) };
    assert_eq!(overlay.commands().run(&as_nemo).unwrap_err().kind, ErrorKind::NotFound);
    overlay.accounts().add_user("nemo", &UserSettings::default()).unwrap();
    overlay.commands().run(&as_nemo).unwrap();
    let overlay = Overlay::new(&machine);
    let nowhere = CommandSpec { directory: Some(at("/nowhere")), ..command("true", Purpose::Change) };
    assert_eq!(overlay.commands().run(&nowhere).unwrap_err().kind, ErrorKind::NotFound);
}

#[test]
fn a_guard_runs_for_real_and_is_doubted_once_something_changed() {
    let machine = MemoryMachine::debian();
    let overlay = Overlay::new(&machine);
    let guard = command("test -e /srv/x", Purpose::Look);
    assert_eq!(overlay.commands().run(&guard).unwrap().exit, Exit::Code(1));
    assert_assumed(&overlay, &[]);
    write(&overlay, "/srv/x", "");
    assert_eq!(overlay.commands().run(&guard).unwrap().exit, Exit::Code(1));
    assert_assumed(&overlay, &["decided on the machine as it is now"]);
    assert_eq!(machine.commands_run().len(), 2);
}

#[test]
fn a_check_is_not_run_and_content_is_never_fetched_to_be_kept() {
    let machine = MemoryMachine::debian();
    let overlay = Overlay::new(&machine);
    // Nobody has these bytes, and there are more of them than fit into any memory.
    let huge = Content::Blob(BlobRef { digest: Digest::of(b"huge"), size: 1 << 50 });
    let check = |_: &AbsPath| -> converge_model::Result<()> { panic!("the file is not there to be checked") };
    overlay.files().write(&at("/srv/huge"), &huge, Attributes::default(), Some(&check)).unwrap();
    assert_assumed(&overlay, &["`validate` was not run"]);
    let probe = overlay.files().probe(&at("/srv/huge"), Some(&huge)).unwrap().unwrap();
    assert_eq!((probe.same, probe.metadata.size), (Some(true), 1 << 50));
}

#[test]
fn a_package_file_that_the_plan_made_is_known_by_its_name() {
    let machine = MemoryMachine::debian();
    machine.package_file("/srv/tool_1.0_all.deb", "tool", "1.0", Release::default());
    let overlay = Overlay::new(&machine);
    assert_eq!(overlay.packages().inspect(&at("/srv/tool_1.0_all.deb")).unwrap().version, "1.0");
    assert_assumed(&overlay, &[]);
    write(&overlay, "/srv/more_2%3a3-1_amd64.deb", "not looked into");
    let file = overlay.packages().inspect(&at("/srv/more_2%3a3-1_amd64.deb")).unwrap();
    assert_eq!((file.name.as_str(), file.version.as_str()), ("more", "2:3-1"));
    assert_assumed(&overlay, &["what its name says"]);
}

#[test]
fn reading_costs_nothing_where_nothing_changed() {
    let machine = MemoryMachine::debian();
    machine.unit("web.service");
    let overlay = Overlay::new(&machine);
    machine.set_faults(crate::memory::Faults::none());
    overlay.files().probe(&at("/usr/lib/systemd/system/web.service"), Some(&bytes("x"))).unwrap();
    overlay.files().metadata(&at("/lib/systemd/system/web.service")).unwrap();
    overlay.services().status("web.service").unwrap();
    overlay.accounts().user("root").unwrap();
    overlay.packages().installed("apt").unwrap();
    assert_eq!(machine.operations().len(), 5, "{:?}", machine.operations());
    // After a change elsewhere, directories are looked at once, and files once each time.
    write(&overlay, "/srv/x", "");
    machine.set_faults(crate::memory::Faults::none());
    for _ in 0..100 {
        overlay.files().metadata(&at("/lib/systemd/system/web.service")).unwrap();
    }
    assert!(machine.operations().len() < 110, "{}", machine.operations().len());
}
