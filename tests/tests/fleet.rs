//! A store and three nodes, each a booted machine in a network namespace of its own: one is cut off, one has a wrong clock,
//! one is rebuilt, one is revoked; one hears of news, reads secrets, and sees its store restored from a copy.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and looks at the machines itself"
)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use converge_testbed::{MachineOptions, Network, Output, Result, agent_binary, require_machine, target_directory};
use converge_tests::site::Site;
use serde_json::Value as Json;

const COOKBOOK: &str = "name = 'page'\nversion = '1.0.0'\n";
const RECIPE: &str = "[file.'/srv/page']\ncontent = 'TEXT'\n";
const POLICY: &str = "name = 'page'\nrun_list = ['page']\n";
/// Puts a library before the C library of the agent, which makes its clock wrong by fifty years.
const WRONG_CLOCK: &str =
    "[Service]\nEnvironment=LD_PRELOAD=/usr/local/bin/wrong_clock.so CLOCK_WRONG_BY=-1577880000\n";

struct Fleet {
    network: Network,
    store: Site,
}

impl Fleet {
    /// A store that every machine of the network reaches, and its operator's desk beside it.
    fn boot() -> Result<Self> {
        let network = Network::create()?;
        let store = Site::boot(MachineOptions::named("store").network(&network))?;
        let address = store.machine.address().unwrap();
        let listens = format!(
            "[Service]\nExecStart=\nExecStart=/usr/local/bin/converge store --data ${{STATE_DIRECTORY}} \
             --listen 0.0.0.0:8600 --name {address}\n"
        );
        store.machine.write_file("/etc/systemd/system/converge-store.service.d/listen.conf", listens)?;
        store.start_unit("converge-store.service")?;
        store.author()?;
        store.repository_file("cookbooks/page/cookbook.toml", COOKBOOK)?;
        store.repository_file("policies/page.toml", POLICY)?;
        Ok(Self { network, store })
    }

    fn publish(&self, text: &str) -> Result<()> {
        self.store.repository_file("cookbooks/page/recipes/default.toml", &RECIPE.replace("TEXT", text))?;
        self.store.shell("cd /root/policy && converge publish page --group prod")?;
        Ok(())
    }

    /// What the operator's command says, as JSON.
    #[track_caller]
    fn operate(&self, arguments: &str) -> Result<Json> {
        Ok(json(&self.store.machine.shell(&format!("cd /root/policy && converge {arguments} --json"))?.assert_ok()))
    }

    fn machine(&self, name: &str) -> Result<Site> {
        Site::boot(MachineOptions::named(name).network(&self.network))
    }

    /// A machine that is a node, with a daemon that converges each second.
    fn node(&self, name: &str, join: &str) -> Result<Site> {
        let site = self.machine(name)?;
        site.machine.write_file("/root/join", join)?;
        site.machine.run(["converge", "enroll", "--name", name, "--join-file", "/root/join"])?.assert_ok();
        start(&site)?;
        Ok(site)
    }

    /// The runs of a node that the store has reports of, newest first.
    fn runs(&self, name: &str) -> Result<Vec<String>> {
        Ok(runs(&self.operate(&format!("report --node {name} --limit 1000"))?))
    }
}

fn start(site: &Site) -> Result<()> {
    site.machine.write_file("/etc/converge/agent.toml", "interval = \"1s\"\nkeep_reports = 1000\n")?;
    site.start_unit("converge.service")
}

fn json(output: &Output) -> Json {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", output.stdout, output.stderr))
}

fn runs(reports: &Json) -> Vec<String> {
    reports.as_array().unwrap().iter().map(|report| report["run"].as_str().unwrap().to_owned()).collect()
}

fn local_reports(site: &Site) -> Result<Json> {
    Ok(json(&site.machine.run(["converge", "report", "--local", "--json", "--limit", "1000"])?.assert_ok()))
}

