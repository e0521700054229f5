//! Benches of the author's desk: `compile`, `check` and `bind`, as a process and inside one.

use std::fmt::Write as _;

use super::disk;
use super::duel::{Rounds, Side, duel};
use super::failure::{Failure, Result};
use super::figures::{Figures, Row};
use super::repository::{Manifest, Repository};
use super::site::{Host, Site, line, text};
use crate::process::run;

/// Cookbooks of the repository.
const COOKBOOKS: usize = 100;
/// Resources of each cookbook: ten a kind, but twenty files.
const RESOURCES: usize = 50;

/// The repository of 100 cookbooks and 5,000 resources, of every kind that has names to be linked.
fn fleet() -> Result<Repository> {
    let repository = Repository::new("fleet")?;
    let mut run_list = Vec::new();
    for number in 0..COOKBOOKS {
        let cookbook = format!("app{number:03}");
        let depends = if number == 0 { String::new() } else { format!("[depends]\napp{:03} = \"^1\"\n", number - 1) };
        let attributes = "[attributes.port]\ntype = \"integer\"\nminimum = 1\ndefault = 8080\n\
                          [attributes.workers]\ntype = \"integer\"\ndefault = \"{{ facts.cpu.count }}\"\n\
                          [attributes.enabled]\ntype = \"boolean\"\ndefault = true\n";
        repository.write_cookbook(&cookbook, &(depends + attributes))?;
        for template in 0..2 {
            let source = format!(
                "# {cookbook}\nport = {{{{ attr.{cookbook}.port }}}}\nworkers = {{{{ workers }}}}\n\
                 {{% for number in range(3) %}}listen {{{{ number }}}}\n{{% endfor %}}"
            );
            repository.write(&format!("cookbooks/{cookbook}/templates/{template}.j2"), source)?;
        }
        repository.write(&format!("cookbooks/{cookbook}/recipes/default.toml"), recipe(&cookbook))?;
        run_list.push(cookbook);
    }
    repository.write_policy(&run_list)?;
    Ok(repository)
}

/// [`RESOURCES`] resources that require, notify and subscribe to one another.
fn recipe(cookbook: &str) -> String {
    let mut recipe = "description = \"One application of many\"\n".to_owned();
    for number in 0..RESOURCES / 10 {
        let name = format!("{cookbook}-{number}");
        let _ = write!(
            recipe,
            "[package.{name}]\nversion = \">= 1.{number}\"\n\
             [group.{name}]\nsystem = true\n\
             [user.{name}]\ngroup = \"{name}\"\nsystem = true\nhome = \"/srv/{name}\"\n\
             [directory.\"/srv/{name}\"]\nowner = \"{name}\"\nmode = \"0750\"\n\
             [file.\"/srv/{name}/a.conf\"]\ntemplate = \"0.j2\"\nvars = {{ workers = \"{{{{ attr.{cookbook}.workers }}}}\" }}\n\
             owner = \"{name}\"\nmode = \"0640\"\nnotifies = {{ restart = \"service[{name}]\" }}\n\
             [file.\"/srv/{name}/b.conf\"]\nwhen = \"attr.{cookbook}.enabled\"\n\
             content = \"port = {{{{ attr.{cookbook}.port + {number} }}}}\\n\"\nrequires = \"package[{name}]\"\n\
             [file.\"/etc/systemd/system/{name}.service\"]\ntemplate = \"1.j2\"\nvars = {{ workers = {number} }}\n\
             [link.\"/etc/{name}.conf\"]\nto = \"/srv/{name}/a.conf\"\n\
             [execute.\"index {name}\"]\ncommand = [\"/bin/true\", \"{name}\"]\nrun = \"when_notified\"\n\
             subscribes = {{ run = \"file[/srv/{name}/b.conf]\" }}\n\
             [service.{name}]\nrunning = true\nenabled = true\n"
        );
    }
    recipe
}

/// A floor that reads the whole repository.
fn reading(repository: &Repository) -> Result<String> {
    let mut manifest = Manifest::default();
    for path in disk::files_below(&repository.root())? {
        manifest.reading(&text(&path));
    }
    let path = repository.path("manifest");
    disk::write(&path, manifest.into_bytes())?;
    Ok(text(&path))
}

/// `compile` and `check`, each as a process of its own.
pub(crate) fn processes(host: &Host, quick: bool) -> Result<Vec<Row>> {
    let repository = fleet()?;
    let manifest = reading(&repository)?;
    let tools = host.tools();
    let floor = Side::repeated("reads the files of the repository", line([&tools.floor, "compare", &manifest]));
    let what = format!("{COOKBOOKS} cookbooks, {} resources", COOKBOOKS * RESOURCES);
    let (compiling, checking) = (format!("compiles {what}"), format!("checks {what}"));
    let compile = Side::repeated(&compiling, repository.compiling(&tools.agent));
    let check = Side::repeated(&checking, line([&tools.agent, "check", &text(&repository.root())]));
    [("compile", compile), ("check", check)]
        .into_iter()
        .map(|(name, side)| duel(host, name, &side, &floor, Rounds::short(quick)))
        .collect()
}

/// `inside`: the same without a process around it, and what a node does with the graph: read it and bind it.
pub(crate) fn inside(quick: bool) -> Result<Vec<Row>> {
    let repository = fleet()?;
    let rounds = if quick { "5" } else { "25" };
    let build = ["cargo", "build", "--release", "--package", "xtask", "--example", "policy-timer"];
    if !run(&build, &[]) {
        return Err(Failure::of("build", "the timer of policies", "cargo failed"));
    }
    let timer = converge_testbed::target_directory().join("release/examples/policy-timer");
    let ended = super::site::run(&line([&text(&timer), &text(&repository.root()), "bench", rounds]), None)?;
    if ended.code != Some(0) {
        return Err(Failure::of("time", repository.root().display(), ended.stderr));
    }
    let rows: Vec<Row> = ended.stdout.lines().filter_map(timed).collect();
    if rows.is_empty() { Err(Failure::of("read", "the timer's output", ended.stdout)) } else { Ok(rows) }
}

/// A row of one line that the timer prints: `name: milliseconds milliseconds …`.
fn timed(line: &str) -> Option<Row> {
    let (name, runs) = line.split_once(": ")?;
    let runs: Option<Vec<f64>> = runs.split_whitespace().map(|word| word.parse().ok()).collect();
    Some(Row::alone(&format!("inside-{name}"), Figures::inside(&format!("{name}, without a process"), runs?)))
}
