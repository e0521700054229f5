//! What a run overwrote is put back: byte for byte where it can be, and said where it cannot; also of a run that was killed,
//! and by an undoing that was.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use converge_engine::Undo;
use converge_model::{Catalog, ErrorKind, Outcome};
use converge_system::memory::{Faults, MemoryMachine, Operation};
use converge_tests::scenario::{Node, Told, difference, machine, repository, words};
use converge_tests::site::Site;

const MACHINE: &str = r#"
directories = ["/srv/old/sub/deep", "/srv/empty"]
[files]
"/etc/edited" = "by hand\n"
"/etc/private" = "hunter2\n"
"/etc/mode" = "m"
"/etc/gone" = "gone\n"
"/etc/replaced" = "a file\n"
"/srv/old/stray" = "stray"
"/srv/old/sub/deep/file" = "deep"
[links]
"/srv/old/link" = "elsewhere"
"/etc/link" = "old"
"/etc/was-link" = "/etc/edited"
[users]
alice = 1500
[groups]
staff = 700
[units."web.service"]
running = true
[units."off.service"]
"#;

/// Everything that can be put back whole, in each way in which it is overwritten.
const FILES: &str = r#"
[file."/etc/edited"]
content = "by Converge\n"
owner = "alice"

[file."/etc/private"]
content = "hunter3\n"

[file."/etc/mode"]
mode = "0600"
group = "staff"

[file."/etc/gone"]
ensure = "absent"

[file."/etc/made"]
content = "made\n"

[file."/etc/was-link"]
content = "a file now\n"

[link."/etc/link"]
to = "new"

[link."/etc/made-link"]
to = "made"

[link."/etc/replaced"]
to = "made"
force = true

[directory."/srv/old"]
purge = true
mode = "0750"

[directory."/srv/empty"]
ensure = "absent"

[directory."/srv/a/b/c"]
parents = true

[file."/srv/a/b/c/file"]
content = "x"
"#;

const REST: &str = r#"
[group.staff]
gid = 701
members = ["www-data"]

[group.made]

[user.alice]
shell = "/bin/zsh"
groups = ["adm"]

[user.bob]

[service.web]
running = false

[service.off]
running = true
enabled = true
"#;

/// The node before, the catalog, and its operations from here on counted.
fn node(recipe: &str) -> (Node, Catalog) {
    let machine = machine(MACHINE);
    machine.mode("/etc/private", 0o600).owner("/srv/old/stray", 1500, 700).mode("/srv/old/stray", 0o640);
    // What a run wrote is not kept, and only needed here to say how it differs.
    machine.blobs().insert(*b"by Converge\n");
    let node = Node::new(machine);
    let (catalog, _) = node.catalog(&repository(recipe), "test").unwrap();
    (node, catalog)
}

fn how(node: &Node, position: usize) -> Undo {
    node.how_to_undo(position, &[], false).unwrap()
}

/// Undoes a run, and demands that the plan told what is done, and that doing it again does nothing.
fn undone(node: &Node, position: usize) -> Told {
    let undo = how(node, position);
    assert_eq!(undo.refused, 0, "{:?}", undo.catalog);
    let before = node.machine.clone();
    let plan = words(&node.plan_undo(&undo, position));
    assert_eq!(node.machine.changes_since(&before), "", "a plan changed the machine");
    let told = node.undo(&undo, position, true);
    assert!(told.report.conclusion.is_success(), "{}", words(&told));
    assert_eq!(plan.replace("would update", "updated     "), words(&told));
    let again = node.undo(&how(node, position), position, true);
    assert!(!again.report.has_changes(), "{}", words(&again));
    told
}

fn is_as(node: &Node, before: &MemoryMachine, what: &str) {
    let changes = node.machine.changes_since(before);
    assert!(changes.is_empty(), "{what}: not as it was\n{changes}");
}

#[test]
fn files_links_and_directories_are_put_back_as_they_were() {
    let (node, catalog) = node(FILES);
    let before = node.machine.clone();
    assert!(node.run(&catalog).report.conclusion.is_success());
    let after = node.machine.clone();
    let told = undone(&node, 0);
    is_as(&node, &before, "undone");
    let text = format!("{} {}", words(&told), serde_json::to_string(&told.report).unwrap());
    assert!(!text.contains("hunter"), "what not everybody may read is shown: {text}");
    assert!(text.contains("by hand"), "what everybody may read is shown: {text}");
    // Undoing is a run that can be undone.
    undone(&node, 1);
    is_as(&node, &after, "the undoing undone");
    undone(&node, 0);
    is_as(&node, &before, "undone once more");
}

