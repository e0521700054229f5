//! A declared resource: its name, the kind's own properties, and where its content comes from.

use std::collections::BTreeMap;

use converge_model::graph::{AttributeDeclaration, Declaration, Property};
use converge_model::{BlobRef, Dynamic, KindSchema, ResourceId, Value, suggest};

use super::attributes::value_for;
use super::common::common_property;
use super::content::{CONTENT_NAMES, content_source};
use super::context::{Context, KindOf};
use super::judgement::{Judged, is_allowed};
use super::reference::Reference;
use super::scope::Scope;
use super::sources::{Findings, Place};
use super::toml::Field;
use super::value::{dynamic, text_with_expressions};
use crate::common::COMMON_NAMES;

/// A longer literal text that becomes a file's content is kept as a blob, so that a graph of big documents stays small and
/// an idle run compares digests.
const LONGEST_INLINE: usize = 256;

/// A declared resource, with what linking needs of it.
#[derive(Debug)]
pub(crate) struct Declared {
    /// The declaration; its position's source is an index of the compilation's sources.
    pub(crate) declaration: Declaration,
    /// Where its name is written.
    pub(crate) place: Place,
    /// The other resources that it names.
    pub(crate) references: Vec<Reference>,
    /// A content that became a blob.
    pub(crate) inline: Option<(BlobRef, Vec<u8>)>,
}

/// Reads all resources of a recipe or custom kind, in the order in which their names are written.
pub(crate) fn declarations(
    kinds: Vec<Field<'_>>,
    context: &Context<'_>,
    scope: &Scope<'_>,
    findings: &mut Findings<'_>,
) -> Vec<Declared> {
    let mut declared = Vec::new();
    for kind in kinds {
        let Some(kind_of) = context.kind(&kind, findings) else { continue };
        let Some(fields) = kind.node.table(&format!("`{}`", kind.key), findings) else { continue };
        for field in fields.rest() {
            declared.extend(Reader { context, kind: kind.key, kind_of, scope: *scope }.declaration(&field, findings));
        }
    }
    declared.sort_by_key(|each| each.place.start);
    declared
}

/// Reads the declarations of one kind.
struct Reader<'a> {
    context: &'a Context<'a>,
    kind: &'a str,
    kind_of: KindOf<'a>,
    scope: Scope<'a>,
}

impl<'a> Reader<'a> {
    fn declaration(&self, field: &Field<'_>, findings: &mut Findings<'_>) -> Option<Declared> {
        if !matches!(field.node.value, toml::de::DeValue::Table(_)) {
            findings
                .error(field.key_place, format!("`{}` is not a resource", field.key))
                .help(format!("a resource is a table: [{}.NAME], with its properties below", self.kind));
            return None;
        }
        let mut fields = field.node.table(self.kind, findings)?;
        let mut declared = Declared {
            declaration: Declaration {
                kind: self.kind.to_owned(),
                at: findings.sources.position(field.key_place),
                ..Declaration::default()
            },
            place: field.key_place,
            references: Vec::new(),
            inline: None,
        };
        let for_each = fields.take("for_each");
        let scope = Scope { each: for_each.is_some(), ..self.scope };
        if let Some(for_each) = for_each {
            common_property(&for_each, self.kind, &self.scope, &mut declared, findings);
        }
        let name = self.name(field, &scope, findings);
        let scope = Scope { name: true, ..scope };
        let content = match self.kind_of {
            KindOf::BuiltIn(schema) => schema.content_property().map(|property| property.name),
            KindOf::Custom(_) => None,
        };
        if let Some(property) = content {
            let source = content_source(&mut fields, property, self.context, &scope, findings);
            declared.declaration.content = source.map(Box::new);
        }
        let has_content = declared.declaration.content.is_some();
        let mut written = Vec::new();
        for property in fields.rest() {
            written.push(property);
            if COMMON_NAMES.contains(&property.key) {
                common_property(&property, self.kind, &scope, &mut declared, findings);
            } else {
                self.own_property(&property, &scope, &mut declared, findings);
            }
        }
        let content = content.filter(|_| has_content);
        let names: Vec<&str> = written.iter().map(|field| field.key).chain(content).collect();
        self.missing(field, &names, findings);
        if let KindOf::BuiltIn(schema) = self.kind_of {
            let judged =
                Judged { name: name.as_ref(), field, declaration: &declared.declaration, written: &written, content };
            judged.report_broken_rules(schema, findings);
        }
        declared.declaration.name = name?;
        Some(declared)
    }

