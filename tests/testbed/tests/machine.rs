//! The testbed boots real machines: they run things and keep their disk over a power cut.

use std::time::Duration;

use converge_testbed::{Machine, MachineOptions, Result, Signal, require_machine};

/// The unit of a service that runs until it is stopped.
const UNIT: &str = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn a_booted_machine_runs_commands_files_and_units() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let machine = Machine::boot("first")?;
    machine.run(["hostname"])?.assert_text("first");
    machine.run(["cat", "/proc/1/comm"])?.assert_text("systemd");
    machine.run(["stat", "-fc", "%T", "/sys/fs/cgroup"])?.assert_text("cgroup2fs");
    machine.shell("ls /sys/class/net")?.assert_text("lo");

    machine.write_file("/etc/systemd/system/probe.service", UNIT)?;
    assert_eq!(machine.read_file("/etc/systemd/system/probe.service")?, UNIT);
    machine.run(["systemctl", "enable", "--now", "probe"])?.assert_ok();
    machine.run(["systemctl", "is-active", "probe"])?.assert_text("active");
    machine.run(["false"])?.assert_code(1);

    let error = machine.read_file("/no/such/file").unwrap_err();
    assert!(format!("{error:?}").contains("/no/such/file"), "{error:?}");
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn a_process_inside_has_a_fresh_environment_input_and_a_deadline() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let machine = Machine::boot("process")?;
    let environment = machine.run(["env"])?.assert_ok();
    let mut names: Vec<&str> = environment.stdout.lines().filter_map(|line| line.split('=').next()).collect();
    names.sort_unstable();
    assert_eq!(names, ["HOME", "LANG", "PATH", "TERM", "USER"]);
    machine
        .command(["sh", "-c", "cat; echo \"$WORD\""])?
        .env("WORD", "after")
        .input("before ")
        .run()?
        .assert_text("before after");
    // It could change the test host's clock otherwise.
    assert!(!machine.run(["date", "-s", "@0"])?.success());

    let late = machine
        .command(["sh", "-c", "echo begun; sleep 1000"])?
        .deadline(Duration::from_millis(300))
        .run()
        .unwrap_err();
    assert!(late.to_string().contains("begun"), "{late}");
    assert!(!machine.run(["pgrep", "-x", "sleep"])?.success());

    let mut running = machine.spawn(["sleep", "1001"])?;
    running.signal(Signal::SIGTERM)?;
    assert!(!running.wait(Duration::from_secs(5))?.success());
    assert!(!machine.run(["pgrep", "-x", "sleep"])?.success());
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn a_machine_keeps_its_disk_over_a_power_cut_and_a_reboot() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let mut machine = Machine::boot("power")?;
    machine.write_file("/var/lib/mark", "here")?;
    machine.write_file("/run/mark", "here")?;
    machine.write_file("/etc/systemd/system/probe.service", UNIT)?;
    machine.run(["systemctl", "enable", "probe"])?.assert_ok();

    machine.kill_hard()?;
    assert!(!machine.is_on());
    assert!(machine.run(["true"]).is_err());
    machine.power_on()?;
    assert_eq!(machine.read_file("/var/lib/mark")?, "here");
    assert!(machine.read_file("/run/mark").is_err());
    machine.run(["systemctl", "is-active", "probe"])?.assert_text("active");

    machine.write_file("/run/mark", "here")?;
    machine.reboot()?;
    assert_eq!(machine.read_file("/var/lib/mark")?, "here");
    assert!(machine.read_file("/run/mark").is_err());
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn a_small_disk_gets_full() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let machine = Machine::boot(MachineOptions::named("full").small_disk("/srv/small", 1024 * 1024))?;
    let fill = machine.shell("head -c 2000000 /dev/zero > /srv/small/file")?;
    assert!(!fill.success());
    assert!(fill.stderr.contains("No space left"), "{}", fill.stderr);
    Ok(())
}