#[test]
fn accounts_and_services_are_put_back_as_far_as_that_is_sound() {
    let (node, catalog) = node(REST);
    let before = node.machine.clone();
    assert!(node.run(&catalog).report.conclusion.is_success());
    undone(&node, 0);
    // But for how often they were started and stopped.
    let changes = node.machine.changes_since(&before);
    let (old, new): (Vec<&str>, Vec<&str>) = changes.lines().partition(|line| line.starts_with("- "));
    let state = |line: &str| line[2..].split(" started=").next().map(str::to_owned);
    assert_eq!(
        old.iter().map(|line| state(line)).collect::<Vec<_>>(),
        new.iter().map(|line| state(line)).collect::<Vec<_>>()
    );
    assert!(changes.lines().all(|line| line[2..].starts_with("unit ")), "{changes}");
}

#[test]
fn packages_are_taken_back_and_what_is_not_is_said() {
    const PACKAGES: &str = "[packages.new.\"1\"]\n[packages.tool.\"1\"]\n[packages.tool.\"2\"]\n[packages.bye.\"1\"]\n\
        [installed]\ntool = \"1\"\nbye = \"1\"\n[commands.\"note x\"]\n";
    let node = Node::new(machine(PACKAGES));
    let recipe =
        "[package.new]\n[package.tool]\nversion = \">= 2\"\n[package.bye]\nensure = \"purged\"\n[execute.\"note x\"]\n";
    let (catalog, _) = node.catalog(&repository(recipe), "test").unwrap();
    let version = |name: &str| {
        converge_model::system::Packages::installed(&node.machine, name).unwrap().map(|found| found.version)
    };
    node.run(&catalog);
    assert_eq!((version("new").as_deref(), version("tool").as_deref(), version("bye")), (Some("1"), Some("2"), None));
    let undo = how(&node, 0);
    let lost = undo.lost.join("\n");
    for part in ["package[new]: what came along", "package[bye]: the configuration files", "execute[note x]: a command"]
    {
        assert!(lost.contains(part), "{lost}");
    }
    assert!(node.undo(&undo, 0, true).report.conclusion.is_success());
    assert_eq!((version("tool").as_deref(), version("bye").as_deref()), (Some("1"), Some("1")));
    assert!(
        converge_model::system::Packages::installed(&node.machine, "new")
            .unwrap()
            .is_none_or(|found| found.state != converge_model::system::packages::PackageState::Installed)
    );
}

#[test]
fn what_was_touched_since_is_refused() {
    let (node, catalog) = node(FILES);
    node.run(&catalog);
    node.machine.file("/etc/edited", "by hand again\n").mode("/etc/mode", 0o611);
    let (second, _) = node.catalog(&repository("[file.\"/etc/made\"]\ncontent = \"later\\n\"\n"), "test").unwrap();
    node.run(&second);
    let undo = how(&node, 0);
    let refused: Vec<String> = undo
        .catalog
        .resources
        .iter()
        .filter_map(|resource| Some(format!("{}: {}", resource.id, resource.skipped.as_ref()?)))
        .collect();
    assert_eq!(undo.refused, 3, "{refused:?}");
    let later = node.images()[1].run;
    for expected in [
        format!("file[/etc/made]: a later run touched it: undo {later} first, or say --force"),
        "file[/etc/mode]: it is not as the run left it (mode); --force overwrites it".to_owned(),
        "file[/etc/edited]: it is not as the run left it (content); --force overwrites it".to_owned(),
    ] {
        assert!(refused.contains(&expected), "{expected} in {refused:?}");
    }
    let told = node.undo(&undo, 0, true);
    assert_eq!(told.report.count(Outcome::Skipped), 3, "{}", words(&told));
    assert_eq!(node.machine.content("/etc/edited").as_deref(), Some(&b"by hand again\n"[..]));
    assert_eq!(node.machine.content("/etc/gone").as_deref(), Some(&b"gone\n"[..]));
    // Once the later run is undone, what it touched can be put back; with --force, all can.
    undone(&node, 1);
    assert_eq!(how(&node, 0).refused, 2);
    let forced = node.how_to_undo(0, &[], true).unwrap();
    assert_eq!(forced.refused, 0);
    node.undo(&forced, 0, true);
    assert_eq!(node.machine.content("/etc/edited").as_deref(), Some(&b"by hand\n"[..]));
    assert_eq!(node.machine.content("/etc/made"), None);
}

