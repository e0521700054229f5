//! Nothing of a machine stays on the test host: not after a panic, and not after the test process was killed.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "what is left on the test host is looked at without the testbed's help"
)]

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use converge_testbed::{Machine, MachineOptions, Network, Result, require_machine, sweep};

/// Set in the process that boots a machine and waits to be killed.
const DOOMED: &str = "CONVERGE_TESTBED_DOOMED";

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn what_a_killed_test_left_behind_is_swept() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    if let Some(name) = std::env::var_os(DOOMED) {
        let network = Network::create()?;
        let name = name.to_string_lossy().into_owned();
        let machine = Machine::boot(MachineOptions::named(name).network(&network))?;
        println!("booted {}", machine.name());
        std::thread::sleep(Duration::from_secs(600));
        return Ok(());
    }
    let name = format!("doomed-{}", std::process::id());
    let mut doomed = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "--nocapture", "what_a_killed_test_left_behind_is_swept"])
        .env(DOOMED, &name)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let booted = format!("booted {name}");
    let lines = BufReader::new(doomed.stdout.take().unwrap()).lines();
    assert!(lines.map_while(std::io::Result::ok).any(|line| line.ends_with(&booted)));
    doomed.kill().unwrap();
    doomed.wait().unwrap();
    assert_ne!(traces(&name), Vec::<String>::new());
    sweep()?;
    assert_eq!(traces(&name), Vec::<String>::new());
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn nothing_of_a_machine_stays_even_after_a_panic() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let name = format!("gone-{}", std::process::id());
    let test = {
        let name = name.clone();
        std::thread::spawn(move || {
            let machine = Machine::boot(name.as_str()).unwrap();
            // Things that make cleaning up hard.
            machine
                .shell("setsid sleep 1002 & mkdir /srv/m; mount -t tmpfs none /srv/m; touch /srv/i; chattr +i /srv/i")
                .unwrap()
                .assert_ok();
            assert!(traces(&name).iter().any(|trace| trace.contains("overlay")));
            panic!("this panic is part of the test");
        })
    };
    assert!(test.join().is_err());
    assert_eq!(traces(&name), Vec::<String>::new());
    Ok(())
}

/// Mounts, processes, control groups, network namespaces and claims on the test host that bear a name.
fn traces(name: &str) -> Vec<String> {
    let mut traces: Vec<String> = std::fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .filter(|line| line.contains(name))
        .map(str::to_owned)
        .collect();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let status = std::fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        // Dead and not yet reaped by the test host's init, which is not the testbed's to do.
        if status.contains("State:\tZ") {
            continue;
        }
        let group = std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
        if String::from_utf8_lossy(&command).contains(name) || group.contains(name) {
            traces.push(format!("process {}", entry.path().display()));
        }
    }
    let target = converge_testbed::target_directory().join("testbed");
    for place in ["/sys/fs/cgroup".into(), "/run/netns".into(), target.join("claims")] {
        let found = Command::new("find")
            .arg(place)
            .args(["-maxdepth", "4", "-name"])
            .arg(format!("*{name}*"))
            .output()
            .unwrap();
        traces.extend(String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned));
    }
    traces
}
