//! Every kind on a real booted machine, looked at with tools that are not ours: stat, dpkg-query, systemctl, getent.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, and looks at the machine itself"
)]

use converge_testbed::{AptRepository, Package, Result, Script, require_machine};
use converge_tests::site::Site;

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn files_directories_and_links() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let site = Site::boot("files")?;
    site.shell(
        "mkdir -p /srv/purged/deep; touch /srv/purged/stray /srv/purged/deep/stray /srv/purged/kept
         ln -s /etc/shadow /srv/was-a-link; echo target > /srv/target; ln -s /srv/target /srv/followed
         echo old > /srv/changed; chmod 600 /srv/changed; setfattr -n user.note -v kept /srv/changed 2>/dev/null || true",
    )?;
    let shadow = site.shell("sha256sum < /etc/shadow")?;
    site.repository_file("cookbooks/test/files/logo.bin", &"binary ".repeat(100_000))?;
    site.recipe(
        r#"
        [directory."/srv/site"]
        owner = "www-data"
        mode = "2750"

        [directory."/srv/a/b/c"]
        parents = true

        [directory."/srv/purged"]
        purge = true

        [file."/srv/purged/kept"]

        [file."/srv/site/logo.bin"]
        source = "logo.bin"
        group = "www-data"
        mode = "0640"

        [file."/srv/was-a-link"]
        content = "not through the link\n"

        [file."/srv/followed"]
        content = "through the link\n"
        follow = true

        [file."/srv/changed"]
        content = "new\n"

        [file."/srv/gone"]
        ensure = "absent"

        [file."/srv/checked"]
        content = "{ \"good\": true }\n"
        validate = ["grep", "-q", "good", "{path}"]

        [link."/srv/current"]
        to = "site"

        [link."/srv/hard"]
        to = "/srv/changed"
        type = "hard"
        "#,
    )?;
    site.shell("touch /srv/gone")?;
    let run = site.settle()?;
    let purged = run.resource("directory[/srv/purged]").to_string();
    assert!(purged.contains("stray") && purged.contains("deep"), "{purged}");
    for (path, stat) in [
        ("/srv/site", "www-data:root 2750 directory"),
        ("/srv/a/b/c", "root:root 755 directory"),
        ("/srv/site/logo.bin", "root:www-data 640 regular file"),
        ("/srv/was-a-link", "root:root 644 regular file"),
        ("/srv/followed", "root:root 777 symbolic link"),
        ("/srv/changed", "root:root 600 regular file"),
        ("/srv/checked", "root:root 644 regular file"),
        ("/srv/current", "root:root 777 symbolic link"),
    ] {
        assert_eq!(site.shell(&format!("stat -c '%U:%G %a %F' {path}"))?, stat, "{path}");
    }
    assert_eq!(
        site.shell("cat /srv/target /srv/was-a-link /srv/changed")?,
        "through the link\nnot through the link\nnew"
    );
    assert_eq!(site.shell("sha256sum < /etc/shadow")?, shadow, "something was written through a link");
    assert_eq!(site.shell("wc -c < /srv/site/logo.bin")?, "700000");
    assert_eq!(site.shell("ls -A /srv/purged")?, "kept");
    assert_eq!(site.shell("stat -c %h /srv/changed; readlink /srv/current")?, "2\nsite");
    site.machine.run(["test", "-e", "/srv/gone"])?.assert_code(1);
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn users_and_groups() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let site = Site::boot("accounts")?;
    site.shell("useradd -m leaver; groupadd old; useradd -G old,games member")?;
    let hash = "$6$saltsalt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/";
    let recipe = r#"
        [group.deploy]
        gid = 1500

        [user.ana]
        uid = 1501
        group = "deploy"
        groups = ["games", "audio"]
        shell = "/bin/bash"
        comment = "Ana, of operations"
        create_home = true
        password = "HASH"
        expires = "2030-01-31"
        authorized_keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJvZ3VzYm9ndXNib2d1c2JvZ3VzYm9ndXNib2d1c2Jv ana@desk"]

        [user.daemonish]
        system = true
        locked = true

        [user.member]
        groups = ["audio"]
        groups_mode = "exact"

        [user.leaver]
        ensure = "absent"
        remove_home = true
        "#;
    site.recipe(&recipe.replace("HASH", hash))?;
    let run = site.settle()?;
    let report = run.report.to_string();
    assert!(!report.contains("saltsalt"), "a password's hash is in the report: {report}");
    assert_eq!(site.shell("getent passwd ana")?, "ana:x:1501:1500:Ana, of operations:/home/ana:/bin/bash");
    assert_eq!(site.shell("id -nG ana | tr ' ' '\\n' | sort | xargs")?, "audio deploy games");
    assert_eq!(site.shell("id -nG member | tr ' ' '\\n' | sort | xargs")?, "audio member");
    assert_eq!(site.shell("getent shadow ana | cut -d: -f2,8")?, format!("{hash}:21945"));
    assert_eq!(site.shell("passwd -S daemonish | cut -d' ' -f2; id -u daemonish | awk '{print ($1 < 1000)}'")?, "L\n1");
    let keys = "/home/ana/.ssh /home/ana/.ssh/authorized_keys";
    assert_eq!(site.shell(&format!("stat -c '%U:%G %a' {keys}"))?, "ana:deploy 700\nana:deploy 600");
    site.machine.shell("getent passwd leaver")?.assert_code(2);
    site.machine.run(["test", "-e", "/home/leaver"])?.assert_code(1);
    Ok(())
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn packages_in_two_versions() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let mut packages = AptRepository::new()?;
    for version in ["1.0-1", "2.0-1"] {
        packages.add(&Package::new("tool", version).conffile("/etc/tool.conf", format!("version {version}\n")))?;
        packages.add(&Package::new("held", version))?;
        packages.add(&Package::new("newest", version))?;
    }
    packages.add(&Package::new("leaver", "1").conffile("/etc/leaver.conf", "left\n"))?;
    packages.add(&Package::new("remover", "1").conffile("/etc/remover.conf", "left\n"))?;
    let broken = "if [ ! -e /run/mended ]; then echo 'the script is unhappy' >&2; exit 1; fi";
    packages.add(&Package::new("broken", "1").script(Script::PostInst, broken))?;
    packages.add(&Package::new("asks", "1").question("asks/colour", "Which colour?", "/var/lib/colour"))?;
    let archive = packages.add(&Package::new("local", "3.0"))?;
    let site = Site::boot_with_packages("packages", &packages)?;
    site.shell("apt-get install -qq -y leaver remover held=1.0-1 >/dev/null 2>&1")?;
    site.machine.write_file("/root/local.deb", std::fs::read(archive).unwrap())?;
    site.recipe(
        r#"
        [package.tool]
        version = "1.0-1"

        [package.several]
        names = ["asks", "newest"]

        [package.held]
        hold = true

        [package.local]
        archive = "/root/local.deb"

        [package.leaver]
        ensure = "purged"

        [package.remover]
        ensure = "absent"
        "#,
    )?;
    site.settle()?;
    let installed = |names: &str| site.shell(&format!("dpkg-query -W -f '${{db:Status-Abbrev}}${{Version}} ' {names}"));
    assert_eq!(installed("tool asks newest held local")?, "ii 1 hi 1.0-1 ii 3.0 ii 2.0-1 ii 1.0-1");
    assert_eq!(installed("remover")?, "rc 1");
    site.machine.run(["dpkg-query", "-W", "leaver"])?.assert_code(1);

    site.recipe("[package.tool]\nversion = \">= 2\"\n\n[package.newest]\nensure = \"latest\"\n")?;
    site.settle()?;
    assert_eq!(installed("tool")?, "ii 2.0-1");

    // One of a transaction fails: the others are installed, and the one is blamed by name with what its script said.
    site.recipe(
        "ordered = false\n[package.broken]\n\n[package.remover]\n\n[package.leaver]\n\n[file.\"/srv/after\"]\n",
    )?;
    let run = site.converge()?.failed();
    run.failed_saying("package[broken]", &["the script is unhappy"]);
    assert_eq!(installed("remover leaver")?, "ii 1 ii 1");
    site.shell("touch /run/mended")?;
    site.converge()?.succeeded();
    assert_eq!(installed("broken")?, "ii 1");
    site.idle()
}

