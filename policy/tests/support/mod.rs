//! Kinds to compile against, and repositories written as one text.

use std::collections::BTreeMap;

use converge_model::{
    AbsPath, AnyResource, ByName, CommandLine, Content, Error, ErrorKind, Kind, KindSchema, Kinds, Mode, OneOrMany,
    Properties, ResourceSpec, Result, Value, schema::NameSchema,
};
use converge_policy::Repository;

converge_model::choice! {
    /// Whether it is there.
    pub enum Ensure { Present = "present", Absent = "absent" }
}

converge_model::properties! {
    /// A file.
    pub struct FileProperties {
        /// What it holds.
        pub content: Option<Content>,
        /// Who owns it.
        pub owner: Option<String>,
        /// Its mode.
        pub mode: Mode = Mode(0o644),
        /// Whether it is there.
        pub ensure: Ensure = Ensure::Present,
        /// What opens it.
        #[sensitive = true]
        pub key: Option<String>,
        /// Checks it.
        pub validate: Option<CommandLine>,
    }
}

converge_model::properties! {
    /// A package.
    pub struct PackageProperties {
        /// Its version.
        pub version: Option<String>,
        /// More packages of the same transaction.
        pub names: Option<OneOrMany<String>>,
    }
}

converge_model::properties! {
    /// A service.
    pub struct ServiceProperties {
        /// Whether it runs.
        pub running: Option<bool>,
        /// Whether it starts at boot.
        pub enabled: Option<bool>,
    }
}

converge_model::properties! {
    /// A link.
    pub struct LinkProperties {
        /// Where it leads.
        pub to: String,
    }
}

fn any_name(_: &str) -> std::result::Result<(), String> {
    Ok(())
}

fn path_name(name: &str) -> std::result::Result<(), String> {
    name.parse::<AbsPath>().map(drop)
}

fn build(spec: &ResourceSpec<'_>) -> Result<Box<dyn AnyResource>> {
    Err(Error::new(ErrorKind::Unavailable, "build", spec.id, "nothing is built here"))
}

fn removal(_: &ResourceSpec<'_>) -> Option<ByName<Value>> {
    None
}

const NAMES: NameSchema = NameSchema { what: "name", check: any_name, is_path: false };
const PATHS: NameSchema = NameSchema { what: "absolute path", check: path_name, is_path: true };

fn schema(name: &'static str) -> KindSchema {
    let bare = KindSchema {
        name,
        doc: "A kind.",
        names: NAMES,
        properties: Vec::new(),
        judge: |_, _| Vec::new(),
        actions: &[],
        example: "",
    };
    match name {
        "file" => {
            KindSchema { names: PATHS, properties: FileProperties::schema(), judge: FileProperties::judge, ..bare }
        }
        "package" => KindSchema { properties: PackageProperties::schema(), judge: PackageProperties::judge, ..bare },
        "service" => KindSchema {
            properties: ServiceProperties::schema(),
            judge: ServiceProperties::judge,
            actions: &[("reload", "Reads its configuration."), ("restart", "Stops and starts.")],
            ..bare
        },
        _ => KindSchema { names: PATHS, properties: LinkProperties::schema(), judge: LinkProperties::judge, ..bare },
    }
}

/// File, package, service and link.
pub(crate) struct TestKinds;

const KINDS: [Kind; 4] = [
    Kind { schema: || schema("file"), build, removal },
    Kind { schema: || schema("package"), build, removal },
    Kind { schema: || schema("service"), build, removal },
    Kind { schema: || schema("link"), build, removal },
];

impl Kinds for TestKinds {
    fn kind(&self, name: &str) -> Option<&Kind> {
        KINDS.iter().find(|kind| (kind.schema)().name == name)
    }

    fn all(&self) -> &[Kind] {
        &KINDS
    }
}

/// A repository from a text in which `--- PATH` begins each file. Where nothing else is said there are a cookbook `base`
/// 1.0.0 and a policy `web` that runs it.
pub(crate) fn repository(text: &str) -> Repository {
    let mut files: BTreeMap<String, String> = [
        ("cookbooks/base/cookbook.toml", "name = \"base\"\nversion = \"1.0.0\"\n"),
        ("cookbooks/base/recipes/default.toml", ""),
        ("policies/web.toml", "name = \"web\"\nrun_list = [\"base\"]\n"),
    ]
    .map(|(path, text)| (path.to_owned(), text.to_owned()))
    .into();
    let mut current = String::new();
    for line in text.split_inclusive('\n') {
        match line.strip_prefix("--- ") {
            Some(path) => {
                current = path.trim().to_owned();
                files.insert(current.clone(), String::new());
            }
            None if current.is_empty() => {}
            None => files.entry(current.clone()).or_default().push_str(line),
        }
    }
    files.into_iter().collect()
}
