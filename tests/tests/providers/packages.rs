//! apt on a booted machine: what is installed, changed, refused, and finished after an accident.

use std::time::{Duration, Instant};

use converge_testbed::{Package, Result, Script};

use crate::inside::{Inside, assert_says};

/// What dpkg itself says of a package: `ii 1.0`.
fn dpkg(inside: &Inside, name: &str) -> Result<String> {
    let output = inside.machine.run(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Version}", name])?;
    // `un` is what dpkg says of a name that another package only mentions.
    Ok(if output.success() && output.text() != "un" { output.text().to_owned() } else { "none".to_owned() })
}

fn hello(version: &str) -> Package {
    Package::new("hello", version)
        .depends("hello-data")
        .file("/usr/bin/hello", format!("#!/bin/sh\necho {version}\n"), 0o755)
        .conffile("/etc/hello.conf", format!("version={version}\n"))
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn a_package_goes_through_its_life() -> Result<()> {
    let Some(inside) = Inside::boot("life")? else { return Ok(()) };
    inside.offer(&[hello("1.0"), hello("2.0"), Package::new("hello-data", "1")])?;
    assert_eq!(inside.call("candidates hello")?, "2.0* 1.0");

    // What was read of the database before a transaction does not count after it.
    let answers = inside.calls(&["installed hello", "transact 60 hello=1.0", "installed hello"])?;
    assert_eq!(answers, ["none", "done", "1.0 Installed"]);
    assert_eq!(dpkg(&inside, "hello")?, "ii 1.0");
    assert_eq!(inside.call("installed hello:all")?, "1.0 Installed");

    // An upgrade keeps an edited configuration file, and asks nobody.
    inside.machine.write_file("/etc/hello.conf", "mine\n")?;
    assert_eq!(inside.call("transact 60 hello hold:hello")?, "done");
    assert_eq!(dpkg(&inside, "hello")?, "hi 2.0");
    assert_eq!(inside.machine.read_file("/etc/hello.conf")?, "mine\n");
    assert_eq!(inside.call("installed hello")?, "2.0 Installed held");
    inside.machine.run(["apt-mark", "showhold"])?.assert_text("hello");

    // What is held changes only where the hold is managed, and an older version only where it is asked for by name.
    assert_says(
        &inside.call("transact 60 hello=1.0")?,
        &["Failed: cannot install package hello: that would change hello, which is held"],
    );
    assert_eq!(inside.call("transact 60 hello=1.0 hold:hello")?, "done");
    assert_eq!(dpkg(&inside, "hello")?, "hi 1.0");
    assert_eq!(inside.call("transact 60 unhold:hello")?, "done");
    assert_eq!(dpkg(&inside, "hello")?, "ii 1.0");
    assert_eq!(inside.call("transact 60 hello")?, "done");
    assert_eq!(dpkg(&inside, "hello")?, "ii 2.0");

    // Nothing goes but what is named.
    assert_says(
        &inside.call("transact 60 -hello-data")?,
        &["cannot remove package hello-data: that would also remove hello,"],
    );
    assert_eq!(inside.call("transact 60 -hello")?, "done");
    assert_eq!(inside.call("installed hello")?, "2.0 ConfigFiles");
    assert_eq!(inside.call("transact 60 -hello")?, "done", "a second time there is nothing to do");
    assert_eq!(inside.call("transact 60 --hello")?, "done");
    assert_eq!((dpkg(&inside, "hello")?, inside.call("installed hello")?), ("none".to_owned(), "none".to_owned()));
    assert_eq!(dpkg(&inside, "hello-data")?, "ii 1");
    assert!(!inside.machine.run(["test", "-e", "/etc/hello.conf"])?.success());

    // All in one, from a file, and both kinds of removal.
    let deb = "/srv/apt-repository/hello_1.0_all.deb";
    assert_eq!(inside.call(&format!("inspect {deb}"))?, "hello 1.0");
    assert_eq!(inside.call(&format!("transact 60 hello={deb}"))?, "done");
    assert_eq!(dpkg(&inside, "hello")?, "ii 1.0");
    assert_says(&inside.call(&format!("transact 60 other={deb}"))?, &["Invalid", "holds package hello"]);
    assert_eq!(inside.call("transact 60 -hello-data --hello")?, "done");
    assert_eq!((dpkg(&inside, "hello")?, dpkg(&inside, "hello-data")?), ("none".to_owned(), "none".to_owned()));
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn what_nobody_asked_for_is_refused() -> Result<()> {
    let Some(inside) = Inside::boot("surprises")? else { return Ok(()) };
    let old = Package::new("old", "1").field("Provides", "server");
    let new = Package::new("new", "1").field("Conflicts", "old").field("Provides", "server");
    inside.offer(&[old, new, Package::new("leans", "1").depends("missing (>= 3)")])?;
    assert_eq!(inside.call("transact 60 old")?, "done");

    for (call, parts) in [
        (
            "transact 60 new",
            &["Failed: cannot install package new: that would also remove old, which nobody asked for"][..],
        ),
        ("transact 60 -dpkg", &["Denied: cannot remove package dpkg: it is essential"]),
        ("transact 60 leans", &["cannot install package leans", "leans : Depends: missing (>= 3)"]),
        ("transact 60 server", &["NotFound: cannot install package server: it is a virtual package"]),
        ("transact 60 nosuch", &["NotFound: cannot install package nosuch: the index knows no such package"]),
        ("transact 60 new=9", &["NotFound: cannot install package new: the index has no version 9; it has 1"]),
        ("transact 60 new;reboot", &["Invalid: cannot look for package \"new;reboot\""]),
        ("transact 60 new=1;reboot", &["Invalid: cannot install package new: \"1;reboot\" is not a version"]),
        ("transact 0 new", &["cannot install package new: its time is up"]),
    ] {
        assert_says(&inside.call(call)?, parts);
        assert_eq!((dpkg(&inside, "old")?, dpkg(&inside, "new")?), ("ii 1".to_owned(), "none".to_owned()), "{call}");
    }
    // One takes the other's place where both are said.
    assert_eq!(inside.call("transact 60 new -old")?, "done");
    assert_eq!((dpkg(&inside, "old")?, dpkg(&inside, "new")?), ("none".to_owned(), "ii 1".to_owned()));
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn the_index_is_fetched_only_when_it_must_be() -> Result<()> {
    let Some(inside) = Inside::boot("index")? else { return Ok(()) };
    inside.offer(&[Package::new("one", "1"), Package::new("two", "1"), Package::new("three", "1")])?;
    let fetches = || -> Result<String> {
        Ok(inside
            .machine
            .run(["sh", "-c", "stat -c %Y.%y /var/lib/apt/periodic/update-success-stamp 2>&1"])?
            .text()
            .to_owned())
    };
    let before = fetches()?;
    assert_eq!(inside.call("transact 60 one")?, "done");
    assert_eq!(fetches()?, before, "it had the package");
    assert_eq!(inside.call("refresh 3600")?, "fetched: false");
    assert_eq!(inside.call("refresh 0")?, "fetched: true");
    assert_ne!(fetches()?, before);

    // A source that cannot be reached makes no difference to what is in the index already.
    inside.machine.write_file("/etc/apt/sources.list.d/gone.list", "deb [trusted=yes] file:/srv/gone ./\n")?;
    assert_eq!(inside.call("transact 60 two")?, "done");
    let answers = inside.calls(&["refresh 3600", "transact 60 nosuch", "candidates three"])?;
    assert_eq!((answers[0].as_str(), answers[2].as_str()), ("fetched: false", "1*"));
    assert_says(&answers[1], &["Unavailable", "the index knows no such package, and fetching the index failed"]);
    inside.machine.run(["rm", "/etc/apt/sources.list.d/gone.list"])?.assert_ok();

    // A package that the index does not have yet, and one whose file the repository has already replaced.
    inside.machine.shell("rm -rf /var/lib/apt/lists/*")?.assert_ok();
    assert_eq!(inside.call("transact 60 three")?, "done");
    assert_eq!(dpkg(&inside, "three")?, "ii 1");
    inside.machine.run(["cp", "-aL", "/var/lib/apt/lists", "/var/lib/apt/old-lists"])?.assert_ok();
    inside.offer(&[Package::new("one", "2")])?;
    inside.machine.shell("rm -rf /var/lib/apt/lists; mv /var/lib/apt/old-lists /var/lib/apt/lists")?.assert_ok();
    inside.machine.run(["apt-get", "purge", "-y", "one"])?.assert_ok();
    assert_eq!(inside.call("candidates one")?, "1*");
    assert_eq!(inside.call("transact 60 one")?, "done");
    assert_eq!(dpkg(&inside, "one")?, "ii 2");
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn scripts_that_ask_or_fail_do_not_hang() -> Result<()> {
    let Some(inside) = Inside::boot("scripts")? else { return Ok(()) };
    let broken = Package::new("broken", "1")
        .script(Script::PostInst, "test -e /mended || { echo checking the moon; echo no moon tonight >&2; exit 3; }");
    let asks = Package::new("asks", "1").question("asks/colour", "Which colour?", "/var/lib/asks");
    let reads = Package::new("reads", "1")
        .script(Script::PostInst, "read answer || answer=nobody; echo \"$answer $LC_ALL $LANG\" > /var/lib/reads");
    let other = Package::new("other", "1");
    inside.offer(&[broken, asks, reads, other])?;

    assert_eq!(inside.call("transact 60 asks reads")?, "done");
    assert_eq!(inside.machine.read_file("/var/lib/asks")?, "blue\n");
    assert_says(&inside.machine.read_file("/var/lib/reads")?, &["nobody C.UTF-8"]);

    let answer = inside.call("transact 60 broken")?;
    assert_says(
        &answer,
        &[
            "Failed: cannot install package broken: broken: installed broken package post-installation script",
            "exit status 3",
            "broken is half-configured",
            "\n    checking the moon\n    no moon tonight\n",
            "hint: mend what its script complains of",
        ],
    );
    assert_eq!(inside.call("installed broken")?, "1 Unfinished");
    // Another package is not held up by it.
    assert_eq!(inside.call("transact 60 other")?, "done");
    assert_eq!((dpkg(&inside, "other")?, dpkg(&inside, "broken")?), ("ii 1".to_owned(), "iF 1".to_owned()));
    inside.machine.write_file("/mended", "")?;
    assert_eq!(inside.call("transact 60 broken")?, "done");
    assert_eq!(dpkg(&inside, "broken")?, "ii 1");
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn a_lock_is_waited_for_and_an_accident_mended() -> Result<()> {
    let Some(inside) = Inside::boot("accidents")? else { return Ok(()) };
    let slow = Package::new("slow", "1").script(Script::PostInst, "while test -e /slow; do sleep 0.1; done");
    inside.offer(&[slow, Package::new("other", "1"), Package::new("third", "1")])?;

    inside.machine.write_file("/slow", "")?;
    let mut install = inside.machine.spawn(["apt-get", "install", "-y", "slow"])?;
    await_state(&inside, "slow", "iF 1")?;
    let answer = inside.call("transact 0.5 other")?;
    assert_says(
        &answer,
        &["Busy: cannot lock the package database: process ", " (apt-get install -y slow) holds /var/lib/dpkg/lock"],
    );
    let waiting = inside.invocation(&[], &["transact 60 other"])?.spawn()?;
    std::thread::sleep(Duration::from_millis(500));
    inside.machine.run(["rm", "/slow"])?.assert_ok();
    assert_says(&waiting.wait(Duration::from_secs(60))?.assert_ok().stdout, &["done"]);
    assert!(!install.is_running()?);
    assert_eq!((dpkg(&inside, "slow")?, dpkg(&inside, "other")?), ("ii 1".to_owned(), "ii 1".to_owned()));
    assert_eq!(inside.call("transact 60 --slow --other")?, "done");

    // Killed in the middle.
    inside.machine.write_file("/slow", "")?;
    let install = inside.machine.spawn(["apt-get", "install", "-y", "slow"])?;
    await_state(&inside, "slow", "iF 1")?;
    inside.machine.shell("kill -9 $(pidof apt-get) $(pidof dpkg) $(pgrep -f '[s]low.postinst')")?.assert_ok();
    drop(install);
    inside.machine.run(["rm", "/slow"])?.assert_ok();
    inside.machine.run(["sh", "-c", "ls /var/lib/dpkg/updates | grep -q ."])?.assert_ok();
    assert_eq!(inside.call("installed slow")?, "1 Unfinished");
    assert_eq!(inside.call("transact 60 other")?, "done");
    assert_eq!((dpkg(&inside, "slow")?, dpkg(&inside, "other")?), ("ii 1".to_owned(), "ii 1".to_owned()));
    assert_eq!(inside.call("transact 60 --slow")?, "done");

    // Its time is up.
    inside.machine.write_file("/slow", "")?;
    let begun = Instant::now();
    let answer = inside.call("transact 4 slow")?;
    assert_says(&answer, &["TimedOut: cannot install package slow", "the next run finishes what was begun"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    inside.machine.run(["sh", "-c", "pidof apt-get dpkg || pgrep -f '[s]low.postinst'"])?.assert_code(1);
    inside.machine.run(["rm", "/slow"])?.assert_ok();
    assert_eq!(inside.call("transact 60 third")?, "done");
    assert_eq!((dpkg(&inside, "slow")?, dpkg(&inside, "third")?), ("ii 1".to_owned(), "ii 1".to_owned()));
    Ok(())
}

/// Waits until dpkg has written that a package is in `state`.
fn await_state(inside: &Inside, name: &str, state: &str) -> Result<()> {
    let until = Instant::now() + Duration::from_secs(20);
    while dpkg(inside, name)? != state {
        assert!(Instant::now() < until, "{name} is {}", dpkg(inside, name)?);
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
