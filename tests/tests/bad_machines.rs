//! Machines that are in a bad way: planted links, places that cannot be written, full disks, services that never come up,
//! packages that ask or fail, locks that others hold. Nothing hangs or is half-written, and the message is enough to mend it.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and looks at the machine itself"
)]

use std::time::{Duration, Instant};

use converge_testbed::{AptRepository, MachineOptions, Package, Result, Script, Signal, require_machine};
use converge_tests::site::{Run, Site};

/// A disk for two files of the tests, and not for three.
const SMALL_DISK: u64 = 5 << 20;

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn places_where_root_must_not_or_cannot_write() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let site = Site::boot(MachineOptions::named("places").small_disk("/srv/small", SMALL_DISK))?;
    site.shell(
        "useradd -m mallory; mkdir -m 1777 /srv/shared
         su mallory -c 'ln -s /etc /srv/shared/app; ln -s /etc/shadow /home/mallory/notes'
         echo old > /srv/was-a-file.d; rm /srv/was-a-file.d; mkdir -p /srv/was-a-file.d/below
         echo old > /srv/kept; mkdir /srv/sealed /srv/read-only
         mount --bind /srv/read-only /srv/read-only; mount -o remount,bind,ro /srv/read-only
         head -c 1500000 /dev/zero > /srv/small/data; head -c 1500000 /dev/zero > /srv/small/fill",
    )?;
    let can_seal = site.machine.shell("chattr +i /srv/kept /srv/sealed")?.success();
    let etc = site.shell("ls -A /etc | sha256sum; sha256sum < /etc/shadow")?;
    let data = site.shell("sha256sum < /srv/small/data")?;
    site.repository_file("cookbooks/test/files/large", &"0123456789abcdef".repeat(200_000))?;
    site.recipe(
        r#"
        ordered = false

        [file."/srv/shared/app/hosts"]
        content = "mine"

        [file."/home/mallory/notes"]
        content = "not through the link\n"

        [file."/srv/was-a-file.d"]
        content = "a file\n"

        [file."/srv/kept"]
        content = "new\n"

        [file."/srv/sealed/in"]

        [file."/srv/read-only/in"]

        [file."/srv/small/data"]
        source = "large"

        [file."/srv/fine"]
        "#,
    )?;
    let run = site.converge()?.failed();
    run.failed_saying(
        "file[/srv/shared/app/hosts]",
        &["/srv/shared/app", "symbolic link of user mallory", "remove the link"],
    );
    run.failed_saying("file[/srv/was-a-file.d]", &["a directory is in the way", "remove it if it is not needed"]);
    run.failed_saying("file[/srv/read-only/in]", &["ead-only", "remount it"]);
    run.failed_saying("file[/srv/small/data]", &["o space", "df"]);
    if can_seal {
        run.failed_saying("file[/srv/kept]", &["/srv/kept is immutable", "chattr -i /srv/kept"]);
        run.failed_saying("file[/srv/sealed/in]", &["/srv/sealed is immutable", "chattr -i /srv/sealed"]);
        assert_eq!(site.shell("cat /srv/kept")?, "old");
        site.shell("chattr -i /srv/kept /srv/sealed")?;
    }
    assert_eq!(run.resource("file[/srv/fine]")["outcome"], "updated");
    // A link where a file is managed is replaced, and what it led to is as it was.
    assert_eq!(
        site.shell("stat -c %F /home/mallory/notes; cat /home/mallory/notes")?,
        "regular file\nnot through the link"
    );
    assert_eq!(
        site.shell("ls -A /etc | sha256sum; sha256sum < /etc/shadow")?,
        etc,
        "something was written through a link"
    );
    assert_eq!(site.shell("sha256sum < /srv/small/data")?, data, "the old content is gone");
    assert_eq!(
        site.shell("ls -A /srv/small; find /srv /etc /home -name '.converge-*'")?,
        "data\nfill",
        "something was left"
    );

    // All of it can be mended as the messages say.
    site.shell("rm /srv/shared/app /srv/small/fill; mkdir /srv/shared/app; rmdir -p /srv/was-a-file.d/below || true; umount /srv/read-only")?;
    site.converge()?.succeeded();
    site.idle()
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn a_state_directory_on_a_full_or_read_only_disk_is_said() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let site = Site::boot(MachineOptions::named("state").small_disk("/var/lib/converge", SMALL_DISK))?;
    site.recipe("[file.\"/srv/one\"]\ncontent = \"1\"\n")?;
    site.shell("head -c 8000000 /dev/zero > /var/lib/converge/fill || true")?;
    let full = site.machine.run(Site::ONCE)?.assert_code(3);
    let said = format!("{}{}", full.stdout, full.stderr);
    assert!(said.contains("/var/lib/converge") && said.contains("o space") && said.contains("df"), "{said}");
    site.machine.run(["test", "-e", "/srv/one"])?.assert_code(1);
    site.shell("rm /var/lib/converge/fill; mount -o remount,ro /var/lib/converge")?;
    let sealed = site.machine.run(Site::ONCE)?.assert_code(3);
    let said = format!("{}{}", sealed.stdout, sealed.stderr);
    assert!(said.contains("/var/lib/converge") && said.contains("ead-only"), "{said}");
    site.shell("mount -o remount,rw /var/lib/converge")?;
    site.converge()?.succeeded();
    site.idle()
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn services_that_do_not_come_up() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let site = Site::boot("never-ready")?;
    for (unit, service) in [
        ("never-ready", "Type=notify\nExecStart=/bin/sleep infinity\nTimeoutStartSec=infinity"),
        ("dies", "ExecStart=/bin/sh -c 'echo the port is taken >&2; exit 9'"),
        ("nowhere", "ExecStart=/usr/bin/not-there"),
        ("well", "ExecStart=/bin/sleep infinity"),
    ] {
        site.machine.write_file(&format!("/etc/systemd/system/{unit}.service"), format!("[Service]\n{service}\n"))?;
    }
    site.shell("systemctl daemon-reload")?;
    site.recipe(
        r#"
        ordered = false

        [service.never-ready]
        running = true
        timeout = "2s"

        [service.dies]
        running = true

        [service.nowhere]
        running = true

        [service.no-such-unit]
        running = true

        [service.well]
        running = true
        "#,
    )?;
    let started = Instant::now();
    let run = site.converge()?.failed();
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
    run.failed_saying("service[never-ready]", &["never-ready.service", "2s", "Type=notify", "timeout"]);
    run.failed_saying("service[dies]", &["dies.service", "the port is taken"]);
    run.failed_saying("service[nowhere]", &["nowhere.service", "its program is not there", "ExecStart"]);
    run.failed_saying("service[no-such-unit]", &["no-such-unit"]);
    assert_eq!(site.shell("systemctl is-active well")?, "active");
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn packages_that_ask_fail_or_were_cut_off() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let mut packages = AptRepository::new()?;
    packages.add(&Package::new("asks", "1").question("asks/colour", "Which colour?", "/var/lib/colour"))?;
    packages.add(&Package::new("reads", "1").script(
        Script::PostInst,
        "read answer < /dev/tty || read answer || answer=none; echo \"$answer\" > /var/lib/answer",
    ))?;
    let unhappy = "if [ ! -e /run/mended ]; then echo 'the database is not reachable' >&2; exit 1; fi";
    packages.add(&Package::new("unhappy", "1").script(Script::PostInst, unhappy))?;
    packages.add(
        &Package::new("slow", "1")
            .script(Script::PostInst, "echo $$ > /run/slow; if [ ! -e /run/mended ]; then sleep 120; fi"),
    )?;
    for version in ["1", "2"] {
        packages.add(&Package::new("edited", version).conffile("/etc/edited.conf", format!("version {version}\n")))?;
    }
    let site = Site::boot_with_packages("packages", &packages)?;

    // Nobody is there to answer; an edited configuration file stays.
    site.shell("apt-get install -qq -y edited=1 >/dev/null 2>&1; echo mine > /etc/edited.conf")?;
    site.recipe("[package.asks]\n\n[package.reads]\n\n[package.edited]\nversion = \"2\"\n")?;
    site.converge()?.succeeded();
    assert_eq!(site.shell("cat /var/lib/colour /var/lib/answer /etc/edited.conf")?, "blue\nnone\nmine");
    site.idle()?;

    // A script fails: the message has its words, and the next run finishes the package once it is mended.
    site.recipe("[package.unhappy]\n")?;
    site.converge()?.failed().failed_saying("package[unhappy]", &["the database is not reachable", "script"]);
    assert_eq!(site.shell("dpkg-query -W -f '${db:Status-Status}' unhappy")?, "half-configured");
    site.shell("touch /run/mended")?;
    site.converge()?.succeeded();
    assert_eq!(site.shell("dpkg-query -W -f '${db:Status-Status}' unhappy; rm /run/mended")?, "installed");

    // A machine on which everything was killed in the middle of an installation.
    site.recipe("[package.slow]\n")?;
    let mut run = site.machine.spawn(Site::ONCE)?;
    wait_until("the package's script never ran", || Ok(site.machine.run(["test", "-s", "/run/slow"])?.success()))?;
    run.signal(Signal::SIGKILL)?;
    run.wait(Duration::from_secs(10))?;
    site.shell("pkill -9 apt-get || true; pkill -9 dpkg || true; kill -9 $(cat /run/slow) || true; touch /run/mended")?;
    site.converge()?.succeeded();
    assert_eq!(site.shell("dpkg-query -W -f '${db:Status-Status}' slow; dpkg --audit")?, "installed");
    site.idle()
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn another_package_manager_is_waited_for_and_named() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let mut packages = AptRepository::new()?;
    packages.add(&Package::new("tool", "1"))?;
    packages.add(&Package::new("busy", "1").script(Script::PostInst, "echo ran > /run/busy; sleep 5"))?;
    let endless = "echo $$ > /run/endless; if [ ! -e /run/mended ]; then sleep 300; fi";
    packages.add(&Package::new("endless", "1").script(Script::PostInst, endless))?;
    let site = Site::boot_with_packages("locked", &packages)?;
    // A package manager that takes its time is waited for.
    let other = site.machine.spawn(["apt-get", "install", "-qq", "-y", "busy"])?;
    wait_until("the other never began", || Ok(site.machine.run(["test", "-s", "/run/busy"])?.success()))?;
    site.recipe("[package.tool]\n")?;
    let run = site.converge()?.succeeded();
    assert!(run.report["millis"].as_u64().unwrap() > 1_000, "it did not wait: {:#}", run.report);
    other.wait(Duration::from_secs(20))?.assert_ok();

    // One that never ends is named.
    site.shell("apt-get remove -qq -y tool >/dev/null 2>&1")?;
    let holder = site.machine.spawn(["apt-get", "install", "-qq", "-y", "endless"])?;
    wait_until("the other never began", || Ok(site.machine.run(["test", "-s", "/run/endless"])?.success()))?;
    site.recipe("[package.tool]\ntimeout = \"3s\"\n")?;
    let run = site.converge()?.failed();
    run.failed_saying("package[tool]", &["lock the package database", "apt-get install -qq -y endless", "run again"]);
    drop(holder);
    site.shell("kill -9 $(cat /run/endless) || true; pkill -9 dpkg || true; touch /run/mended")?;
    site.converge()?.succeeded();
    assert_eq!(site.shell("dpkg --audit")?, "");
    site.idle()
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn a_locale_that_is_not_installed_changes_nothing() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let mut packages = AptRepository::new()?;
    packages.add(&Package::new("tool", "1"))?;
    let site = Site::boot_with_packages("locale", &packages)?;
    site.recipe(
        r#"
        [package.tool]

        [user.ana]
        comment = "Ána 日本語"

        [file."/srv/日本語"]
        content = "多くの言葉\n"

        [execute.locale]
        command = "echo \"$LC_ALL\" > /srv/locale; ls /srv/not-there 2>&1 | grep -q 'No such file'"
        creates = "/srv/locale"
        "#,
    )?;
    let japanese = |arguments: &[&str]| {
        let command = site.machine.command(arguments)?;
        command.env("LC_ALL", "ja_JP.UTF-8").env("LANG", "ja_JP.UTF-8").env("LANGUAGE", "ja").run()
    };
    Run::of(japanese(&Site::ONCE)?).succeeded();
    assert_eq!(
        site.shell("cat /srv/日本語; getent passwd ana | cut -d: -f5; cat /srv/locale")?,
        "多くの言葉\nÁna 日本語\nC.UTF-8"
    );
    let again = Run::of(japanese(&Site::ONCE)?).succeeded();
    assert_eq!(again.ids("updated"), Vec::<String>::new());
    let said = japanese(&["converge", "check", "/root/policy"])?.assert_ok();
    assert!(said.stdout.contains("no errors"), "{}", said.stdout);
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn without_a_network_the_rest_goes_on() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let site = Site::boot("alone")?;
    site.shell("echo 'deb [trusted=yes] http://mirror.invalid/debian bookworm main' > /etc/apt/sources.list; rm -rf /etc/apt/sources.list.d/*")?;
    site.recipe(
        r#"
        ordered = false

        [package.nginx]

        [file."/srv/rest"]
        "#,
    )?;
    let started = Instant::now();
    let run = site.converge()?.failed();
    run.failed_saying("package[nginx]", &["nginx", "mirror.invalid"]);
    assert_eq!(run.resource("file[/srv/rest]")["outcome"], "updated");
    assert!(started.elapsed() < Duration::from_secs(50), "{:?}", started.elapsed());
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn facts_that_others_could_have_written_are_left_out() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let site = Site::boot("facts")?;
    site.shell(
        "mkdir -p /etc/converge/facts.d; cd /etc/converge/facts.d; useradd mallory
         echo 'colour = \"green\"' > good.toml
         echo 'colour = \"red\"' > open.toml; chmod 666 open.toml
         echo '{}' > stolen.json; chown mallory stolen.json
         echo '{' > broken.json; mkfifo pipe.json; ln -s /dev/zero endless.json; head -c 5000000 /dev/zero > huge.toml",
    )?;
    site.recipe(
        "[file.\"/srv/colour\"]\ncontent = \"{{ facts.local.good.colour }} {{ facts.local.open is defined }}\\n\"\n",
    )?;
    let run = site.converge()?.succeeded();
    assert_eq!(site.shell("cat /srv/colour")?.to_lowercase(), "green false");
    let remarks = run.report["remarks"].to_string();
    for part in [
        "open.toml are left out: others may write to it (mode 0666)",
        "chmod go-w",
        "stolen.json are left out: it belongs to the user numbered",
        "broken.json are left out: it is no JSON",
        "pipe.json are left out",
        "endless.json are left out",
        "huge.toml are left out",
    ] {
        assert!(remarks.contains(part), "{part:?} is not in {remarks}");
    }
    site.shell("chmod 777 /etc/converge/facts.d")?;
    let run = site.converge()?;
    assert!(
        run.report["remarks"].to_string().contains("/etc/converge/facts.d are left out: others may write to it"),
        "{:#}",
        run.report
    );
    assert_eq!(site.shell("cat /srv/colour")?.to_lowercase(), "green false", "an undefined fact was written");
    Ok(())
}

/// Waits until `holds`, and fails with `what` if it does not in time.
fn wait_until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds()? {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
