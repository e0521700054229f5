//! What authors write: cookbooks, policies, templates, expressions; and, of what compiles all the same, the graph and its binding.

use std::collections::BTreeMap;
use std::sync::Arc;

use converge_model::{Diagnostic, Error, ErrorKind, Facts, Graph, Result, Value};
use converge_policy::bind::{BindInput, BlobReader, NodeIdentity, bind};
use converge_policy::expression::Secrets;
use converge_policy::filter::Filter;
use converge_policy::{BlobPlace, Compiled, Repository, check, compile, render};

use super::Target;

/// Where each kind of file is in the sample repository.
const PLACES: [(&str, &str, &str); 5] = [
    ("recipe", "cookbooks/sim/recipes/default.toml", RECIPE),
    ("cookbook.toml", "cookbooks/sim/cookbook.toml", COOKBOOK),
    ("policy", "policies/web.toml", "name = \"web\"\nrun_list = [\"sim\"]\n[attributes.sim]\nport = 81\n"),
    ("converge.toml", "converge.toml", "store = \"https://s\"\n"),
    ("template", "cookbooks/sim/templates/page.j2", TEMPLATE),
];

pub(super) const RECIPE: &str = r#"description = "x"
[file."/tmp/{{ node.name }}/a"]
mode = "0600"
content = """{{ facts.os.name | upper }} {{ attr.sim.port + 1 }} aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"""
[file."/tmp/b"]
template = "page.j2"
when = "facts.os.name == 'debian' and attr.sim.port > 1"
before = ["file[/tmp/c]"]
[file."/tmp/c"]
[file."/tmp/{{ each.key }}"]
for_each = "attr.sim.pages"
content = "{{ each.value }}"
[service.x]
running = true
[package.bash]
[user.alice]
uid = 1000
"#;
const COOKBOOK: &str = r#"name = "sim"
version = "1.0.0"
supports = ["debian >= 11"]
[attributes.port]
type = "integer"
default = 80
node_settable = true
[attributes.pages]
type = "map"
default = { one = "1" }
"#;
const TEMPLATE: &str =
    "{% for n in [1, 2] %}\n{{ n }} {{ node.name }} {{ attr.sim.port }}{% if n > 1 %}!{% endif %}\n{% endfor %}\n";

pub(super) fn targets() -> Vec<Target> {
    assert!(compiled(RECIPE.as_bytes()).is_some(), "the samples do not compile");
    let of_file = |(name, path, sample): &(&'static str, &'static str, &'static str)| {
        let path = *path;
        Target::new(name, &[sample], move |bytes| drop(compiled_with(path, bytes)))
    };
    let mut targets: Vec<Target> = PLACES.iter().map(of_file).collect();
    targets.push(Target::of_text(
        "filter",
        &["facts.os.name == 'debian' and 'web' in node.tags or not true"],
        |text| {
            if let Ok(filter) = Filter::parse(text) {
                let _ = filter.decider().means(&NodeIdentity::default(), &facts());
            }
        },
    ));
    targets
}

/// What a recipe compiles to, in the sample repository.
pub(super) fn compiled(recipe: &[u8]) -> Option<Compiled> {
    compiled_with(PLACES[0].1, recipe)
}

fn compiled_with(place: &str, bytes: &[u8]) -> Option<Compiled> {
    let content = |path: &str, sample: &str| if path == place { bytes.to_vec() } else { sample.as_bytes().to_vec() };
    let files = PLACES.iter().map(|(_, path, sample)| ((*path).to_owned(), content(path, sample)));
    let repository: Repository = files.collect();
    let kinds = converge_kinds::registry();
    drop(check(&repository, kinds));
    let compiled = compile(&repository, "web", kinds).map_err(|found| show(&found, &repository)).ok()?;
    let graph = compiled.graph.to_bytes().expect("what compiles is written");
    let same = Graph::from_bytes(&graph).expect("what compiles is a graph");
    assert_eq!(same.to_bytes().unwrap(), graph);
    let input = BindInput {
        facts: Arc::new(Facts::from(facts())),
        node: NodeIdentity { name: "a".to_owned(), policy: "web".to_owned(), ..NodeIdentity::default() },
        node_attributes: BTreeMap::new(),
        secrets: Secrets::default(),
    };
    drop(bind(&same, &input, &Blobs(&compiled), kinds));
    Some(compiled)
}

/// What is wrong is shown at its place, wherever that is.
fn show(found: &[Diagnostic], repository: &Repository) {
    let shown = render::diagnostics(found, repository, render::Style::Plain);
    assert!(repository.files.len() == PLACES.len() && !shown.is_empty());
}

fn facts() -> Value {
    let os = Value::Map([("name".to_owned(), Value::String("debian".to_owned()))].into());
    Value::Map([("os".to_owned(), os)].into())
}

/// The blobs of what was compiled.
struct Blobs<'a>(&'a Compiled);

impl BlobReader for Blobs<'_> {
    fn read(&self, blob: &converge_model::BlobRef) -> Result<Vec<u8>> {
        match self.0.blobs.get(&blob.digest) {
            Some(BlobPlace::Bytes(bytes)) => Ok(bytes.clone()),
            Some(BlobPlace::File(_)) | None => {
                Err(Error::new(ErrorKind::NotFound, "read", "a blob", "it is a file of the repository"))
            }
        }
    }
}
