//! `converge init`: make a policy repository, and wire up the editors.
#![expect(clippy::disallowed_methods, reason = "an author's own files; every error here carries its path")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use converge_model::graph::CustomKind;
use converge_model::{Error, Result};
use converge_policy::{compile, json_schema};

use crate::cli::RepositoryArgs;
use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::repository::PolicyRepository;

/// What a new repository begins with. What is there already stays as it is.
const BEGINNING: &[(&str, &str)] = &[
    ("converge.toml", "store = \"https://127.0.0.1:8600\"\n"),
    (
        "cookbooks/base/cookbook.toml",
        "name = \"base\"\nversion = \"0.1.0\"\n\
         description = \"What every machine has\"\n\n[attributes.motd]\ntype = \"string\"\ndefault = \"Managed by Converge\"\n\
         description = \"What a login is greeted with\"\n",
    ),
    (
        "cookbooks/base/recipes/default.toml",
        "[file.\"/etc/motd\"]\n\
         content = \"{{ attr.base.motd }} ({{ node.name }})\\n\"\nmode = \"0644\"\n",
    ),
    (
        "policies/base.toml",
        "name = \"base\"\nrun_list = [\"base\"]\n\n[attributes.base]\n\
         motd = \"Managed by Converge\"\n",
    ),
    (".gitignore", "/.converge\n"),
];

/// Where the schemas are, relative to the repository. They are made anew by each `converge init`.
const SCHEMAS: &str = ".converge";

/// Makes the repository, or refreshes what editors know of one that exists.
pub(crate) fn run(args: &RepositoryArgs, console: Console) -> Outcome {
    let root = args.repository.clone().unwrap_or_else(|| PathBuf::from("."));
    let is_new = !root.join("converge.toml").exists();
    let mut made = Vec::new();
    if is_new {
        for (path, text) in BEGINNING {
            made.extend(write_new(&root.join(path), text)?);
        }
    }
    let documents = json_schema::documents(converge_kinds::registry(), &custom_kinds(&root));
    for document in &documents {
        let path = root.join(SCHEMAS).join(document.file);
        let schema = serde_json::to_string_pretty(&document.schema)
            .map_err(|error| Failure::input("write", path.display(), error))?;
        write(&path, &schema)?;
        made.push(path);
    }
    for (name, text) in json_schema::editor_files(SCHEMAS, &documents) {
        made.extend(write_new(&root.join(name), &text)?);
    }
    let made: Vec<String> = made.iter().map(|path| path.display().to_string()).collect();
    console.result(&made, |made| {
        let next = if is_new { "\n\nnext: converge check, then converge plan --policy policies/base.toml" } else { "" };
        format!("wrote {}{next}", made.join("\n      "))
    })
}

/// The custom kinds of the policies that compile: editors then know their parameters.
fn custom_kinds(root: &Path) -> BTreeMap<String, CustomKind> {
    let Ok(repository) = PolicyRepository::read(root) else { return BTreeMap::new() };
    let policies =
        repository.files.files.keys().filter_map(|path| path.strip_prefix("policies/")?.strip_suffix(".toml"));
    let graphs = policies.filter_map(|name| compile(&repository.files, name, converge_kinds::registry()).ok());
    graphs.flat_map(|compiled| compiled.graph.kinds).collect()
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, text: &str) -> Result<Option<PathBuf>> {
    if path.exists() {
        return Ok(None);
    }
    write(path, text)?;
    Ok(Some(path.to_owned()))
}

fn write(path: &Path, text: &str) -> Result<()> {
    let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(path, text));
    made.map_err(|error| Error::io("write", path.display(), &error))
}