    fn name(&self, field: &Field<'_>, scope: &Scope<'_>, findings: &mut Findings<'_>) -> Option<Dynamic> {
        let name = text_with_expressions(field.key, field.key_place, scope, findings)?;
        if let Some(text) = name.as_str() {
            let checked = ResourceId::new(self.kind, text).map(drop).and_then(|()| match self.kind_of {
                KindOf::BuiltIn(schema) => (schema.names.check)(text),
                KindOf::Custom(_) => Ok(()),
            });
            if let Err(error) = checked {
                let finding = findings.error(field.key_place, error);
                if let KindOf::BuiltIn(schema) = self.kind_of {
                    finding.help(format!("the name of such a resource is its {}", schema.names.what));
                }
                return None;
            }
            if scope.each {
                findings
                    .error(field.key_place, format!("every turn of `for_each` would declare the same {}", self.kind))
                    .help("put `{{ each.key }}` or `{{ each.value }}` into the name");
            }
        }
        Some(name)
    }

    fn own_property(&self, field: &Field<'_>, scope: &Scope<'_>, declared: &mut Declared, findings: &mut Findings<'_>) {
        let value = match self.kind_of {
            KindOf::BuiltIn(schema) => match schema.property(field.key) {
                Some(property) => {
                    let value = dynamic(field.node, scope, findings);
                    value.filter(|value| is_allowed(property, value, field, self.kind, findings))
                }
                None => return self.unknown(field, schema.properties.iter().map(|each| each.name).collect(), findings),
            },
            KindOf::Custom(kind) => match kind.parameters.get(field.key) {
                Some(parameter) => value_for(parameter, field.node, scope, findings),
                None => return self.unknown(field, kind.parameters.keys().map(String::as_str).collect(), findings),
            },
        };
        let Some(mut value) = value else { return };
        if let Some(text) = self.long_content(field.key, &value) {
            let blob = BlobRef::of(text.as_bytes());
            declared.inline = Some((blob, text.as_bytes().to_vec()));
            value = Dynamic::Literal(Value::Blob(blob));
        }
        let at = findings.sources.spot(field.node.place);
        declared.declaration.properties.insert(field.key.to_owned(), Property(value, at));
    }

    fn long_content<'v>(&self, key: &str, value: &'v Dynamic) -> Option<&'v str> {
        let KindOf::BuiltIn(schema) = self.kind_of else { return None };
        let is_content = schema.content_property().is_some_and(|property| property.name == key);
        value.as_str().filter(|text| is_content && text.len() > LONGEST_INLINE)
    }

    fn unknown(&self, field: &Field<'_>, own: Vec<&str>, findings: &mut Findings<'_>) {
        let content: &[&str] = match self.kind_of {
            KindOf::BuiltIn(schema) if schema.content_property().is_some() => &CONTENT_NAMES,
            _ => &[],
        };
        let known = || own.iter().chain(content).chain(&COMMON_NAMES).copied();
        let nearest = suggest::nearest(field.key, known());
        let finding = findings
            .error(field.key_place, format!("unknown property `{}` for {}", field.key, self.kind))
            .did_you_mean(nearest);
        if ["description", "ordered"].contains(&field.key) {
            finding.help("what belongs to the whole recipe stands above its first resource");
        } else if nearest.is_none() {
            let own: Vec<&str> = own.iter().chain(content).copied().collect();
            let own = if own.is_empty() { "nothing of its own".to_owned() } else { own.join(", ") };
            finding.help(format!("{} takes: {own}", self.kind));
        }
    }

    fn missing(&self, field: &Field<'_>, written: &[&str], findings: &mut Findings<'_>) {
        let absent = |name: &str| !written.contains(&name);
        let missing: Vec<&str> = match self.kind_of {
            KindOf::BuiltIn(schema) => required_properties(schema).filter(|name| absent(name)).collect(),
            KindOf::Custom(kind) => required_parameters(&kind.parameters).filter(|name| absent(name)).collect(),
        };
        for name in missing {
            findings.error(field.key_place, format!("{}[{}] needs `{name}`", self.kind, field.key));
        }
    }
}

fn required_properties(schema: &KindSchema) -> impl Iterator<Item = &str> {
    schema.properties.iter().filter(|property| property.required).map(|property| property.name)
}

fn required_parameters(parameters: &BTreeMap<String, AttributeDeclaration>) -> impl Iterator<Item = &str> {
    parameters.iter().filter(|(_, declared)| declared.required).map(|(name, _)| name.as_str())
}
