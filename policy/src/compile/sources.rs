//! The texts that are compiled, places in them, and what was found there.

use std::collections::BTreeSet;

use converge_model::graph::{Position, Spot};
use converge_model::{Diagnostic, Severity, SourceSpan};

use crate::repository::{FileData, Repository};

/// A longer TOML document or template is refused.
const LONGEST_SOURCE: usize = 64 << 20;

/// A place in one of the [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Place {
    /// Index of the source.
    pub(crate) file: u32,
    /// First byte.
    pub(crate) start: u32,
    /// The byte after the last.
    pub(crate) end: u32,
}

impl Place {
    /// The bytes `range` of the same source.
    pub(crate) fn at(self, range: std::ops::Range<usize>) -> Self {
        // No source is longer than LONGEST_SOURCE.
        Self { start: range.start as u32, end: range.end as u32, ..self }
    }
}

/// One text of the repository.
#[derive(Debug)]
pub(crate) struct Source {
    /// Its path within the repository.
    pub(crate) path: String,
    /// The text.
    pub(crate) text: String,
    /// Where each line begins.
    lines: Vec<u32>,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let after_newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at as u32 + 1);
        Self { path: path.to_owned(), text: text.to_owned(), lines: std::iter::once(0).chain(after_newlines).collect() }
    }

    /// Line and column of a byte, both from 1, the column in characters.
    fn line_and_column(&self, at: u32) -> (u32, u32) {
        let line = self.lines.partition_point(|&start| start <= at);
        let start = line.checked_sub(1).and_then(|index| self.lines.get(index)).copied().unwrap_or(0);
        let before = self.text.get(start as usize..at as usize).map_or(0, |text| text.chars().count());
        (line as u32, before as u32 + 1)
    }
}

/// The texts of a compilation, in the order of their paths.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: Vec<Source>,
}

impl Sources {
    /// Reads the files called `paths`, which exist. What cannot be read becomes a finding, and an empty text.
    pub(crate) fn load<'p>(
        repository: &Repository,
        paths: impl IntoIterator<Item = &'p str>,
    ) -> (Self, Vec<Diagnostic>) {
        let mut sources = Self::default();
        let mut found = Vec::new();
        for path in paths {
            let text = match repository.files.get(path).map(|data| read(path, data)) {
                Some(Ok(text)) => text,
                Some(Err(diagnostic)) => {
                    found.push(*diagnostic);
                    ""
                }
                None => continue,
            };
            sources.files.push(Source::new(path, text));
        }
        (sources, found)
    }

    /// Every source with its index.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Source)> {
        (0..).zip(&self.files)
    }

    /// The path of a source.
    pub(crate) fn path(&self, file: u32) -> &str {
        self.files.get(file as usize).map_or("", |source| &source.path)
    }

    /// The text of a source.
    pub(crate) fn text(&self, file: u32) -> &str {
        self.files.get(file as usize).map_or("", |source| &source.text)
    }

    /// The text of a place.
    pub(crate) fn slice(&self, place: Place) -> &str {
        self.text(place.file).get(place.start as usize..place.end as usize).unwrap_or("")
    }

    /// The place as a graph has it; its source is an index of these sources.
    pub(crate) fn position(&self, place: Place) -> Position {
        let (line, column) =
            self.files.get(place.file as usize).map_or((1, 1), |file| file.line_and_column(place.start));
        Position { source: place.file, line, column }
    }

    /// The place within its file, as a graph has it.
    pub(crate) fn spot(&self, place: Place) -> Spot {
        self.position(place).spot()
    }

    /// The place as a diagnostic has it.
    pub(crate) fn span(&self, place: Place) -> SourceSpan {
        let Position { line, column, .. } = self.position(place);
        SourceSpan {
            file: self.path(place.file).to_owned(),
            line,
            column,
            start: place.start as usize,
            end: place.end as usize,
        }
    }
}

fn read<'d>(path: &str, data: &'d FileData) -> Result<&'d str, Box<Diagnostic>> {
    let refuse = |message: String, help: &str| Err(Box::new(Diagnostic::error(message, None).with_help(help)));
    let FileData::Bytes(bytes) = data else {
        return refuse(format!("{path} was not read"), "documents and templates must be at hand to be compiled");
    };
    if bytes.len() > LONGEST_SOURCE {
        let limit = LONGEST_SOURCE >> 20;
        return refuse(format!("{path} has {} bytes, more than {limit} MiB", bytes.len()), "move data into files/");
    }
    std::str::from_utf8(bytes).or_else(|error| {
        let at = error.valid_up_to();
        let line = 1 + bytes[..at].iter().filter(|&&byte| byte == b'\n').count();
        let byte = bytes.get(at).copied().unwrap_or(0);
        refuse(
            format!("{path} is not UTF-8: byte 0x{byte:02x} at offset {at}, in line {line}"),
            "save the file as UTF-8; what is not text belongs below files/",
        )
    })
}