#[test]
fn only_what_is_named_is_undone() {
    let (node, catalog) = node(FILES);
    node.run(&catalog);
    let undo = node.how_to_undo(0, &["file[/etc/gone]", "/srv/old/stray"], false).unwrap();
    let ids: Vec<String> = undo.catalog.resources.iter().map(|resource| resource.id.to_string()).collect();
    assert_eq!(ids, ["file[/srv/old/stray]", "file[/etc/gone]"]);
    let all_of_one = node.how_to_undo(0, &["directory[/srv/old]"], false).unwrap();
    assert_eq!(all_of_one.catalog.resources.len(), 6, "{:?}", all_of_one.catalog.resources);
    let error = node.how_to_undo(0, &["/etc/nowhere"], false).unwrap_err();
    assert!(error.to_string().contains("overwrote nothing of it"), "{error}");
}

#[test]
fn what_is_too_long_is_not_kept_and_said_to_be_lost() {
    let (node, _) = node("");
    node.machine.file("/etc/edited", vec![b'x'; 5_000]);
    let (catalog, _) = node.catalog(&repository("[file.\"/etc/edited\"]\ncontent = \"short\"\n"), "test").unwrap();
    assert!(node.run(&catalog).report.conclusion.is_success());
    let undo = how(&node, 0);
    assert_eq!((undo.catalog.resources.len(), undo.lost.len()), (0, 1));
    assert!(undo.lost[0].contains("/etc/edited is not put back: it held 5000 bytes"), "{:?}", undo.lost);
}

#[test]
fn what_cannot_be_kept_is_not_changed() {
    let (fresh, catalog) = node(FILES);
    let before = fresh.machine.clone();
    let mut failed = 0;
    for at in 1.. {
        let node = fresh.clone();
        let disturbed = node.disturbed_run(&catalog, Faults::once(at, ErrorKind::NoSpace), true);
        if !disturbed.fired {
            break;
        }
        // Whatever failed: what was changed is put back.
        if !node.images().is_empty() {
            let told = node.undo(&how(&node, 0), 0, true);
            assert!(told.report.conclusion.is_success(), "fault at {at}: {}", words(&told));
        }
        is_as(&node, &before, &format!("fault at {at}"));
        // What cannot be kept ahead is kept in its turn. Where that fails, too, it is left as it is.
        let is_kept = |operation: &&Operation| operation.name == "keep";
        let Some(first) = disturbed.operations.iter().find(|operation| operation.number == at).filter(is_kept) else {
            continue;
        };
        let mut later = disturbed.operations.iter().filter(|operation| operation.number > at);
        let second = later.find(|operation| operation.name == "keep" && operation.subject == first.subject);
        let node = fresh.clone();
        let faults = match second {
            Some(second) => Faults::once(at, ErrorKind::NoSpace).and(Faults::once(second.number, ErrorKind::NoSpace)),
            None => Faults::once(at, ErrorKind::NoSpace),
        };
        node.disturbed_run(&catalog, faults, true);
        let path = &first.subject;
        assert_eq!(node.machine.content(path), before.content(path), "{path} was changed without being kept");
        failed += 1;
    }
    assert!(failed >= 4, "only {failed} contents were to be kept");
}

#[test]
fn a_run_that_was_killed_anywhere_is_undone() {
    let (fresh, catalog) = node(FILES);
    let before = fresh.machine.clone();
    for at in 1.. {
        let node = fresh.clone();
        let disturbed = node.disturbed_run(&catalog, Faults::crash(at), false);
        if !node.images().is_empty() {
            let told = node.undo(&how(&node, 0), 0, true);
            assert!(told.report.conclusion.is_success(), "killed at {at}: {}", words(&told));
        }
        is_as(&node, &before, &format!("killed at {at}"));
        if !disturbed.fired {
            assert!(at > 60, "only {at} operations");
            return;
        }
    }
}

