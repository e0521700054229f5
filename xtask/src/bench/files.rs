//! Benches of many files: `noop-N`, `reading`, `first-N` and `templates`; and `start`, which is what is left without any.

use std::fmt::Write as _;
use std::num::NonZero;
use std::thread::available_parallelism;

use super::disk;
use super::duel::{Rounds, Side, duel};
use super::failure::{Failure, Result};
use super::figures::Row;
use super::repository::{Agent, Manifest, Repository};
use super::site::{Host, Site, line, text};

/// Files in one directory.
const IN_DIRECTORY: usize = 100;
/// Files in one recipe: a document may not be of any size.
const IN_RECIPE: usize = 10_000;
/// From so many files on the floor looks at them with all cores: what a C program would do too.
const WORTH_THREADS: usize = 10_000;
/// Runs of so many resources take seconds.
const MANY: usize = 50_000;

/// A tree of files of 1 KB: declared in recipes, and in a manifest for the floor.
#[derive(Debug)]
pub(crate) struct Tree {
    agent: Agent,
    /// The tree's root.
    root: std::path::PathBuf,
    manifest: String,
    files: usize,
    /// Files and directories.
    resources: usize,
}

impl Tree {
    /// Writes and compiles a policy of so many files. Nothing of it is there yet.
    pub(crate) fn of(host: &Host, files: usize) -> Result<Self> {
        let repository = Repository::new(&format!("files-{files}"))?;
        let root = repository.path("tree");
        let mut manifest = Manifest::default();
        manifest.directory(&text(&root));
        let mut resources = 1 + files;
        let mut recipes: Vec<String> = vec![format!("[directory.\"{}\"]\n", text(&root))];
        for number in 0..files {
            let directory = text(&root.join(format!("{:04}", number / IN_DIRECTORY)));
            let recipe = number / IN_RECIPE;
            if recipes.len() == recipe {
                recipes.push(String::new());
            }
            if number % IN_DIRECTORY == 0 {
                resources += 1;
                manifest.directory(&directory);
                let _ = writeln!(recipes[recipe], "[directory.\"{directory}\"]");
            }
            let (path, content) = (format!("{directory}/{:02}.conf", number % IN_DIRECTORY), content(number));
            manifest.file(&path, content.as_bytes());
            let _ = write!(recipes[recipe], "[file.\"{path}\"]\ncontent = '''\n{content}'''\n");
        }
        repository.write_cookbook("files", "")?;
        let mut run_list = Vec::new();
        for (number, recipe) in recipes.into_iter().enumerate() {
            repository.write(&format!("cookbooks/files/recipes/part{number}.toml"), recipe)?;
            run_list.push(format!("files::part{number}"));
        }
        repository.write_policy(&run_list)?;
        let path = repository.path("manifest");
        disk::write(&path, manifest.into_bytes())?;
        Ok(Self { agent: repository.compile(host)?, root, manifest: text(&path), files, resources })
    }

    fn rounds(&self, quick: bool) -> Rounds {
        if self.files >= MANY { Rounds::long(quick) } else { Rounds::short(quick) }
    }

    fn compared(&self, host: &Host) -> Vec<String> {
        let cores = available_parallelism().map_or(1, NonZero::get);
        let threads = if self.files >= WORTH_THREADS { cores.to_string() } else { "1".to_owned() };
        line([&host.tools().floor, "compare", &self.manifest, &threads])
    }

    /// `noop-N`: everything is as declared.
    pub(crate) fn noop(&self, host: &Host, quick: bool) -> Result<Row> {
        self.unchanged(host, quick, &format!("noop-{}", self.files), "a run that changes nothing")
    }

    /// `reading`: the same by an agent that trusts no inode.
    pub(crate) fn reading(&self, host: &Host, quick: bool) -> Result<Row> {
        self.agent.configure("reread_files = \"0s\"\n")?;
        let row = self.unchanged(host, quick, "reading", "a run that changes nothing, and reads every file");
        self.agent.configure("")?;
        row
    }

    fn unchanged(&self, host: &Host, quick: bool, name: &str, what: &str) -> Result<Row> {
        self.agent.settle(host, self.resources)?;
        let subject = Side::repeated(what, self.agent.once());
        let floor = Side::repeated("opens, reads and compares the same files", self.compared(host));
        duel(host, name, &subject, &floor, self.rounds(quick))
    }

    /// `first-N`: nothing is there.
    pub(crate) fn first(&self, host: &Host, quick: bool) -> Result<Row> {
        let attic = Host::attic();
        if let Some(wait) = attic.haunted() {
            let (why, seconds) =
                ("many files were just removed from this file system, which slows making new ones", wait.as_secs());
            return Err(Failure::Unable(format!("{why}; try again in {seconds} seconds")));
        }
        let clear = || attic.take(&self.root).and_then(|()| attic.take(&self.agent.state));
        clear()?;
        self.agent.update(host, self.resources)?;
        // Somebody else than the agent says that the files are right.
        host.must(&self.compared(host))?;
        let side = |what, line| Side { what, line, before: &clear, settled: true };
        let subject = side("a run that makes everything", self.agent.once());
        let floor = side(
            "writes the same files, renames them, and syncs the file system once",
            line([&host.tools().floor, "write", &self.manifest]),
        );
        duel(host, &format!("first-{}", self.files), &subject, &floor, self.rounds(quick))
    }
}

