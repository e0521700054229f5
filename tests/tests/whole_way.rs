//! The whole way on real booted machines: the demo, and a store with a node that an operator looks after.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and looks at the machine itself"
)]

use std::time::{Duration, Instant};

use converge_testbed::{AptRepository, Output, Package, Result, require_machine};
use converge_tests::site::Site;
use serde_json::Value as Json;

/// A machine with the agent, and a repository that has the one package which the quickstart wants.
fn site(name: &str) -> Result<Site> {
    let mut packages = AptRepository::new()?;
    packages.add(&Package::new("tree", "2.1.0-1").file("/usr/bin/tree", "#!/bin/sh\necho a tree\n", 0o755))?;
    Site::boot_with_packages(name, &packages)
}

fn json(output: &Output) -> Json {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", output.stdout, output.stderr))
}

fn count(report: &Json, outcome: &str) -> u64 {
    report["counts"][outcome].as_u64().unwrap_or(0)
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn the_demo_converges_this_machine_twice_and_takes_everything_away_again() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let site = site("demo")?;
    let machine = &site.machine;
    let before =
        machine.shell("getent passwd; getent group; ls -A /etc /srv /usr/local/lib /etc/systemd/system")?.assert_ok();

    // Standard input is no terminal: nobody can be asked, and nothing is done.
    let asked = machine.run(["converge", "demo"])?.assert_ok();
    assert!(asked.stderr.contains("Nothing was changed"), "{}", asked.stderr);
    machine.run(["test", "-e", "/srv/quickstart"])?.assert_code(1);

    let shown = machine.run(["converge", "demo", "--yes", "--json"])?.assert_ok();
    let reports = json(&shown);
    let (plan, first, second) = (&reports[0], &reports[1], &reports[2]);
    assert_eq!(count(plan, "would_update"), count(first, "updated"), "the plan is what happens");
    assert!(count(first, "updated") >= 16, "{first}");
    assert_eq!((count(second, "updated"), count(second, "failed")), (0, 0), "{second}");
    assert_eq!(count(second, "up_to_date"), count(first, "updated") + count(first, "up_to_date"));

    machine.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Version}", "tree"])?.assert_text("ii 2.1.0-1");
    machine
        .run(["stat", "-c", "%U:%G %a %F", "/srv/quickstart/style.css"])?
        .assert_text("quickstart:root 644 regular file");
    machine.run(["readlink", "/srv/quickstart/current"])?.assert_text("releases/2026-11");
    machine.run(["systemctl", "is-active", "quickstart-beat"])?.assert_text("active");
    machine.run(["systemctl", "is-enabled", "quickstart-beat"])?.assert_text("enabled");
    machine.run(["systemctl", "show", "-P", "User", "quickstart-beat"])?.assert_text("quickstart");
    let page = machine.read_file("/srv/quickstart/current/index.html")?;
    assert!(page.contains("Hello from Converge") && page.contains("Debian GNU/Linux"), "{page}");
    machine.shell("getent passwd quickstart | cut -d: -f6-7")?.assert_text("/srv/quickstart:/usr/sbin/nologin");

    // What somebody broke is shown, and mended.
    machine
        .shell("echo broken > /etc/quickstart.conf; rm /srv/quickstart/current; systemctl stop quickstart-beat")?
        .assert_ok();
    let again = json(&machine.run(["converge", "demo", "--yes", "--json"])?.assert_ok());
    assert_eq!((count(&again[0], "would_update"), count(&again[1], "updated"), count(&again[2], "updated")), (3, 3, 0));

    machine.run(["converge", "demo", "--undo", "--yes"])?.assert_ok();
    let after =
        machine.shell("getent passwd; getent group; ls -A /etc /srv /usr/local/lib /etc/systemd/system")?.assert_ok();
    assert_eq!(without_backups(&before.stdout), without_backups(&after.stdout));
    machine.run(["dpkg-query", "-W", "tree"])?.assert_code(1);
    machine.run(["test", "-e", "/var/lib/converge-demo"])?.assert_code(1);
    Ok(())
}

