//! The Debian packages on a booted machine: installed, upgraded, taken back, removed and purged.

#![allow(
    clippy::disallowed_methods,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and looks at the machine itself"
)]

use std::process::Command;

use converge_testbed::{Machine, Result, packages, require_machine};

/// Brings both packages to the machine, as `/root/NAME.deb`.
fn bring(machine: &Machine) -> Result<()> {
    let folder = packages();
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut brought = 0;
    for entry in entries.map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        if let Some((package, _)) = name.split_once('_').filter(|_| name.ends_with(".deb")) {
            machine.write_file(&format!("/root/{package}.deb"), std::fs::read(entry.path()).unwrap())?;
            brought += 1;
        }
    }
    assert_eq!(brought, 2, "{} should have two packages: cargo xtask dist", folder.display());
    Ok(())
}

/// Packs the agent's package again under another version.
fn repack(machine: &Machine, version: &str) -> Result<()> {
    let script = format!(
        "rm -rf /root/x; dpkg-deb -R /root/converge.deb /root/x; sed -i 's/^Version: .*/Version: {version}/' /root/x/DEBIAN/control; \
         echo '# {version}' >> /root/x/etc/converge/agent.toml; dpkg-deb -Znone -b /root/x /root/converge-{version}.deb"
    );
    machine.shell(&script)?.assert_ok();
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn packages_install_upgrade_and_leave_as_policy_says() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let machine = Machine::boot("packages")?;
    bring(&machine)?;
    machine.shell("dpkg -i /root/converge.deb")?.assert_ok();
    machine.shell("converge --version && test -s /usr/share/man/man1/converge-push.1")?.assert_ok();
    machine
        .shell(
            "systemd-analyze verify --man=no /usr/lib/systemd/system/converge*.service /usr/lib/systemd/system/converge.timer",
        )?
        .assert_ok()
        .assert_text("");
    // Who installs an agent has not said yet what it should do.
    let enabled =
        machine.shell("systemctl is-enabled converge.service converge-once.service converge.timer || true")?;
    enabled.assert_text("disabled\ndisabled\ndisabled");
    machine.shell("bash -c '. /usr/share/bash-completion/completions/converge && complete -p converge'")?.assert_ok();

    // Once, as at boot; and as by the timer.
    machine.write_file("/etc/converge/repo/converge.toml", "")?;
    machine.write_file("/etc/converge/repo/cookbooks/a/cookbook.toml", "name = 'a'\nversion = '1.0.0'\n")?;
    machine.write_file(
        "/etc/converge/repo/cookbooks/a/recipes/default.toml",
        "[file.'/etc/converged']\ncontent = 'x'\n",
    )?;
    machine.write_file("/etc/converge/repo/policies/a.toml", "name = 'a'\nrun_list = ['a']\n")?;
    for unit in ["converge.service", "converge-run.service", "converge-once.service"] {
        let start =
            "[Service]\nExecStart=\nExecStart=/usr/bin/converge FLAG --policy /etc/converge/repo/policies/a.toml\n";
        let start = start.replace("FLAG", if unit == "converge.service" { "--interval 1h" } else { "--once" });
        machine.write_file(&format!("/etc/systemd/system/{unit}.d/policy.conf"), start)?;
    }
    machine.shell("systemctl daemon-reload; systemctl start converge-run.service; rm /etc/converged")?.assert_ok();
    machine.shell("systemctl start converge-once.service; test -e /etc/converged")?.assert_ok();

    // An upgrade keeps what the operator edited, and the daemon goes on with the new program.
    machine
        .shell("echo 'interval = \"20m\"' > /etc/converge/agent.toml; systemctl enable --now converge.service")?
        .assert_ok();
    for version in ["99.0.0", "98.0.0"] {
        repack(&machine, version)?;
        let replaced = format!(
            "before=$(systemctl show -p MainPID --value converge); dpkg -i --force-confold /root/converge-{version}.deb; \
             for i in $(seq 100); do sleep 0.1; systemctl is-active -q converge || continue; \
             test $before != $(systemctl show -p MainPID --value converge) && exit 0; done; exit 1"
        );
        machine.shell(&replaced)?.assert_ok();
        machine.run(["cat", "/etc/converge/agent.toml"])?.assert_text("interval = \"20m\"");
    }

    let removed = "dpkg -r converge; test ! -e /usr/bin/converge; test -e /etc/converge/agent.toml; \
                   ls /var/lib/converge/reports; while systemctl is-active converge; do sleep 0.1; done";
    machine.shell(removed)?.assert_ok();
    machine.shell("dpkg -P converge")?.assert_ok();
    machine.shell("ls -d /etc/converge /var/lib/converge /usr/lib/systemd/system/converge*")?.assert_code(2);
    machine.run(["cat", "/etc/converged"])?.assert_text("x");
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn the_store_is_a_package_of_its_own_with_next_to_no_privileges() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let machine = Machine::boot("packages-store")?;
    bring(&machine)?;
    machine
        .shell("dpkg -i /root/converge.deb /root/converge-store.deb && systemctl enable --now converge-store")?
        .assert_ok();
    let exposure = machine.shell("systemd-analyze security --no-pager converge-store.service | tail -1")?.assert_ok();
    let level: f64 = exposure.text().split_whitespace().find_map(|word| word.parse().ok()).unwrap();
    assert!(level < 2.0, "{}", exposure.text());
    machine.shell("converge nodes --store https://127.0.0.1:8600 || converge nodes")?.assert_ok();
    machine.shell("dpkg -P converge-store converge; test ! -e /var/lib/private/converge-store")?.assert_ok();
    Ok(())
}

#[test]
#[ignore = "needs the packages; run by cargo xtask test"]
fn digests_are_those_of_what_is_in_the_folder() {
    let checked = Command::new("sha256sum").args(["--check", "--quiet", "SHA256SUMS"]).current_dir(packages()).status();
    assert!(checked.unwrap().success());
}