/// Waits until `holds`, and fails with `what` if it does not in time.
#[track_caller]
fn wait_until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds()? {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// Waits until the node's page says this.
#[track_caller]
fn wait_for_page(site: &Site, text: &str) -> Result<()> {
    let what = format!("{} never said {text:?}", site.machine.name());
    wait_until(&what, || Ok(site.machine.run(["cat", "/srv/page"])?.text() == text))
}

/// The library that makes a clock wrong, of the C compiler that links Rust programs.
fn wrong_clock() -> PathBuf {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../agent/converge/tests/agent/wrong_clock.c");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wrong_clock.so");
    let made = Command::new("cc").args(["-shared", "-fPIC", source, "-o"]).arg(&library).status();
    assert!(made.expect("a C compiler").success());
    library
}

/// An agent that is linked to the C library when it starts, so that its clock can be made wrong. The one that ships is not;
/// the one that the tests of the whole workspace run is.
fn dynamic_agent() -> Result<PathBuf> {
    let agent = agent_binary()?;
    let linker = b"/ld-linux";
    let is_dynamic = std::fs::read(&agent).unwrap().windows(linker.len()).any(|part| part == linker);
    Ok(if is_dynamic { agent } else { target_directory().join("debug/converge") })
}

#[test]
#[ignore = "needs root and booted machines; run by cargo xtask test"]
fn a_fleet_converges_whatever_becomes_of_its_nodes() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let fleet = Fleet::boot()?;
    fleet.publish("one")?;
    let join = fleet.operate("token create --policy page --group prod --uses 3")?;
    let join = join["join"].as_str().unwrap();
    let cut_off = fleet.node("web-1", join)?;
    let early = fleet.node("web-2", join)?;
    let old = fleet.node("web-3", join)?;
    for node in [&cut_off, &early, &old] {
        wait_for_page(node, "one")?;
    }

    // Fifty years too early it was, from now on.
    early.machine.push_binary(&dynamic_agent()?)?;
    early.machine.push_binary(&wrong_clock())?;
    early.machine.write_file("/etc/systemd/system/converge.service.d/clock.conf", WRONG_CLOCK)?;
    early.shell("systemctl daemon-reload; systemctl restart converge")?;
    // One is cut off, and mends what somebody breaks all the same.
    cut_off.machine.set_cable(false)?;
    fleet.publish("two")?;
    wait_for_page(&early, "two")?;
    wait_for_page(&old, "two")?;
    cut_off.shell("echo broken > /srv/page")?;
    wait_for_page(&cut_off, "one")?;
    let newest = local_reports(&early)?[0]["started"].as_i64().unwrap();
    assert!(newest < 1_000_000_000_000, "its clock was never wrong: {newest}");

    // One is rebuilt: another machine with its name, one command on it, and one approval.
    drop(old);
    let rebuilt = fleet.machine("web-3")?;
    let join = fleet.operate("token create --policy page --group prod --uses 1")?;
    rebuilt.machine.write_file("/root/join", join["join"].as_str().unwrap())?;
    let enrolling = rebuilt.machine.spawn(["converge", "enroll", "--name", "web-3", "--join-file", "/root/join"])?;
    wait_until("nobody waits", || Ok(!fleet.operate("node waiting")?.as_array().unwrap().is_empty()))?;
    let fingerprint = json(&rebuilt.machine.run(["converge", "key", "show", "--json"])?.assert_ok());
    let fingerprint = fingerprint["fingerprint"].as_str().unwrap();
    fleet.operate(&format!("node approve web-3 --fingerprint {fingerprint}"))?;
    enrolling.wait(Duration::from_secs(30))?.assert_ok();
    start(&rebuilt)?;
    wait_for_page(&rebuilt, "two")?;

    // The one that was cut off catches up, and no report of it is lost or doubled.
    cut_off.machine.set_cable(true)?;
    wait_for_page(&cut_off, "two")?;
    cut_off.shell("systemctl stop converge")?;
    let own = runs(&local_reports(&cut_off)?);
    assert_eq!(fleet.runs("web-1")?, own);

    // One is revoked: it is told nothing new, and goes on with what it has.
    fleet.operate("node revoke web-2")?;
    fleet.publish("three")?;
    wait_for_page(&rebuilt, "three")?;
    early.shell("echo broken > /srv/page")?;
    wait_for_page(&early, "two")?;
    let newest = runs(&local_reports(&early)?).remove(0);
    let said = early.machine.run(["converge", "report", &newest, "--local", "--json"])?.assert_ok();
    assert!(said.stdout.contains("web-2 was revoked"), "{}", said.stdout);
    let told = fleet.runs("web-2")?.len();
    fleet.operate("node revoke web-2 --undo")?;
    wait_for_page(&early, "three")?;
    early.shell("systemctl stop converge")?;
    let own = runs(&local_reports(&early)?);
    let at_store = fleet.runs("web-2")?;
    assert!(at_store.len() > told);
    assert_eq!(at_store, own, "what it could not tell meanwhile, it tells now");
    Ok(())
}