/// The account tools keep the files they replaced as `passwd-`; no one takes those away.
fn without_backups(listing: &str) -> Vec<&str> {
    listing.lines().filter(|line| !line.ends_with('-') && *line != ".pwd.lock").collect()
}

/// Waits until `holds`, and fails with `what` if it does not in time.
fn wait_until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds()? {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

const COOKBOOK: &str = r#"
name = "web"
version = "1.0.0"
description = "A page"

[attributes.title]
type = "string"
default = "by default"
"#;

const RECIPE: &str = r#"
[directory."/srv/web"]

[file."/srv/web/index.html"]
template = "index.html.j2"
notifies = { run = "execute[note]" }

[execute.note]
command = "echo noted >> /srv/web/notes"
run = "when_notified"
"#;

const POLICY: &str = r#"
name = "web"
run_list = ["web"]

[attributes.web]
title = "by policy"

[groups.prod.attributes.web]
title = "by group"
"#;

/// A policy repository on the machine, and a store that serves it.
fn publish_first_revision(site: &Site) -> Result<()> {
    for (path, text) in [
        ("cookbooks/web/cookbook.toml", COOKBOOK),
        ("cookbooks/web/recipes/default.toml", RECIPE),
        ("cookbooks/web/templates/index.html.j2", "{{ attr.web.title }} on {{ node.name }}\n"),
        ("policies/web.toml", POLICY),
    ] {
        site.repository_file(path, text)?;
    }
    site.start_unit("converge-store.service")?;
    site.author()?;
    site.shell("cd /root/policy && converge check && converge publish web --group prod")?;
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn an_operator_publishes_enrols_plans_converges_and_reads_the_report() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let site = site("store")?;
    let machine = &site.machine;
    let early = machine.run(["converge", "--once"])?.assert_code(1);
    assert!(early.stderr.contains("converge enroll"), "{}", early.stderr);

    publish_first_revision(&site)?;
    machine
        .shell("cd /root/policy && converge token create --policy web --group prod --uses 1 | converge enroll --name web-1 -")?
        .assert_ok();
    machine.run(["stat", "-c", "%a", "/etc/converge/node.key"])?.assert_text("600");

    let plan = machine.run(["converge", "plan", "--detailed-exit-code"])?.assert_code(4);
    assert!(plan.stdout.contains("+by group on web-1"), "{}", plan.stdout);
    machine.run(["test", "-e", "/srv/web"])?.assert_code(1);

    let first = json(&machine.run(["converge", "--once", "--json"])?.assert_ok());
    assert_eq!((count(&first, "updated"), first["revision"].as_u64()), (2, Some(1)), "{first}");
    assert_eq!(machine.read_file("/srv/web/index.html")?, "by group on web-1\n");
    assert_eq!(machine.read_file("/srv/web/notes")?, "noted\n");
    let idle = json(&machine.run(["converge", "--once", "--json"])?.assert_ok());
    assert_eq!((count(&idle, "updated"), idle["notifications"].as_array().map_or(0, Vec::len)), (0, 0), "{idle}");

    let nodes = json(&machine.run(["converge", "nodes", "--json"])?.assert_ok());
    assert_eq!((nodes[0]["name"].as_str(), nodes[0]["run_revision"].as_u64()), (Some("web-1"), Some(1)));
    assert_eq!(nodes[0]["last_run"]["run"], idle["run"]);
    let shown = machine.run(["converge", "report", first["run"].as_str().unwrap()])?.assert_ok();
    assert!(
        shown.stdout.contains("file[/srv/web/index.html]") && shown.stdout.contains("execute[note]"),
        "{}",
        shown.stdout
    );
    let why = machine.run(["converge", "why", "file[/srv/web/index.html]"])?.assert_ok();
    assert!(why.stdout.contains("recipes/default.toml:4") && why.stdout.contains("web 1.0.0"), "{}", why.stdout);
    assert!(why.stdout.contains("by group"), "{}", why.stdout);

    // A store that is away is no obstacle: what it said last goes on, and the report waits.
    machine.run(["systemctl", "stop", "converge-store"])?.assert_ok();
    machine.run(["rm", "/srv/web/index.html"])?.assert_ok();
    let alone = json(&machine.run(["converge", "--once", "--json"])?.assert_ok());
    assert_eq!(count(&alone, "updated"), 1, "{alone}");
    assert!(alone["remarks"].to_string().contains("the policy that the store gave last"), "{alone}");
    machine.run(["systemctl", "start", "converge-store"])?.assert_ok();
    machine.run(["converge", "--once"])?.assert_ok();
    machine.run(["converge", "report", alone["run"].as_str().unwrap()])?.assert_ok();
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn the_daemon_converges_on_its_interval_and_ends_whole() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let site = site("daemon")?;
    let machine = &site.machine;
    publish_first_revision(&site)?;
    machine
        .shell("cd /root/policy && converge token create --policy web --group prod | converge enroll --name web-1 -")?
        .assert_ok();
    machine.write_file("/etc/converge/agent.toml", "interval = \"1s\"\n")?;
    machine.shell("mkdir /etc/systemd/system/converge.service.d")?.assert_ok();
    machine.write_file("/etc/systemd/system/converge.service.d/watchdog.conf", "[Service]\nWatchdogSec=3s\n")?;
    site.start_unit("converge.service")?;
    let exists = |path: &str| machine.run(["test", "-e", path]).map(|output| output.success());
    wait_until("the daemon never converged", || exists("/srv/web/index.html"))?;
    for _ in 0..3 {
        machine.run(["rm", "/srv/web/index.html"])?.assert_ok();
        wait_until("the daemon mended nothing", || exists("/srv/web/index.html"))?;
    }

    // What is published next is converged without anybody's doing.
    machine
        .shell("cd /root/policy && sed -i 's/by group/anew/' policies/web.toml && converge publish web --group prod")?
        .assert_ok();
    wait_until("the daemon took no new revision", || {
        Ok(machine.read_file("/srv/web/index.html")? == "anew on web-1\n")
    })?;

    // Between two runs it is alive for the service manager, and says what it waits for.
    machine.write_file("/etc/converge/agent.toml", "interval = \"1000h\"\n")?;
    machine.run(["systemctl", "reload", "converge"])?.assert_ok();
    let shown = |property: &str| Ok(machine.run(["systemctl", "show", "-P", property, "converge"])?.assert_ok().stdout);
    wait_until("the daemon never waited", || Ok(shown("StatusText")?.starts_with("converges next at ")))?;
    machine.run(["sleep", "5"])?.assert_ok();
    assert_eq!(shown("NRestarts")?.trim(), "0");
    machine.run(["rm", "/srv/web/index.html"])?.assert_ok();
    machine.run(["systemctl", "kill", "--signal=USR1", "--kill-whom=main", "converge"])?.assert_ok();
    wait_until("the daemon did not converge when it was told to", || exists("/srv/web/index.html"))?;

    machine.run(["systemctl", "stop", "converge"])?.assert_ok();
    machine.run(["systemctl", "show", "-P", "Result", "converge"])?.assert_text("success");
    let nodes = json(&machine.run(["converge", "nodes", "--json"])?.assert_ok());
    assert_eq!(nodes[0]["last_run"]["conclusion"], "succeeded");
    assert_eq!((nodes[0]["run_revision"].as_u64(), nodes[0]["wanted_revision"].as_u64()), (Some(2), Some(2)));
    let reports = json(&machine.run(["converge", "report", "--json", "--limit", "500"])?.assert_ok());
    let local = json(&machine.run(["converge", "report", "--local", "--json", "--limit", "500"])?.assert_ok());
    assert!(reports.as_array().unwrap().len() >= 5);
    assert_eq!(reports[0]["run"], local[0]["run"], "the newest report of the machine is at the store");
    Ok(())
}