#[test]
fn an_undoing_that_was_killed_anywhere_is_done_again() {
    let (converged, catalog) = node(FILES);
    let before = converged.machine.clone();
    converged.run(&catalog);
    for at in 1.. {
        let node = converged.clone();
        let undo = how(&node, 0);
        node.machine.set_faults(Faults::crash(at));
        node.undo(&undo, 0, false);
        let fired = node.machine.fault_fired();
        node.machine.revive();
        node.machine.set_faults(Faults::none());
        let undo = how(&node, 0);
        let refused: Vec<_> = undo.catalog.resources.iter().filter_map(|resource| resource.skipped.clone()).collect();
        assert!(refused.is_empty(), "killed at {at}: {refused:?}");
        let told = node.undo(&undo, 0, true);
        assert!(told.report.conclusion.is_success(), "killed at {at}: {}", words(&told));
        is_as(&node, &before, &format!("killed at {at}"));
        if !fired {
            assert!(at > 40, "only {at} operations");
            return;
        }
    }
}

#[test]
fn undoing_leaves_ledger_and_what_is_due_alone() {
    let (node, catalog) = node(FILES);
    let first = words(&node.run(&catalog));
    undone(&node, 0);
    let again = node.run(&catalog);
    let changed =
        |text: &str| text.lines().filter(|line| line.starts_with("updated")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(changed(&words(&again)), changed(&first), "{}", difference(&first, &words(&again)));
    assert!(again.report.remarks.is_empty(), "{:?}", again.report.remarks);
}

/// A line for everything below /srv: what it is, whose, with which rights, where it leads, and what it holds.
const LOOK: &str = "cd /srv; find . -exec stat -c '%n %F %U %G %a' {} + | sort; find . -type l -printf '%p %l\\n' | sort; \
    find . -type f -exec sha256sum {} + | sort; systemctl is-active app || true; getent passwd made || echo no user made";

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn a_real_machine_is_as_it_was() -> converge_testbed::Result<()> {
    if !converge_testbed::require_machine() {
        return Ok(());
    }
    let site = Site::boot("undo")?;
    site.shell(
        "mkdir -p /srv/purged/deep /srv/attributes; head -c 300000 /dev/urandom > /srv/purged/deep/binary
         echo old > /srv/edited; echo gone > /srv/gone; chmod 4711 /srv/gone; chown www-data: /srv/gone
         ln -s /etc/shadow /srv/purged/link; ln -s old /srv/link; echo x > /srv/replaced; chmod 600 /srv/replaced
         printf '[Service]\\nExecStart=/bin/sleep infinity\\n' > /etc/systemd/system/app.service
         systemctl daemon-reload; systemctl start app",
    )?;
    let before = site.shell(LOOK)?;
    let shadow = site.shell("sha256sum < /etc/shadow")?;
    site.recipe(
        r#"
        [file."/srv/edited"]
        content = "new\n"
        owner = "www-data"
        mode = "0640"

        [file."/srv/gone"]
        ensure = "absent"

        [directory."/srv/purged"]
        purge = true

        [directory."/srv/attributes"]
        owner = "www-data"
        mode = "2750"

        [directory."/srv/made/deep"]
        parents = true

        [file."/srv/made/deep/file"]
        content = "made\n"

        [link."/srv/link"]
        to = "new"

        [link."/srv/replaced"]
        to = "edited"
        force = true

        [service.app]
        running = false

        [user.made]
        "#,
    )?;
    site.settle()?;
    let after = site.shell(LOOK)?;
    assert_ne!(before, after);
    site.shell("converge undo last --plan --json > /root/plan; converge undo last --yes --json > /root/run")?;
    assert_eq!(difference(&before, &site.shell(LOOK)?), "");
    assert_eq!(shadow.len(), site.shell("sha256sum < /etc/shadow")?.len());
    site.shell(
        "test $(grep -c would_update /root/plan) -gt 8; grep -q '\"undoes\"' /root/run; ! grep -q failed /root/run",
    )?;
    // The undoing is undone, and the policy finds nothing to do.
    site.shell("converge undo last --yes")?;
    assert_eq!(difference(&after, &site.shell(LOOK)?), "");
    site.idle()?;
    // What was touched since is left, and said.
    site.shell("echo by hand > /srv/edited")?;
    let refused = site.shell("converge undo last --yes && echo code 0 || echo code $?")?;
    assert!(refused.contains("code 2") && refused.contains("it is not as the run left it (content)"), "{refused}");
    assert_eq!(site.shell("cat /srv/edited")?, "by hand");
    Ok(())
}
