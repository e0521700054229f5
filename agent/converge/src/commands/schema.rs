//! `converge schema`: JSON Schema of cookbooks, recipes and policies; and the OpenAPI document of the store's API.

use std::collections::BTreeMap;

use converge_policy::json_schema;

use crate::cli::SchemaArgs;
use crate::console::Console;
use crate::failure::{Failure, Outcome};

/// What the document of the store's API is called.
const API: &str = "openapi";

/// Prints one schema, or all of them by name.
pub(crate) fn run(args: &SchemaArgs, console: Console) -> Outcome {
    if args.document.as_deref() == Some(API) {
        return console.document(&converge_store::openapi());
    }
    let documents: BTreeMap<&str, serde_json::Value> =
        json_schema::documents(converge_kinds::registry(), &BTreeMap::new())
            .into_iter()
            .map(|document| (document.file.trim_end_matches(".json"), document.schema))
            .collect();
    match &args.document {
        None => console.document(&documents),
        Some(name) => match documents.get(name.as_str()) {
            Some(document) => console.document(document),
            None => {
                let names: Vec<&str> = documents.keys().copied().chain([API]).collect();
                Err(Failure::input("print", format_args!("the schema of {name:?}"), "there is no such document")
                    .with_hint(format!("one of {}", names.join(", "))))
            }
        },
    }
}