/// A moment that the daemon has to wait for by itself: it hears of news between two of them.
const LONG: &str = "interval = \"30m\"\nkeep_reports = 1000\n";
/// Within this time a change that was published begins to be converged.
const SOON: Duration = Duration::from_secs(2);

/// Now, by the clock that this machine and those booted on it share.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

#[test]
#[ignore = "needs root and booted machines; run by cargo xtask test"]
fn a_node_hears_of_news_reads_secrets_and_goes_on_with_a_store_that_was_restored() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let fleet = Fleet::boot()?;
    let store = &fleet.store;
    store.shell("cd /root/policy && converge secret init && converge secret rule edges --policy page --tag edge")?;
    store.shell("cd /root/policy && echo first | converge secret set word --rule edges")?;
    fleet.publish("{{ secret(\"word\") }}")?;
    let join = |tag: &str| -> Result<String> {
        let made = fleet.operate(&format!("token create --policy page --group prod --uses 1 {tag}"))?;
        Ok(made["join"].as_str().unwrap().to_owned())
    };
    let node = fleet.machine("web-1")?;
    node.machine.write_file("/root/join", join("--tag edge")?)?;
    node.machine.run(["converge", "enroll", "--name", "web-1", "--join-file", "/root/join"])?.assert_ok();
    node.machine.write_file("/etc/converge/agent.toml", LONG)?;
    // It reads what it needs in its first run, and nobody at a desk had to let it in.
    node.start_unit("converge.service")?;
    wait_for_page(&node, "first")?;

    // It leaves the rule, and a value that is set from then on is none of its business.
    fleet.operate("node tag web-1 --remove edge")?;
    store.shell("cd /root/policy && converge secret rotate edges")?;
    store.shell("cd /root/policy && echo second | converge secret set word --rule edges")?;
    let run = node.machine.run(["converge", "--once", "--json"])?;
    assert_ne!(run.code(), Some(0), "{}", run.stdout);
    let said = node.machine.run(["grep", "-rl", "second", "/srv", "/var/lib/converge", "/etc/converge"])?;
    assert_eq!(said.text(), "", "it knows what was set after it had left");

    // What is published begins to be converged at once, though its own moment is far away.
    std::thread::sleep(Duration::from_secs(2));
    fleet.publish("two")?;
    let published = now();
    wait_for_page(&node, "two")?;
    let begun = local_reports(&node)?[0]["started"].as_i64().unwrap();
    assert!(begun - published <= i64::try_from(SOON.as_millis()).unwrap(), "after {} ms", begun - published);

    // Copied while it runs; what happens after that, a store that is restored does not know.
    let data = "/var/lib/private/converge-store";
    let later = join("")?;
    store.shell(&format!("converge store backup /root/copy --data {data}"))?;
    fleet.publish("three")?;
    wait_for_page(&node, "three")?;
    store.shell(&format!(
        "systemctl stop converge-store && mv {data} /root/lost && converge store restore /root/copy --data {data} && \
         systemctl start converge-store"
    ))?;
    node.shell("echo broken > /srv/page; systemctl kill --signal=SIGUSR1 --kill-whom=main converge")?;
    wait_for_page(&node, "three")?;
    store.repository_file("cookbooks/page/recipes/default.toml", &RECIPE.replace("TEXT", "four"))?;
    store.shell("cd /root/policy && converge publish page --group prod --serial 20")?;
    wait_for_page(&node, "four")?;
    let other = fleet.node("web-2", &later)?;
    wait_for_page(&other, "four")?;
    let newest = runs(&local_reports(&node)?).remove(0);
    wait_until("its newest report never came to the store", || Ok(fleet.runs("web-1")?.contains(&newest)))
}
