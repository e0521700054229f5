//! The bench `node`: a realistic node, on a booted machine where systemd runs.

use std::fmt::Write as _;

use super::duel::{Rounds, Side, duel};
use super::failure::{Failure, Result};
use super::figures::{Limit, Row};
use super::guest::Guest;
use super::repository::{Manifest, Repository};
use super::site::{Host, Site, line};

/// What the node has, as the design counts it.
const PACKAGES: usize = 40;
const FILES: usize = 60;
const ACCOUNTS: usize = 20;
const LINKS: usize = 20;
const SERVICES: usize = 10;
const GUARDS: usize = 5;

/// The command of each guard; a shell runs it.
const GUARD: &str = "test -e /etc/hostname";

/// A no-op run of the whole node.
pub(crate) fn node(host: &Host, quick: bool) -> Result<Row> {
    let guest = Guest::boot(host)?;
    let packages = packages(&guest)?;
    let repository = Repository::new("node")?;
    let manifest = write(&repository, &packages)?;
    repository.compile(host)?;
    let agent = guest.bring(&repository)?;
    agent.settle(&guest, 1 + PACKAGES + FILES + ACCOUNTS + LINKS + SERVICES)?;
    let manifest = guest.write("manifest", manifest.into_bytes())?;

    let what = format!(
        "a run that changes nothing: {PACKAGES} packages, {FILES} files, {ACCOUNTS} accounts, {LINKS} links, {SERVICES} \
         services, {GUARDS} guards"
    );
    let subject = Side::repeated(&what, agent.once());
    let floor = Side::repeated(
        "reads the databases, the files and the links, and runs the guards; asks nothing of systemd",
        line([&guest.tools().floor, "compare", &manifest]),
    );
    let mut row = duel(&guest, "node", &subject, &floor, Rounds::short(quick))?.within_milliseconds(10.0);
    if let Some(calls) = row.subject.calls {
        let figure = calls.programs as f64;
        row.limits.push(Limit { what: "programs started", figure, bound: GUARDS as f64, unit: "" });
    }
    Ok(row)
}

/// Names of packages that the machine has.
fn packages(guest: &Guest) -> Result<Vec<String>> {
    let listed = guest.must(&line(["dpkg-query", "--show", "--showformat", "${Package}\n"]))?;
    let packages: Vec<String> = listed.lines().take(PACKAGES).map(str::to_owned).collect();
    if packages.len() == PACKAGES {
        return Ok(packages);
    }
    Err(Failure::Broken(format!("the machine has {} packages, and the bench needs {PACKAGES}", packages.len())))
}

/// Writes the policy, and gives what the floor does.
fn write(repository: &Repository, packages: &[String]) -> Result<Manifest> {
    let mut manifest = Manifest::default();
    for database in ["/var/lib/dpkg/status", "/etc/passwd", "/etc/group", "/etc/shadow"] {
        manifest.reading(database);
    }
    let mut recipe = "description = \"A realistic node\"\n[directory.\"/srv/node\"]\n".to_owned();
    manifest.directory("/srv/node");
    for package in packages {
        let _ = writeln!(recipe, "[package.\"{package}\"]");
    }
    for number in 0..ACCOUNTS {
        let _ = writeln!(recipe, "[user.node{number:02}]\nsystem = true\nshell = \"/usr/sbin/nologin\"");
    }
    for number in 0..FILES - SERVICES {
        let path = format!("/srv/node/{number:02}.conf");
        let _ = writeln!(recipe, "[file.\"{path}\"]\nowner = \"node{:02}\"\nmode = \"0640\"", number % ACCOUNTS);
        if number % 2 == 0 {
            let content = format!("number = {number}\n{}", "option = value\n".repeat(60));
            let _ = writeln!(recipe, "content = '''\n{content}'''");
            manifest.file(&path, content.as_bytes());
        } else {
            let _ = writeln!(recipe, "template = \"{}.j2\"\nvars = {{ number = {number} }}", number % 10);
            manifest.reading(&path);
        }
        if number < GUARDS {
            let _ = writeln!(recipe, "only_if = \"{GUARD}\"");
            manifest.command(GUARD);
        }
    }
    for number in 0..LINKS {
        let (path, target) = (format!("/srv/node/link{number:02}"), format!("{number:02}.conf"));
        let _ = writeln!(recipe, "[link.\"{path}\"]\nto = \"{target}\"");
        manifest.link(&path, &target);
    }
    for number in 0..SERVICES {
        let unit = format!("node-bench-{number}");
        let file = format!("/etc/systemd/system/{unit}.service");
        let content = format!(
            "[Unit]\nDescription=Bench {number}\n\n[Service]\nExecStart=/usr/bin/sleep infinity\n\n\
             [Install]\nWantedBy=multi-user.target\n"
        );
        manifest.file(&file, content.as_bytes());
        let _ = writeln!(
            recipe,
            "[file.\"{file}\"]\ncontent = '''\n{content}'''\nnotifies = {{ restart = \"service[{unit}]\" }}\n\
             [service.{unit}]\nrunning = true\nenabled = true"
        );
    }
    repository.write_cookbook("node", "")?;
    for template in 0..10 {
        let source = format!(
            "# {template} on {{{{ node.name }}}}\nnumber = {{{{ number }}}}\ncpus = {{{{ facts.cpu.count }}}}\n{}",
            "option = value\n".repeat(60)
        );
        repository.write(&format!("cookbooks/node/templates/{template}.j2"), source)?;
    }
    repository.write("cookbooks/node/recipes/default.toml", recipe)?;
    repository.write_policy(&["node".to_owned()])?;
    Ok(manifest)
}
