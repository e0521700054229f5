//! TOML documents with places: parsing, and a reader for tables that reports what it does not know.

use converge_model::suggest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::lint::lint;
use super::sources::{Findings, Place, Sources};

/// How many errors of syntax are told of one file: what is not TOML at all has one at every other letter.
const MOST_ERRORS: usize = 100;

/// Parses a source. What is wrong with its syntax is reported, and what can be read is returned all the same.
pub(crate) fn parse<'s>(sources: &'s Sources, file: u32, findings: &mut Findings<'_>) -> DeTable<'s> {
    let text = sources.text(file);
    let start = Place { file, start: 0, end: 0 };
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut broken = Vec::new();
    for error in errors.into_iter().take(MOST_ERRORS) {
        let place = start.at(error.span().unwrap_or(0..0));
        broken.push(place);
        match error.message() {
            "duplicate key" => duplicate_key(place, findings),
            "recursion limit" | "cannot recurse further; max recursion depth met" => {
                findings.error(place, "this nests too deeply");
            }
            message if message.starts_with("unexpected leading zero") => {
                findings
                    .error(place, "a number cannot begin with 0")
                    .help("write a mode in quotes, as in \"0644\"; any other number without the zero");
            }
            message => {
                findings.error(place, message).help("the syntax is described at https://toml.io/en/v1.0.0");
            }
        }
    }
    findings.mark_broken(broken);
    let document = document.into_inner();
    lint(&document, file, findings);
    document
}

/// The parser says only where the second one is; a table's header is found again by its line.
fn duplicate_key(place: Place, findings: &mut Findings<'_>) {
    let text = findings.sources.text(place.file);
    let key = findings.sources.slice(place).to_owned();
    let begin = text[..place.start as usize].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[begin..].lines().next().unwrap_or("").trim_end();
    let is_header = line.starts_with('[');
    let earlier = text[..begin].find(&format!("{line}\n")).filter(|_| is_header);
    let finding = findings.error(place, if is_header { format!("{line} twice") } else { format!("`{key}` twice") });
    let finding = finding.help(if is_header { "merge the two into one" } else { "keep one of the two" });
    if let Some(at) = earlier {
        finding.related(place.at(at..at + line.len()), "first here");
    }
}

/// A value and its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node<'t> {
    /// The value.
    pub(crate) value: &'t DeValue<'t>,
    /// Where it stands. Of a table with a header, the header; of a string, with its quotes.
    pub(crate) place: Place,
}

impl<'t> Node<'t> {
    pub(crate) fn new(file: u32, value: &'t Spanned<DeValue<'t>>) -> Self {
        let start = Place { file, start: 0, end: 0 };
        Self { value: value.get_ref(), place: start.at(value.span()) }
    }

