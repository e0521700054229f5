//! systemd on a booted machine: what is seen, started, refused, and waited for in vain.

use std::time::{Duration, Instant};

use converge_testbed::Result;

use crate::inside::{Inside, assert_says};

/// Writes a unit file, and nothing else: systemd is not told.
fn unit(inside: &Inside, name: &str, service: &str) -> Result<()> {
    let text = format!("[Unit]\nDescription={name}\n[Service]\n{service}\n[Install]\nWantedBy=multi-user.target\n");
    inside.machine.write_file(&format!("/etc/systemd/system/{name}.service"), text)
}

/// What systemctl itself says: `active enabled`.
fn systemctl(inside: &Inside, name: &str) -> Result<String> {
    let active = inside.machine.run(["systemctl", "is-active", name])?.text().to_owned();
    let enabled = inside.machine.run(["systemctl", "is-enabled", name])?.text().to_owned();
    Ok(format!("{active} {enabled}"))
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn a_service_goes_through_its_life() -> Result<()> {
    let Some(inside) = Inside::boot("service-life")? else { return Ok(()) };
    assert_eq!(inside.call("providers")?, "Some(\"apt\") Some(\"systemd\")");
    assert_eq!(inside.call("status web.service")?, "inactive disabled");
    assert_says(
        &inside.call("perform start web.service 10")?,
        &["NotFound: cannot start unit web.service", "web.service not found"],
    );

    unit(&inside, "web", "ExecStart=/bin/sleep 1001\nExecReload=/bin/touch /reloaded")?;
    assert_eq!(inside.call("status web.service")?, "inactive disabled exists reloadable");
    let answers = inside.calls(&[
        "perform start web.service 10",
        "status web.service",
        "perform enable web.service 10",
        "status web.service",
    ])?;
    assert_eq!(answers, ["done", "active disabled exists reloadable", "done", "active enabled exists reloadable"]);
    assert_eq!(systemctl(&inside, "web")?, "active enabled");

    assert_eq!(inside.call("perform reload web.service 10")?, "done");
    inside.machine.run(["test", "-e", "/reloaded"])?.assert_ok();

    // A changed unit file is read before the unit is started anew.
    unit(&inside, "web", "ExecStart=/bin/sleep 1002")?;
    assert_eq!(inside.call("status web.service")?, "active enabled exists stale reloadable");
    assert_eq!(inside.call("perform restart web.service 10")?, "done");
    assert_eq!(inside.call("status web.service")?, "active enabled exists");
    inside.machine.run(["pgrep", "-fx", "/bin/sleep 1002"])?.assert_ok();
    unit(&inside, "web", "ExecStart=/bin/sleep 1003")?;
    assert_eq!(inside.calls(&["reload_units", "status web.service"])?, ["done", "active enabled exists"]);

    assert_eq!(inside.call("perform stop web.service 10")?, "done");
    assert_eq!(inside.call("perform disable web.service 10")?, "done");
    assert_eq!(systemctl(&inside, "web")?, "inactive disabled");
    assert_eq!(inside.call("perform reload web.service 10")?, "done");
    assert_eq!(systemctl(&inside, "web")?, "inactive disabled", "reloading does not start");

    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn masks_and_aliases_are_what_systemd_takes_them_for() -> Result<()> {
    let Some(inside) = Inside::boot("service-masks")? else { return Ok(()) };
    unit(&inside, "web", "ExecStart=/bin/sleep 1001")?;
    // A mask is a link where this unit's file is: that is said, and another unit is masked.
    assert_says(
        &inside.call("perform mask web.service 10")?,
        &["cannot mask unit web.service", "already exists", "hint: another file is where a link"],
    );
    inside
        .machine
        .shell("mkdir -p /usr/lib/systemd/system; mv /etc/systemd/system/web.service /usr/lib/systemd/system")?
        .assert_ok();
    let answers = inside.calls(&[
        "perform mask web.service 10",
        "status web.service",
        "perform start web.service 10",
        "perform unmask web.service 10",
        "status web.service",
        "perform start web.service 10",
    ])?;
    assert_eq!((answers[0].as_str(), answers[1].as_str()), ("done", "inactive masked exists"));
    assert_says(&answers[2], &["Denied: cannot start unit web.service", "masked"]);
    assert_eq!(answers[3..], ["done", "inactive disabled exists", "done"]);
    assert_eq!(systemctl(&inside, "web")?, "active disabled");

    // An alias is the unit that it stands for.
    assert_eq!(
        inside.call("status dbus-org.freedesktop.login1.service")?,
        inside.call("status systemd-logind.service")?
    );
    inside.machine.write_file("/etc/systemd/system/bare.service", "[Service]\nExecStart=/bin/sleep 1004\n")?;
    assert_eq!(inside.call("status bare.service")?, "inactive static exists");
    assert_says(
        &inside.call("perform enable bare.service 10")?,
        &["Invalid: cannot enable unit bare.service", "[Install]"],
    );
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn a_service_that_fails_is_explained() -> Result<()> {
    let Some(inside) = Inside::boot("service-fails")? else { return Ok(()) };
    let say = "echo no moon tonight; exit 3";
    unit(&inside, "dies", &format!("ExecStart=/bin/sh -c '{say}'"))?;
    unit(&inside, "again", &format!("ExecStart=/bin/sh -c '{say}'\nRestart=always\nRestartSec=1h"))?;
    unit(&inside, "once", &format!("Type=oneshot\nExecStart=/bin/sh -c '{say}'"))?;
    unit(&inside, "missing", "ExecStart=/nowhere")?;
    unit(&inside, "wrong", "Type=simple")?;
    unit(&inside, "never", "Type=notify\nExecStart=/bin/sleep 1001")?;
    unit(&inside, "short", "Type=oneshot\nExecStart=/bin/true")?;
    inside.machine.write_file(
        "/etc/systemd/system/leans.service",
        "[Unit]\nRequires=once.service\nAfter=once.service\n[Service]\nExecStart=/bin/sleep 1002\n",
    )?;
    inside.machine.write_file(
        "/etc/systemd/system/skipped.service",
        "[Unit]\nConditionPathExists=/nowhere\n[Service]\nExecStart=/bin/sleep 1003\n",
    )?;

    for (name, parts) in [
        (
            "dies",
            &[
                "Failed: cannot start unit dies.service: it ended as soon as it was started",
                "because of exit-code, status 3",
                "no moon tonight",
            ][..],
        ),
        ("again", &["cannot start unit again.service", "auto-restart", "no moon tonight"]),
        ("once", &["cannot start unit once.service: its start job failed", "status 3", "no moon tonight"]),
        ("missing", &["cannot start unit missing.service", "status 203"]),
        ("wrong", &["Invalid: cannot start unit wrong.service", "systemd-analyze verify"]),
        ("leans", &["cannot start unit leans.service: a unit that it requires did not start"]),
        ("skipped", &["cannot start unit skipped.service: systemd skipped it", "ondition"]),
        ("short", &["done"]),
    ] {
        assert_says(&inside.call(&format!("perform start {name}.service 10"))?, parts);
    }
    assert_eq!(inside.call("status dies.service")?, "failed disabled exists");

    let begun = Instant::now();
    let answer = inside.call("perform start never.service 1.5")?;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_says(
        &answer,
        &[
            "TimedOut: cannot start unit never.service: its job was still running after 1s500ms",
            "activating (start)",
            "hint: it is of Type=notify",
        ],
    );
    assert_eq!(inside.call("status never.service")?, "activating disabled exists");
    assert_eq!(inside.call("perform stop never.service 10")?, "done");
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn systemd_is_reached_with_and_without_a_bus() -> Result<()> {
    let Some(inside) = Inside::boot("service-bus")? else { return Ok(()) };
    let units: Vec<String> = (0..10).map(|number| format!("unit{number}")).collect();
    for name in &units {
        unit(&inside, name, "ExecStart=/bin/sleep 1001")?;
    }
    inside.machine.shell("systemctl daemon-reload; systemctl enable -q --now unit0 unit1 unit2 unit3 unit4 unit5 unit6 unit7 unit8 unit9")?.assert_ok();
    let names: Vec<String> = units.iter().map(|name| format!("{name}.service")).collect();
    let sweep = format!("sweep {}", names.join(" "));
    let answers = inside.calls(&[&sweep, &sweep, &sweep])?;
    for answer in &answers {
        assert_says(answer, &["10 exist; "]);
        let micros: u64 = answer.split(' ').nth(2).and_then(|number| number.parse().ok()).expect("a number");
        assert!(micros < 100_000, "ten units took {micros} us");
    }

    // Who is not root goes through the bus, and may look.
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let calls = ["status unit0.service", "perform start unit0.service 5", "transact 5 hello"];
    let output = inside.invocation(&nobody, &calls)?.run()?.assert_ok();
    assert_says(
        &output.stdout,
        &["active enabled exists", "Denied: cannot start unit unit0.service", "Denied: cannot install package hello"],
    );

    // Systemd itself answers root, also while there is no bus, and after it was executed anew.
    inside.machine.shell("systemctl stop dbus.socket dbus.service 2>/dev/null; test ! -S /run/dbus/system_bus_socket || ! pidof dbus-daemon")?.assert_ok();
    assert_eq!(inside.call("perform restart unit1.service 10")?, "done");
    let status = "active enabled exists";
    let calls = [
        "status unit1.service",
        "run systemctl daemon-reexec",
        "perform restart unit1.service 10",
        "run systemctl daemon-reexec",
        "status unit1.service",
        "run sleep 4",
        "status unit1.service",
    ];
    assert_eq!(
        inside.calls(&calls)?,
        [status, "exited with 0", "done", "exited with 0", status, "exited with 0", status]
    );
    Ok(())
}
