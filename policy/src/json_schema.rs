//! JSON Schemas of everything that people write, for editors: they come from the same tables as the compiler's checks.
//!
//! Draft-07, which both Taplo and Tombi know. A `$ref` has no siblings, because Taplo ignores them; every object says
//! whether it takes other properties. Where a cookbook may write an expression instead of a value, the schema takes text
//! with `{{`.

mod declarations;
mod recipes;
mod types;

use std::collections::BTreeMap;

use converge_model::Kinds;
use converge_model::graph::CustomKind;
use serde_json::{Value as Json, json};

use declarations::{cookbook, policy, settings};
use recipes::Recipes;

/// One schema.
#[derive(Clone, Debug, PartialEq)]
pub struct SchemaDocument {
    /// The name of its file: `recipe.json`.
    pub file: &'static str,
    /// What it is about.
    pub title: &'static str,
    /// The files in a policy repository that it describes, as glob patterns.
    pub describes: &'static str,
    /// The schema.
    pub schema: Json,
}

/// The schemas of a policy repository: `converge.toml`, policies, cookbooks, recipes, custom kinds. `custom` are the custom
/// kinds that are known by name; where there are none, any kind that could be one is taken.
pub fn documents(kinds: &dyn Kinds, custom: &BTreeMap<String, CustomKind>) -> Vec<SchemaDocument> {
    let recipes = Recipes::new(kinds, custom);
    let document = |file, title, describes, mut schema: Json| {
        schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
        schema["title"] = json!(title);
        SchemaDocument { file, title, describes, schema }
    };
    vec![
        document("converge.json", "Converge policy repository", "converge.toml", settings()),
        document("policy.json", "Converge policy", "policies/*.toml", policy()),
        document("cookbook.json", "Converge cookbook", "cookbooks/*/cookbook.toml", cookbook()),
        document("recipe.json", "Converge recipe", "cookbooks/*/recipes/*.toml", recipes.recipe()),
        document("kind.json", "Converge custom kind", "cookbooks/*/resources/*.toml", recipes.custom_kind()),
    ]
}

/// The files that tell editors which schema is whose, by name: `.taplo.toml` and `tombi.toml`. `directory` is where the
/// schemas lie, relative to the policy repository.
pub fn editor_files(directory: &str, documents: &[SchemaDocument]) -> [(&'static str, String); 2] {
    let directory = directory.trim_end_matches('/');
    let mut taplo = String::from("# Tells Taplo (Even Better TOML) what Converge's files may hold.\n");
    let mut tombi = String::from("# Tells Tombi what Converge's files may hold.\ntoml-version = \"v1.0.0\"\n");
    for document in documents {
        let (describes, path) = (document.describes, format!("{directory}/{}", document.file));
        taplo.push_str(&format!(
            "\n[[rule]]\ninclude = [\"{describes}\"]\n[rule.schema]\nenabled = true\npath = \"{path}\"\n"
        ));
        tombi.push_str(&format!("\n[[schemas]]\npath = \"{path}\"\ninclude = [\"{describes}\"]\n"));
    }
    [(".taplo.toml", taplo), ("tombi.toml", tombi)]
}
