//! Schemas of `converge.toml`, `cookbook.toml` and policies.

use converge_model::graph::AttributeType;
use serde_json::{Value as Json, json};

/// The name of a cookbook, attribute or parameter.
pub(super) const IDENTIFIER: &str = "^[a-z_][a-z0-9_]*$";

/// `converge.toml`
pub(super) fn settings() -> Json {
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "store": {
                "type": "string",
                "pattern": "^https?://",
                "description": "The address of the store that policies are published to."
            },
            "signing_key": {
                "type": "string",
                "minLength": 1,
                "description": "The file of the SSH key that revisions are signed with: a private key, or the public one of a key that an SSH agent has. Relative to this file; `~/` is the home directory."
            }
        }
    })
}

/// `cookbook.toml`
pub(super) fn cookbook() -> Json {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name", "version"],
        "properties": {
            "name": { "type": "string", "pattern": IDENTIFIER, "description": "The cookbook's name, which is that of its directory." },
            "version": {
                "type": "string",
                "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+",
                "description": "The cookbook's version: three numbers (https://semver.org)."
            },
            "description": { "type": "string", "description": "What the cookbook is for." },
            "license": { "type": "string", "description": "Its licence, as an SPDX identifier." },
            "supports": {
                "type": "array",
                "items": { "type": "string" },
                "description": "Where it runs: \"debian >= 11\". Anywhere, where nothing is said."
            },
            "depends": {
                "type": "object",
                "additionalProperties": { "type": "string", "description": "The versions that will do: \"^2\", \"*\"." },
                "description": "The cookbooks whose attributes, kinds and recipes it uses."
            },
            "attributes": declarations("The attributes that it declares. Nothing else can be read or set.", true)
        },
        "definitions": definitions()
    })
}

/// The tables of declared attributes, or of parameters.
pub(super) fn declarations(doc: &str, attributes: bool) -> Json {
    let definition = if attributes { "#/definitions/attribute" } else { "#/definitions/parameter" };
    json!({ "type": "object", "additionalProperties": { "$ref": definition }, "description": doc })
}

/// The definitions that [`declarations`] refers to.
pub(super) fn definitions() -> Json {
    let mut attribute = declaration("Its value where nobody sets one; an expression over facts, node and attributes.");
    let parameter = attribute.clone();
    attribute["properties"]["node_settable"] = json!({
        "type": "boolean",
        "default": false,
        "description": "A single node's value, kept in the store, may override the published one."
    });
    json!({ "attribute": attribute, "parameter": parameter })
}

fn declaration(default: &str) -> Json {
    let types: Vec<&str> = AttributeType::ALL.iter().map(|(word, _)| *word).collect();
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["type"],
        "properties": {
            "type": { "type": "string", "enum": types, "description": "What its values are." },
            "description": { "type": "string", "description": "What it is for." },
            "default": { "description": default },
            "required": { "type": "boolean", "default": false, "description": "Somebody has to set it." },
            "minimum": { "type": "number", "description": "The least number." },
            "maximum": { "type": "number", "description": "The greatest number." },
            "one_of": { "type": "array", "items": {}, "description": "The only values it may have." },
            "pattern": { "type": "string", "description": "A regular expression that the whole of a string must match." },
            "secret": { "type": "boolean", "default": false, "description": "Its value is shown nowhere." }
        }
    })
}

/// A policy.
pub(super) fn policy() -> Json {
    let names = |doc: &str| json!({ "type": "array", "items": { "type": "string" }, "description": doc });
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["name"],
        "properties": {
            "name": { "type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$", "description": "The policy's name, which is that of its file." },
            "description": { "type": "string", "description": "What a node of this policy is." },
            "run_list": names("The recipes that converge, in order: \"nginx\" is \"nginx::default\"."),
            "include": names("Policies whose run list and attributes come before its own."),
            "orphans": {
                "type": "string",
                "enum": ["report", "remove"],
                "default": "report",
                "description": "What happens on a node to resources that left the policy."
            },
            "attributes": attributes("What it sets for every node, by cookbook."),
            "groups": {
                "type": "object",
                "description": "What it sets for the nodes of a group.",
                "additionalProperties": {
                    "type": "object",
                    "additionalProperties": false,
                    "properties": { "attributes": attributes("What it sets for these nodes, by cookbook.") }
                }
            }
        }
    })
}

fn attributes(doc: &str) -> Json {
    json!({
        "type": "object",
        "description": doc,
        "additionalProperties": { "type": "object", "additionalProperties": true }
    })
}
