//! Push: machines with nothing installed are converged over real SSH, from a desk in the same network.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and looks at the machines itself"
)]

use std::time::{Duration, Instant};

use converge_testbed::{Machine, MachineOptions, Network, Output, Result, require_machine};
use converge_tests::site::Site;
use serde_json::Value as Json;

const RECIPE: &str = "[file.'/etc/pushed']\ncontent = 'by {{ attr.test.who }}'\nmode = '0640'\n";
const COOKBOOK: &str = "name = 'test'\nversion = '1.0.0'\n[attributes.who]\ntype = 'string'\ndefault = 'a desk'\n";

/// A recipe that takes its time.
const SLOW: &str = "[execute.slow]\ncommand = 'touch /run/begun; sleep 3'\nnot_if = 'test -e /etc/after'\n\
                    [file.'/etc/after']\ncontent = 'x'\n";

/// What a login shell may print, and what a machine says to whoever comes.
const NOISE: &str = "echo 'Welcome! {\"done\":[]}'; echo oops >&2; printf 'no line'";

/// A desk with the agent and a policy, and two machines that have neither.
struct Office {
    desk: Site,
    /// Only root logs in.
    web: Machine,
    /// `ops` logs in, and may do anything by sudo; `ana` must give a password for it; `guest` may not.
    shop: Machine,
}

impl Office {
    fn open() -> Result<Self> {
        let network = Network::create()?;
        let desk = Site::boot(MachineOptions::named("desk").network(&network))?;
        let [web, shop] = ["web", "shop"].map(|name| Machine::boot(MachineOptions::named(name).network(&network)));
        let office = Self { desk, web: web?, shop: shop? };
        office.desk.recipe(RECIPE)?;
        office.desk.repository_file("cookbooks/test/cookbook.toml", COOKBOOK)?;
        let key = office.desk.shell(
            "mkdir -p -m 700 /root/.ssh; cd /root/.ssh; ssh-keygen -q -t ed25519 -N '' -f id_ed25519; cat id_ed25519.pub",
        )?;
        let let_in = |home: &str, owner: &str| {
            format!(
                "mkdir -p -m 700 {home}/.ssh; echo '{key}' > {home}/.ssh/authorized_keys; chown -R {owner}: {home}/.ssh\n"
            )
        };
        office.web.shell(&let_in("/root", "root"))?.assert_ok();
        let mut script =
            "echo 'ops ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/ops; echo 'ana ALL=(ALL) ALL' > /etc/sudoers.d/ana\n"
                .to_owned();
        for user in ["ops", "ana", "guest"] {
            script += &format!("useradd -m -s /bin/bash {user}; echo '{user}:sesame' | chpasswd\n");
            script += &let_in(&format!("/home/{user}"), user);
        }
        script += &format!("cat > /home/ops/.bashrc <<'E'\n{NOISE}\nE\n");
        office.shop.shell(&script)?.assert_ok();
        let hosts = format!("{} web\n{} shop\n", office.web.address().unwrap(), office.shop.address().unwrap());
        office.desk.machine.write_file("/etc/hosts", format!("127.0.0.1 localhost desk\n{hosts}"))?;
        office.desk.shell("ssh-keyscan -t ed25519 web shop > /root/.ssh/known_hosts 2>/dev/null")?;
        Ok(office)
    }

    fn push_exec(&self, arguments: &str) -> Result<Output> {
        self.desk.machine.shell(&format!("converge exec {arguments}"))
    }

    fn push(&self, arguments: &str) -> Result<Output> {
        self.desk.machine.shell(&format!("cd /root/policy && converge push --policy test {arguments}"))
    }
}

fn json(output: &Output) -> Json {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}\n{}", output.stdout, output.stderr))
}

fn count(arrival: &Json, outcome: &str) -> u64 {
    arrival["report"]["counts"][outcome].as_u64().unwrap_or(0)
}