#[test]
#[ignore = "needs root and a booted machine; run by cargo xtask test"]
fn services_and_commands() -> Result<()> {
    if !require_machine() {
        return Ok(());
    }
    let site = Site::boot("services")?;
    site.shell(
        "for unit in stopped masked; do
             printf '[Service]\\nExecStart=/bin/sleep infinity\\n[Install]\\nWantedBy=multi-user.target\\n' \
                 > /usr/lib/systemd/system/$unit.service
         done
         systemctl daemon-reload; systemctl enable -q --now stopped",
    )?;
    let recipe = r#"
        [file."/etc/systemd/system/app.service"]
        content = """
        [Service]
        Environment=RELEASE=1
        ExecStart=/bin/sh -c 'echo $RELEASE >> /run/app; exec sleep infinity'
        ExecReload=/bin/sh -c 'echo reloaded >> /run/app'
        [Install]
        WantedBy=multi-user.target
        """
        notifies = { restart = "service[app]" }

        [file."/etc/app.conf"]
        content = "one\n"
        notifies = { reload = "service[app]" }

        [service.app]
        running = true
        enabled = true

        [service.stopped]
        running = false
        enabled = false

        [service.masked]
        masked = true

        [service.not-there]
        running = false

        [execute.once]
        command = ["touch", "/run/made"]
        creates = "/run/made"

        [execute.as-nobody]
        command = "id -un > \"$PLACE\"; umask >> \"$PLACE\"; pwd >> \"$PLACE\""
        env = { PLACE = "/tmp/as-nobody" }
        cwd = "/tmp"
        user = "nobody"
        umask = "0077"
        not_if = { exists = "/tmp/as-nobody" }

        [execute.three]
        command = "exit 3"
        exit_codes = [3]
        only_if = "test ! -e /run/three"

        [file."/run/three"]
        "#;
    site.recipe(&recipe.replace("\n        ", "\n"))?;
    site.converge()?.succeeded();
    site.idle()?;
    assert_eq!(site.shell("systemctl is-active app; systemctl is-enabled app; cat /run/app")?, "active\nenabled\n1");
    assert_eq!(
        site.shell("systemctl is-active stopped || true; systemctl is-enabled stopped || true")?,
        "inactive\ndisabled"
    );
    assert_eq!(site.shell("systemctl is-enabled masked || true")?, "masked");
    assert_eq!(site.shell("cat /tmp/as-nobody; stat -c %a /tmp/as-nobody")?, "nobody\n0077\n/tmp\n600");

    // The unit changes: units are read anew, and the service is restarted once. Then only what it reads: a reload.
    site.recipe(&recipe.replace("\n        ", "\n").replace("RELEASE=1", "RELEASE=2"))?;
    site.converge()?.succeeded();
    assert_eq!(site.shell("cat /run/app")?, "1\n2");
    let changed = recipe.replace("\n        ", "\n").replace("RELEASE=1", "RELEASE=2").replace("one\\n", "two\\n");
    site.recipe(&changed)?;
    site.converge()?.succeeded();
    assert_eq!(site.shell("cat /run/app")?, "1\n2\nreloaded");
    site.idle()
}
