//! A machine installs and upgrades packages from a repository that the test describes.

use converge_testbed::{AptRepository, Machine, Package, Result, Script, require_machine};

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn a_package_is_installed_upgraded_and_purged() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let unit = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n";
    let probe = |version: &str| {
        Package::new("probe", version)
            .depends("probe-data (>= 1)")
            .file("/usr/bin/probe", format!("#!/bin/sh\necho {version}\n"), 0o755)
            .conffile("/etc/probe.conf", format!("version={version}\n"))
            .service("probe.service", unit)
            .question("probe/colour", "Which colour?", "/var/lib/probe-colour")
            .script(Script::PostInst, "echo \"$1\" >> /var/lib/probe-scripts")
    };
    let mut repository = AptRepository::new()?;
    repository.add(&Package::new("probe-data", "1"))?;
    repository.add(&probe("1.0"))?;
    assert!(repository.add(&probe("1.0")).is_err());
    let machine = Machine::boot("packages")?;
    machine.use_apt_repository(&repository)?;
    machine.command(["apt-get", "install", "-y", "probe"])?.env("DEBIAN_FRONTEND", "noninteractive").run()?.assert_ok();
    machine.run(["probe"])?.assert_text("1.0");
    machine.run(["systemctl", "is-enabled", "probe"])?.assert_text("enabled");
    machine.run(["systemctl", "is-active", "probe"])?.assert_text("active");
    assert_eq!(machine.read_file("/var/lib/probe-colour")?, "blue\n");

    repository.add(&probe("2.0"))?;
    machine.use_apt_repository(&repository)?;
    // Both versions are there to choose from.
    let versions = machine.run(["apt-cache", "madison", "probe"])?.assert_ok();
    assert_eq!(versions.stdout.lines().count(), 2, "{}", versions.stdout);
    machine.command(["apt-get", "upgrade", "-y"])?.env("DEBIAN_FRONTEND", "noninteractive").run()?.assert_ok();
    machine.run(["probe"])?.assert_text("2.0");
    machine.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Version}", "probe"])?.assert_text("ii 2.0");
    assert_eq!(machine.read_file("/etc/probe.conf")?, "version=2.0\n");
    assert_eq!(machine.read_file("/var/lib/probe-scripts")?, "configure\nconfigure\n");

    machine.run(["apt-get", "purge", "-y", "probe"])?.assert_ok();
    assert!(!machine.run(["systemctl", "is-active", "probe"])?.success());
    assert!(!machine.run(["test", "-e", "/etc/probe.conf"])?.success());
    Ok(())
}