/// What was found, and where.
#[derive(Debug)]
pub(crate) struct Findings<'s> {
    /// The texts that places point into.
    pub(crate) sources: &'s Sources,
    list: Vec<Diagnostic>,
    /// Where the syntax is broken: what was read in its stead says nothing.
    broken: BTreeSet<Place>,
    /// The secrets that something in the sources names.
    pub(crate) secrets: BTreeSet<String>,
}

impl<'s> Findings<'s> {
    /// Begins with what loading found.
    pub(crate) fn new(sources: &'s Sources, list: Vec<Diagnostic>) -> Self {
        Self { sources, list, broken: BTreeSet::new(), secrets: BTreeSet::new() }
    }

    /// Adds an error.
    pub(crate) fn error(&mut self, place: Place, message: impl Into<String>) -> Finding<'_, 's> {
        if self.broken.contains(&place) {
            return Finding { findings: self, diagnostic: None };
        }
        self.add(Diagnostic::error(message, Some(self.sources.span(place))))
    }

    /// Adds what somebody else found.
    pub(crate) fn extend(&mut self, found: impl IntoIterator<Item = Diagnostic>) {
        self.list.extend(found);
    }

    /// Remembers where the syntax is broken, once that was reported.
    pub(crate) fn mark_broken(&mut self, places: impl IntoIterator<Item = Place>) {
        self.broken.extend(places);
    }

    /// Adds a warning.
    pub(crate) fn warning(&mut self, place: Place, message: impl Into<String>) -> Finding<'_, 's> {
        self.add(Diagnostic::warning(message, Some(self.sources.span(place))))
    }

    /// Adds an error that is in no file.
    pub(crate) fn error_without_place(&mut self, message: impl Into<String>) -> Finding<'_, 's> {
        self.add(Diagnostic::error(message, None))
    }

    /// Adds a warning that is in no file.
    pub(crate) fn warning_without_place(&mut self, message: impl Into<String>) -> Finding<'_, 's> {
        self.add(Diagnostic::warning(message, None))
    }

    fn add(&mut self, diagnostic: Diagnostic) -> Finding<'_, 's> {
        Finding { findings: self, diagnostic: Some(diagnostic) }
    }

    /// All of them: errors first as the sources have them, each once.
    pub(crate) fn into_sorted(self) -> Vec<Diagnostic> {
        let mut list = self.list;
        let key = |found: &Diagnostic| found.span.as_ref().map(|span| (span.file.clone(), span.start));
        list.sort_by_cached_key(key);
        let mut seen = BTreeSet::new();
        list.retain(|found| seen.insert((key(found), found.message.clone())));
        list
    }
}

/// Whether there is an error among them.
pub(crate) fn has_errors(found: &[Diagnostic]) -> bool {
    found.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// A finding that is being described. It is added when this goes away.
pub(crate) struct Finding<'f, 's> {
    findings: &'f mut Findings<'s>,
    diagnostic: Option<Diagnostic>,
}

impl Finding<'_, '_> {
    fn with(mut self, change: impl FnOnce(Diagnostic) -> Diagnostic) -> Self {
        self.diagnostic = self.diagnostic.take().map(change);
        self
    }

    /// Says something at the place itself.
    pub(crate) fn label(self, label: impl Into<String>) -> Self {
        self.with(|diagnostic| diagnostic.with_label(label))
    }

    /// Says at the place what was probably meant, if anything is near.
    pub(crate) fn did_you_mean(self, nearest: Option<&str>) -> Self {
        match nearest {
            Some(nearest) => self.label(format!("did you mean `{nearest}`?")),
            None => self,
        }
    }

    /// Says what to do.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        self.with(|diagnostic| diagnostic.with_help(help))
    }

    /// Points at one more place.
    pub(crate) fn related(self, place: Place, note: impl Into<String>) -> Self {
        let span = self.findings.sources.span(place);
        self.with(|diagnostic| diagnostic.with_related(span, note))
    }
}

impl Drop for Finding<'_, '_> {
    fn drop(&mut self) {
        self.findings.list.extend(self.diagnostic.take());
    }
}
