//! Where one line of a resource's content comes from.

use std::collections::{BTreeMap, BTreeSet};

use converge_model::graph::{ContentSource, Declaration, Property, template_key};
use converge_model::{BlobRef, Digest, Graph, Kinds, ResourceId, Result as SystemResult, Value};
use serde::Serialize;

use super::uses::Tracer;
use super::{Place, Use, cookbook, place, unknown};
use crate::bind::{BindInput, BlobReader, Bound, bind};
use crate::expression::{NameUse, around, check_template, marked, traced};

/// The longest content that is looked into, in bytes.
const LONGEST: u64 = 64 << 20;

/// Where a line comes from.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct WhyLine {
    /// The line of the content, from 1.
    pub line: u32,
    /// What it says, where that may be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The lines that its text stands on, in a template or a file; for what is written in a recipe, where that begins.
    pub from: Vec<Place>,
    /// What it is made from: the names in its expressions, and in the loops and conditions around it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<Use>,
}

/// Says where a line of a resource's content comes from. `bound` is `graph` bound with `input`.
///
/// # Errors
/// Where the node has no such resource, it has no content or fewer lines, or its template makes something of its own text, so
/// that no line of it can be followed.
pub fn why_line(
    graph: &Graph,
    bound: &Bound,
    input: &BindInput,
    blobs: &dyn BlobReader,
    kinds: &dyn Kinds,
    id: &ResourceId,
    line: u32,
) -> Result<WhyLine, String> {
    let position = bound.catalog.resources.iter().position(|resource| resource.id == *id);
    let found =
        position.and_then(|at| Some((at, *bound.declarations.get(at)?, bound.declarations.get(at)?.find(graph)?)));
    let Some((position, index, declaration)) = found else { return Err(unknown(graph, bound, id)) };
    let resource = &bound.catalog.resources[position];
    let schema = kinds.kind(id.kind()).map(|kind| (kind.schema)());
    let property = schema.as_ref().and_then(|schema| schema.content_property());
    let property = property.ok_or_else(|| format!("a {} has no content, and so no lines", id.kind()))?;
    let value = resource.properties.get(property.name);
    let value = value.ok_or_else(|| format!("nothing is written of `{}` of {id}", property.name))?;
    let content = text_of(value, blobs)?;
    let Some(text) = line.checked_sub(1).and_then(|before| content.lines().nth(before as usize)) else {
        return Err(format!("{id} has {} lines", content.lines().count()));
    };
    let hidden = resource.sensitive || resource.secret.contains(property.name) || property.sensitive;
    let tracer = Tracer { graph, bound, blobs, around: &resource.origin.within };
    let follower = Follower { tracer, declaration, input, kinds, id, property: property.name };
    let cookbook = cookbook(graph, index).map_or("", |cookbook| cookbook.name.as_str());
    let (from, mut uses) = match declaration.content.as_deref() {
        None => follower.written(),
        Some(ContentSource::File { .. }) => (vec![follower.file(value, cookbook, line)?], Vec::new()),
        Some(ContentSource::Template { .. }) => follower.template(&content, cookbook, line)?,
    };
    if hidden {
        uses = uses.into_iter().map(Use::without_values).collect();
    }
    Ok(WhyLine { line, text: Some(text.to_owned()).filter(|_| !hidden), from, uses })
}

fn text_of(value: &Value, blobs: &dyn BlobReader) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Blob(blob) if blob.size > LONGEST => Err(format!("the content is longer than {LONGEST} bytes")),
        Value::Blob(blob) => {
            let bytes = blobs.read(blob).map_err(|error| error.to_string())?;
            String::from_utf8(bytes).map_err(|_| "the content is not text".to_owned())
        }
        other => Err(format!("the content is of type {}", other.type_name())),
    }
}

struct Follower<'a> {
    tracer: Tracer<'a>,
    declaration: &'a Declaration,
    input: &'a BindInput,
    kinds: &'a dyn Kinds,
    id: &'a ResourceId,
    property: &'a str,
}