    /// The text, or a finding: `subject` must be a string.
    pub(crate) fn string(self, subject: &str, findings: &mut Findings<'_>) -> Option<&'t str> {
        match self.value {
            DeValue::String(text) => Some(text),
            _ => self.refuse(subject, "a string", findings),
        }
    }

    /// The truth value, or a finding.
    pub(crate) fn boolean(self, subject: &str, findings: &mut Findings<'_>) -> Option<bool> {
        match self.value {
            DeValue::Boolean(value) => Some(*value),
            _ => self.refuse(subject, "`true` or `false`", findings),
        }
    }

    /// The items, or a finding.
    pub(crate) fn list(self, subject: &str, findings: &mut Findings<'_>) -> Option<Vec<Node<'t>>> {
        match self.value {
            DeValue::Array(items) => Some(items.iter().map(|item| Node::new(self.place.file, item)).collect()),
            _ => self.refuse(subject, "a list", findings),
        }
    }

    /// The strings of a list with their places, or findings.
    pub(crate) fn strings(self, subject: &str, findings: &mut Findings<'_>) -> Vec<(&'t str, Place)> {
        let items = self.list(subject, findings).unwrap_or_default();
        let item = format!("an item of {subject}");
        items.into_iter().filter_map(|node| Some((node.string(&item, findings)?, node.place))).collect()
    }

    /// The entries in the order of the source, or a finding.
    pub(crate) fn table(self, subject: &str, findings: &mut Findings<'_>) -> Option<Fields<'t>> {
        match self.value {
            DeValue::Table(table) => Some(Fields::new(self.place, table)),
            _ => self.refuse(subject, "a table", findings),
        }
    }

    fn refuse<T>(self, subject: &str, expected: &str, findings: &mut Findings<'_>) -> Option<T> {
        findings
            .error(self.place, format!("{subject} must be {expected}"))
            .label(format!("this is {}", type_name(self.value)));
        None
    }
}

/// The type of a value, as a message names it.
pub(crate) fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// One entry of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field<'t> {
    /// Its key.
    pub(crate) key: &'t str,
    /// Where the key stands, with its quotes.
    pub(crate) key_place: Place,
    /// Its value.
    pub(crate) node: Node<'t>,
}

/// The entries of a table, taken one by one.
#[derive(Debug)]
pub(crate) struct Fields<'t> {
    /// Where the table stands.
    pub(crate) place: Place,
    left: Vec<Field<'t>>,
}

impl<'t> Fields<'t> {
    pub(crate) fn new(place: Place, table: &'t DeTable<'t>) -> Self {
        let field = |(key, value): (&'t Spanned<_>, _)| {
            let key: &'t Spanned<std::borrow::Cow<'t, str>> = key;
            Field { key: key.get_ref(), key_place: place.at(key.span()), node: Node::new(place.file, value) }
        };
        let mut left: Vec<Field<'t>> = table.iter().map(field).collect();
        left.sort_by_key(|field| field.key_place.start);
        Self { place, left }
    }

    /// The keys that were not taken, with their places.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&'t str, Place)> {
        self.left.iter().map(|field| (field.key, field.key_place))
    }

    /// The entries that were not taken.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Field<'t>> {
        self.left.iter()
    }

    /// Takes the entry called `key`.
    pub(crate) fn take(&mut self, key: &str) -> Option<Field<'t>> {
        let index = self.left.iter().position(|field| field.key == key)?;
        Some(self.left.remove(index))
    }

    /// Puts an entry back that was taken.
    pub(crate) fn put_back(&mut self, field: Field<'t>) {
        let index = self.left.partition_point(|other| other.key_place.start < field.key_place.start);
        self.left.insert(index, field);
    }

    /// Takes the entry called `key`, which must be a string.
    pub(crate) fn string(&mut self, key: &str, findings: &mut Findings<'_>) -> Option<(&'t str, Place)> {
        let node = self.take(key)?.node;
        Some((node.string(&format!("`{key}`"), findings)?, node.place))
    }

    /// Takes the entry called `key`, which must be a truth value; `false` where there is none.
    pub(crate) fn boolean(&mut self, key: &str, findings: &mut Findings<'_>) -> bool {
        self.take(key).and_then(|field| field.node.boolean(&format!("`{key}`"), findings)).unwrap_or(false)
    }

    /// Takes the entry called `key`, which must be a list of strings; nothing where there is none.
    pub(crate) fn strings(&mut self, key: &str, findings: &mut Findings<'_>) -> Vec<(&'t str, Place)> {
        self.take(key).map(|field| field.node.strings(&format!("`{key}`"), findings)).unwrap_or_default()
    }

    /// What was not taken, in the order of the source.
    pub(crate) fn rest(self) -> Vec<Field<'t>> {
        self.left
    }

    /// Reports what was not taken: `what` has no such key, but has those of `known`.
    pub(crate) fn finish(self, what: &str, known: &[&str], findings: &mut Findings<'_>) {
        for field in self.left {
            unknown_key(&field, what, known, findings);
        }
    }
}

/// Reports a key that `what` does not have.
pub(crate) fn unknown_key(field: &Field<'_>, what: &str, known: &[&str], findings: &mut Findings<'_>) {
    let nearest = suggest::nearest(field.key, known.iter().copied());
    let finding =
        findings.error(field.key_place, format!("unknown key `{}` in {what}", field.key)).did_you_mean(nearest);
    if nearest.is_none() {
        finding.help(format!("known here: {}", known.join(", ")));
    }
}
