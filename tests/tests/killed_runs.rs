//! A run that is killed loses nothing: the next one goes on from there, and carries out every notification that was due.

#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and looks at the machine itself"
)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use converge_testbed::{Result, Signal, require_machine};
use converge_tests::site::Site;
use serde_json::Value as Json;

/// How often a run is killed.
const KILLS: u32 = 20;

const COOKBOOK: &str = r#"
name = "test"
version = "1.0.0"
description = "A service, its configuration, and much that lies between them"

[attributes.release]
type = "integer"
default = 0
"#;

/// A configuration that a service and a command must hear of, with much to do before and after it.
const RECIPE: &str = r#"
[group.app]
system = true

[user.app]
group = "app"
system = true

[directory."/etc/app"]

[directory."/srv/app"]
owner = "app"

[file."/etc/app/part-{{ each.value }}"]
for_each = "range(40) | list"
content = "release {{ attr.test.release }} of part {{ each.value }}\n"

[file."/etc/app/app.conf"]
content = "release {{ attr.test.release }}\n"
notifies = [
    { restart = "service[app]" },
    { run = "execute[note]" },
    { run = "execute[at-once]", timing = "immediate" },
]

[file."/etc/systemd/system/app.service"]
content = """
[Unit]
Description=An application that remembers what it was started with
StartLimitIntervalSec=0
[Service]
ExecStartPre=/bin/sh -c 'cat /etc/app/app.conf > /run/app.started'
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""
notifies = { restart = "service[app]" }

[execute.slow]
command = "sleep 0.2; cat /etc/app/app.conf > /srv/app/slow"
not_if = "cmp -s /etc/app/app.conf /srv/app/slow"

[service.app]
running = true
enabled = true

[execute.note]
command = "sleep 0.05; cat /etc/app/app.conf >> /srv/app/noted"
run = "when_notified"

[execute.at-once]
command = "cat /etc/app/app.conf >> /srv/app/at-once"
run = "when_notified"

[file."/srv/app/last"]
content = "release {{ attr.test.release }}\n"
owner = "app"
"#;

/// Moments at which runs are killed. The seed is printed, so that a failure can be looked at again.
struct Moments(u64);

impl Moments {
    fn new() -> Self {
        let seed = std::env::var("CONVERGE_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64);
        eprintln!("moments of seed {seed}: CONVERGE_SEED={seed} repeats them");
        Self(seed | 1)
    }

    /// The next moment after the start of a run: xorshift, in milliseconds.
    fn next(&mut self, below: u64) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(self.0 % below)
    }
}

fn last_line(site: &Site, path: &str) -> Result<String> {
    Ok(site.machine.read_file(path)?.lines().last().unwrap_or_default().to_owned())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn twenty_runs_killed_at_random_moments_lose_no_notification() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let site = Site::boot("killed")?;
    site.recipe(RECIPE)?;
    site.repository_file("cookbooks/test/cookbook.toml", COOKBOOK)?;
    let mut moments = Moments::new();
    let mut cut_off = 0;
    for release in 1..=KILLS {
        let wanted = format!("release {release}");
        let policy = format!("name = \"test\"\nrun_list = [\"test\"]\n[attributes.test]\nrelease = {release}\n");
        site.repository_file("policies/test.toml", &policy)?;
        let mut run = site.machine.spawn(Site::ONCE)?;
        let moment = moments.next(if release == 1 { 1_000 } else { 450 });
        std::thread::sleep(moment);
        // It may have ended by itself just now: then there is nobody to be killed.
        let killed = run.is_running()? && run.signal(Signal::SIGKILL).is_ok();
        run.wait(Duration::from_secs(10))?;
        cut_off += u32::from(killed);

        let clean = site.converge()?.succeeded().report;
        for noted in ["/srv/app/noted", "/srv/app/at-once", "/run/app.started", "/srv/app/slow", "/srv/app/last"] {
            let found = last_line(&site, noted)?;
            assert_eq!(found, wanted, "killed after {moment:?}: {noted} was not told; {clean:#}");
        }
        site.idle()?;
    }
    assert!(cut_off >= KILLS / 3, "only {cut_off} of {KILLS} runs were still going when they were killed");
    assert_eq!(site.shell("systemctl is-active app")?, "active");
    // Whoever was killed left no half of anything.
    assert_eq!(site.shell("find /etc /srv -name '.converge-*'")?, "");
    let reports = site.shell("converge report --local --json --limit 500")?;
    let reports: Vec<Json> = serde_json::from_str(&reports).unwrap();
    assert!(reports.iter().any(|report| report["conclusion"] == "crashed"), "a killed run has a report too");
    Ok(())
}