#[test]
#[ignore = "needs root and booted machines; run by cargo xtask test"]
fn machines_with_nothing_installed_are_converged_over_ssh() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let office = Office::open()?;

    // What both would change is shown once, and nothing is changed.
    let planned = office.push("--plan --detailed-exit-code root@web ops@shop")?.assert_code(4);
    assert_eq!(planned.stdout.matches("file[/etc/pushed]").count(), 1, "{}", planned.stdout);
    assert!(planned.stdout.contains("root@web, ops@shop:\n"), "{}", planned.stdout);
    office.web.run(["test", "-e", "/etc/pushed"])?.assert_code(1);

    let pushed = json(&office.push("--json root@web ops@shop")?.assert_ok());
    assert_eq!((count(&pushed[0], "updated"), count(&pushed[1], "updated")), (1, 1), "{pushed}");
    for machine in [&office.web, &office.shop] {
        machine.run(["stat", "-c", "%U %a", "/etc/pushed"])?.assert_text("root 640");
        machine.run(["cat", "/etc/pushed"])?.assert_text("by a desk");
        machine.shell("grep -l 'pushed by root@desk' /var/lib/converge/reports/*.json")?.assert_ok();
        machine.shell("pgrep -f 'pushe[d] --json'")?.assert_code(1);
    }
    office.shop.run(["stat", "-c", "%U %a", "/home/ops/.cache/converge/push"])?.assert_text("ops 700");
    office.desk.shell("ls /root/.local/state/converge/push/ops@shop/reports/*.json")?;

    // Nothing is brought twice, and nothing is left to do.
    let again = json(&office.push("--json root@web ops@shop")?.assert_ok());
    assert_eq!((count(&again[0], "up_to_date"), count(&again[1], "up_to_date")), (1, 1), "{again}");

    // One command, and one script, on both; what they say alike is said once.
    let named = office.push_exec("root@web ops@shop -- hostname -s")?.assert_ok();
    assert!(
        named.stdout.contains("root@web:\nweb\n") && named.stdout.contains("ops@shop:\nshop\n"),
        "{}",
        named.stdout
    );
    office
        .desk
        .machine
        .write_file("/root/who", "#!/bin/bash\necho \"it's ${BASH_VERSION:+bash} of $(id -un)\"; exit 3\n")?;
    let script = office.push_exec("--sudo --script /root/who --json root@web ops@shop")?.assert_code(2);
    let record = json(&script);
    for machine in record["machines"].as_array().unwrap() {
        assert_eq!((machine["code"].as_i64(), machine["output"].as_str()), (Some(3), Some("it's bash of root\n")));
    }
    let late = office.push_exec("--timeout 1s root@web -- sleep 60")?.assert_code(2);
    assert!(late.stdout.contains("124 (its time was up)"), "{}", late.stdout);
    office.web.shell("ls /tmp/tmp.*")?.assert_code(2);
    office.desk.shell("grep -l 'root@desk' /root/.local/state/converge/exec/*.json")?;

    // One that cannot be reached keeps no other from being converged.
    let partly = office.push("--json root@ghost.invalid root@web")?.assert_code(3);
    let arrivals = json(&partly);
    assert!(arrivals[0]["error"]["message"].as_str().unwrap().contains("ghost.invalid"), "{arrivals}");
    assert_eq!(count(&arrivals[1], "up_to_date"), 1, "{arrivals}");
    let halted = office.push("--batch 1 root@ghost.invalid root@web")?.assert_code(3);
    assert!(halted.stderr.contains("halted: 1 machines were not begun"), "{}", halted.stderr);

    let refused = office.push("guest@shop")?.assert_code(3);
    assert!(refused.stderr.contains("sudo"), "{}", refused.stderr);
    // The password goes in over the terminal, and is on no command line.
    let asked =
        "(echo sesame; sleep 30) | script -qec 'cd /root/policy && converge push --policy test ana@shop' /dev/null";
    let asked = office.desk.machine.shell(asked)?.assert_ok();
    assert!(asked.stdout.contains("1 up to date"), "{}", asked.stdout);

    // A wrong one ends at once, with a reason.
    let wrong = "(echo wrong; sleep 30) | script -qec 'cd /root/policy && timeout --foreground 20 converge push --policy test ana@shop' /dev/null";
    let wrong = office.desk.machine.shell(wrong)?.assert_code(3);
    assert!(wrong.stdout.contains("is the password right"), "{}", wrong.stdout);

    // Another machine under the same name is not trusted.
    office.web.shell("rm /etc/ssh/ssh_host_*; ssh-keygen -A; systemctl restart ssh")?.assert_ok();
    let changed = office.push("root@web")?.assert_code(3);
    assert!(changed.stderr.contains("Host key verification failed"), "{}", changed.stderr);
    Ok(())
}

#[test]
#[ignore = "needs root and booted machines; run by cargo xtask test"]
fn a_broken_connection_ends_a_run_whole_and_loses_no_report() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let office = Office::open()?;
    office.desk.repository_file("cookbooks/test/recipes/default.toml", SLOW)?;
    for (flags, word, after) in [("", "cancelled", 1), ("--detach", "succeeded", 0)] {
        office.web.shell("rm -f /run/begun /etc/after")?.assert_ok();
        let line = format!("cd /root/policy && exec converge push --policy test {flags} root@web");
        let push = office.desk.machine.spawn(["sh", "-c", &line])?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while office.web.run(["test", "-e", "/run/begun"])?.code() != Some(0) {
            assert!(Instant::now() < deadline, "the run did not begin");
            std::thread::sleep(Duration::from_millis(100));
        }
        // Meanwhile no other run begins, and it is said whose this is.
        let second = office.push("--lock-wait 0s root@web")?.assert_code(3);
        assert!(second.stderr.contains("converge (pushed by root@desk), since"), "{}", second.stderr);

        office.desk.shell("pkill -9 -x ssh")?;
        let broken = push.wait(Duration::from_secs(30))?.assert_code(3);
        assert!(broken.stderr.contains("push again to collect it"), "{}", broken.stderr);
        office.web.shell("while pgrep -f 'pushe[d] --json'; do sleep 0.1; done")?.assert_ok();
        office.web.run(["test", "-e", "/etc/after"])?.assert_code(after);

        // The author goes on meanwhile: what is new is sent, and what is left there is collected.
        let more = format!("{SLOW}[file.'/etc/more']\ncontent = 'after {word}'\n");
        office.desk.repository_file("cookbooks/test/recipes/default.toml", &more)?;
        let collected = office.push("root@web")?.assert_ok();
        assert!(collected.stdout.contains("an earlier push ended there"), "{}", collected.stdout);
        assert!(collected.stdout.contains(word), "{}", collected.stdout);
        let settled = office.push("root@web")?.assert_ok();
        assert!(!settled.stdout.contains("an earlier push"), "{}", settled.stdout);
        office.web.run(["cat", "/etc/after"])?.assert_text("x");
    }
    Ok(())
}