/// 1,024 bytes, no two files the same.
fn content(number: usize) -> String {
    (0..16).map(|line| format!("{number:08} {line:02} {:.<51}\n", "")).collect()
}

/// `start`: an empty policy against a bare process.
pub(crate) fn start(host: &Host, quick: bool) -> Result<Row> {
    let repository = Repository::new("start")?;
    repository.write_cookbook("nothing", "")?;
    repository.write("cookbooks/nothing/recipes/default.toml", "description = \"Nothing\"\n")?;
    repository.write_policy(&["nothing".to_owned()])?;
    let agent = repository.compile(host)?;
    agent.settle(host, 0)?;
    let subject = Side::repeated("a run of an empty policy", agent.once());
    let floor = Side::repeated("a bare process", line([&host.tools().floor]));
    duel(host, "start", &subject, &floor, Rounds::short(quick))
}

/// How the templates of a policy are spread over template files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Templates {
    /// A few, each rendered many times.
    Shared,
    /// One for each file.
    Distinct,
}

/// Files that are rendered.
const RENDERED: usize = 1_000;
/// Template files, where they are shared.
const SHARED: usize = 20;

/// `templates`: files that are rendered from templates, all as declared.
pub(crate) fn templates(host: &Host, which: Templates, quick: bool) -> Result<Row> {
    let (name, sources) = match which {
        Templates::Shared => ("templates", SHARED),
        Templates::Distinct => ("templates-distinct", RENDERED),
    };
    let repository = Repository::new(name)?;
    let root = repository.path("tree");
    let attributes = "[attributes.workers]\ntype = \"integer\"\ndefault = \"{{ facts.cpu.count }}\"\n\
                      [attributes.options]\ntype = \"map\"\ndefault = { timeout = 30, retries = 3, backlog = 128 }\n";
    repository.write_cookbook("pages", attributes)?;
    for source in 0..sources {
        repository.write(&format!("cookbooks/pages/templates/{source}.j2"), template(source))?;
    }
    let mut recipe = format!("[directory.\"{}\"]\n", text(&root));
    let mut paths = Vec::new();
    for number in 0..RENDERED {
        if number % IN_DIRECTORY == 0 {
            let _ = writeln!(recipe, "[directory.\"{}/{}\"]", text(&root), number / IN_DIRECTORY);
        }
        let path = format!("{}/{}/{:02}.conf", text(&root), number / IN_DIRECTORY, number % IN_DIRECTORY);
        let source = number % sources;
        let vars = format!("{{ title = \"page {number}\", enabled = true, number = {number} }}");
        let _ = write!(recipe, "[file.\"{path}\"]\ntemplate = \"{source}.j2\"\nvars = {vars}\n");
        paths.push(path);
    }
    repository.write("cookbooks/pages/recipes/default.toml", recipe)?;
    repository.write_policy(&["pages".to_owned()])?;
    let agent = repository.compile(host)?;
    agent.settle(host, 1 + RENDERED / IN_DIRECTORY + RENDERED)?;

    let mut manifest = Manifest::default();
    for (number, path) in paths.iter().enumerate() {
        let rendered = disk::read(path.as_ref())?;
        if !rendered.contains(&format!("title = page {number}\n")) {
            return Err(Failure::of("use", path, "it was not rendered from its template"));
        }
        manifest.file(path, rendered.as_bytes());
    }
    let document = repository.path("manifest");
    disk::write(&document, manifest.into_bytes())?;
    let what = format!("a run of {RENDERED} files of {sources} templates that changes nothing");
    let subject = Side::repeated(&what, agent.once());
    let compared = line([&host.tools().floor, "compare", &text(&document)]);
    let floor = Side::repeated("opens, reads and compares the rendered files", compared);
    duel(host, name, &subject, &floor, Rounds::short(quick))
}

/// A template that renders to about 1 KB: values, a loop, a condition.
fn template(source: usize) -> String {
    let filling: String = (0..12).map(|line| format!("# template {source}, line {line:02} {:.<40}\n", "")).collect();
    format!(
        "title = {{{{ title }}}}\nworkers = {{{{ attr.pages.workers }}}}\n{filling}\
         {{% for name, value in attr.pages.options | items %}}\noption {{{{ name }}}} = {{{{ value }}}}\n{{% endfor %}}\n\
         {{% if enabled %}}\nnumber = {{{{ number + 1 }}}}\nnode = {{{{ node.name }}}}\n{{% endif %}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_has_a_kilobyte_of_its_own() {
        assert_eq!(content(7).len(), 1_024);
        assert_ne!(content(7), content(8));
        assert!(!content(99_999).contains("'''"), "it must be a literal string of TOML");
    }
}