impl Follower<'_> {
    /// What is written in the recipe: the place where it begins.
    fn written(&self) -> (Vec<Place>, Vec<Use>) {
        match self.declaration.properties.get(self.property) {
            Some(Property(dynamic, at)) => {
                let at = place(self.tracer.graph, self.declaration.at.with_spot(*at));
                (vec![at], self.tracer.uses(dynamic, self.declaration))
            }
            None => (vec![place(self.tracer.graph, self.declaration.at)], Vec::new()),
        }
    }

    /// The line of a file of the cookbook, which is the content as it is.
    fn file(&self, value: &Value, cookbook: &str, line: u32) -> Result<Place, String> {
        let prefix = format!("{cookbook}/files/");
        let named = self
            .tracer
            .graph
            .blobs
            .iter()
            .find(|(key, blob)| key.starts_with(&prefix) && Value::Blob(**blob) == *value);
        let (key, _) = named.ok_or_else(|| "the graph does not hold its file".to_owned())?;
        Ok(Place { file: format!("cookbooks/{key}"), line })
    }

    /// The lines of a template, found by rendering it once more with marks in it.
    fn template(&self, content: &str, cookbook: &str, line: u32) -> Result<(Vec<Place>, Vec<Use>), String> {
        let lost = || {
            format!(
                "the template of {} makes something of its own text, so that no line of it can be followed",
                self.id
            )
        };
        let graph = self.tracer.graph;
        let sources = self.sources(cookbook);
        let mut with_marks = graph.clone();
        let mut marked_blobs = WithMarks { blobs: self.tracer.blobs, marked: BTreeMap::new() };
        for (name, (key, source)) in sources.iter().enumerate() {
            let text = marked(source, name).ok_or_else(lost)?.into_bytes();
            let blob = BlobRef::of(&text);
            with_marks.blobs.insert(key.clone(), blob);
            marked_blobs.marked.insert(blob.digest, text);
        }
        let bound = bind(&with_marks, self.input, &marked_blobs, self.kinds).map_err(|_| lost())?;
        let resource = bound.catalog.resources.iter().find(|resource| resource.id == *self.id).ok_or_else(lost)?;
        let output = match resource.properties.get(self.property) {
            Some(Value::String(text)) => traced(text).filter(|traced| traced.text == content),
            _ => None,
        };
        let output = output.ok_or_else(lost)?;
        let marks = line.checked_sub(1).and_then(|before| output.lines.get(before as usize));
        let (mut from, mut uses) = (Vec::new(), Vec::new());
        for (name, line) in marks.into_iter().flatten() {
            let Some((key, source)) = sources.get(*name) else { continue };
            from.push(Place { file: format!("cookbooks/{key}"), line: *line });
            for found in self.names(source, *line) {
                if !uses.contains(&found) {
                    uses.push(found);
                }
            }
        }
        Ok((from, uses))
    }

    /// The template that the declaration names; where it names one by an expression, all that it could name.
    fn sources(&self, cookbook: &str) -> Vec<(String, String)> {
        let graph = self.tracer.graph;
        let keys: Vec<String> = match self.declaration.content.as_deref() {
            Some(ContentSource::Template { path, .. }) if path.as_str().is_some() => {
                path.as_str().map(|path| template_key(cookbook, path)).into_iter().collect()
            }
            _ => {
                let prefix = template_key(cookbook, "");
                graph.blobs.keys().filter(|key| key.starts_with(&prefix)).cloned().collect()
            }
        };
        let text = |key: &String| String::from_utf8(self.tracer.blobs.read(graph.blobs.get(key)?).ok()?).ok();
        keys.into_iter().filter_map(|key| text(&key).map(|text| (key, text))).collect()
    }

    /// What the tags on a line of a template, and those around it, are made from.
    fn names(&self, source: &str, line: u32) -> Vec<Use> {
        let Ok(names) = check_template(source) else { return Vec::new() };
        let tags = around(source, &BTreeSet::from([line]));
        let here: Vec<NameUse> = names
            .uses
            .into_iter()
            .filter(|name| tags.iter().any(|tag| tag.start <= name.range.start && name.range.end <= tag.end))
            .collect();
        let mut uses = self.tracer.follow(&here, self.declaration);
        if let Some(ContentSource::Template { vars, .. }) = self.declaration.content.as_deref() {
            let used = |name: &str| here.iter().any(|found| found.path.first().is_some_and(|first| first == name));
            let given = vars.iter().filter(|(name, _)| used(name));
            uses.extend(given.flat_map(|(_, Property(dynamic, _))| self.tracer.uses(dynamic, self.declaration)));
        }
        uses
    }
}

/// The blobs, and templates with marks.
struct WithMarks<'a> {
    blobs: &'a dyn BlobReader,
    marked: BTreeMap<Digest, Vec<u8>>,
}

impl BlobReader for WithMarks<'_> {
    fn read(&self, blob: &BlobRef) -> SystemResult<Vec<u8>> {
        self.marked.get(&blob.digest).map_or_else(|| self.blobs.read(blob), |text| Ok(text.clone()))
    }
}
