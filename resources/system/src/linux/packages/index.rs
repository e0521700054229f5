//! What the stanzas of the dpkg database say, by name.

use converge_model::system::packages::{Installed, PackageState};
use memchr::{memchr, memmem};

/// How far dpkg got with a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    NotInstalled,
    ConfigFiles,
    HalfInstalled,
    Unpacked,
    HalfConfigured,
    TriggersAwaited,
    TriggersPending,
    Installed,
}

impl Progress {
    const WORDS: [(Progress, &'static str); 8] = [
        (Progress::NotInstalled, "not-installed"),
        (Progress::ConfigFiles, "config-files"),
        (Progress::HalfInstalled, "half-installed"),
        (Progress::Unpacked, "unpacked"),
        (Progress::HalfConfigured, "half-configured"),
        (Progress::TriggersAwaited, "triggers-awaited"),
        (Progress::TriggersPending, "triggers-pending"),
        (Progress::Installed, "installed"),
    ];

    /// How dpkg calls it.
    pub(super) fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(progress, _)| *progress == self).map_or("", |(_, word)| word)
    }

    fn from_word(word: &[u8]) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| known.as_bytes() == word).map(|(progress, _)| *progress)
    }
}

/// One package of one architecture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Box<str>,
    pub(super) architecture: Box<str>,
    pub(super) version: Box<str>,
    pub(super) progress: Progress,
    pub(super) held: bool,
    /// Marked to be installed again, because dpkg was ended in the middle of unpacking it.
    pub(super) reinstall: bool,
    /// Without it the system does not work, and dpkg refuses to remove it.
    pub(super) essential: bool,
    /// Several architectures of it may be installed side by side.
    side_by_side: bool,
}

impl Entry {
    fn is_unfinished(&self) -> bool {
        self.reinstall || !matches!(self.progress, Progress::NotInstalled | Progress::ConfigFiles | Progress::Installed)
    }

    /// As the port speaks of it.
    pub(super) fn installed(&self) -> Option<Installed> {
        let state = match self.progress {
            _ if self.is_unfinished() => PackageState::Unfinished,
            Progress::NotInstalled => return None,
            Progress::ConfigFiles => PackageState::ConfigFiles,
            _ => PackageState::Installed,
        };
        Some(Installed { version: self.version.to_string(), state, held: self.held })
    }
}

/// All packages that dpkg knows, by name.
#[derive(Debug, Default)]
pub(super) struct Index {
    entries: Vec<Entry>,
    native: Box<str>,
}

impl Index {
    /// The package called `name`, or `name:architecture`. A bare name means the machine's own architecture.
    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        let (name, architecture) = name.split_once(':').unwrap_or((name, "native"));
        let native = matches!(architecture, "native" | "any") || architecture == &*self.native;
        let first = self.entries.partition_point(|entry| *entry.name < *name);
        self.entries[first..]
            .iter()
            .take_while(|entry| *entry.name == *name)
            .filter(|entry| match native {
                true => entry.architecture == self.native || &*entry.architecture == "all",
                false => &*entry.architecture == architecture,
            })
            .max_by_key(|entry| entry.progress)
    }

    /// The machine's own architecture.
    pub(super) fn native(&self) -> &str {
        &self.native
    }

    /// The packages that dpkg did not finish with.
    pub(super) fn unfinished(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.is_unfinished())
    }

    /// Adds what the status file says.
    pub(super) fn add_status(&mut self, text: &[u8]) {
        self.entries.extend(stanzas(text).filter_map(parse));
        // dpkg writes it in this order already; then nothing is moved.
        self.entries.sort_by(|left, right| left.name.cmp(&right.name));
    }

    /// Adds what one file of updates/ says, which is newer.
    pub(super) fn add_update(&mut self, text: &[u8]) {
        for entry in stanzas(text).filter_map(parse) {
            self.entries.retain(|old| {
                old.name != entry.name
                    || (entry.side_by_side && old.side_by_side && old.architecture != entry.architecture)
            });
            let place = self.entries.partition_point(|old| old.name <= entry.name);
            self.entries.insert(place, entry);
        }
    }

    /// To be called when all is added. dpkg is a package of the machine's own architecture.
    pub(super) fn finish(&mut self) {
        let dpkg = self.entries.iter().find(|entry| &*entry.name == "dpkg" && entry.progress == Progress::Installed);
        self.native = dpkg.map_or_else(|| compiled_architecture().into(), |entry| entry.architecture.clone());
    }
}

/// What Debian calls the architecture that this program was built for.
fn compiled_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "i386",
        "aarch64" => "arm64",
        "arm" => "armhf",
        "powerpc64" => "ppc64el",
        other => other,
    }
}

/// The stanzas of a control file.
fn stanzas(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = memmem::find_iter(text, b"\n\n").map(|at| at + 1).chain([text.len()]);
    ends.scan(0, |start, end| {
        let stanza = &text[*start..end];
        *start = end;
        Some(stanza)
    })
}

/// A stanza as an entry; nothing where it lacks what every one has.
fn parse(stanza: &[u8]) -> Option<Entry> {
    let (mut name, mut status, mut version, mut config_version, mut architecture) = (None, None, None, None, None);
    let (mut essential, mut side_by_side) = (false, false);
    let mut rest = stanza;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 1..).unwrap_or_default();
        // Lines that begin with a space continue a field that does not count here; most fields do not.
        let Some(first) = line.first().filter(|first| b"PSVCAEM".contains(first)) else { continue };
        let Some(colon) = memchr(b':', line) else { continue };
        let value = line[colon + 1..].trim_ascii();
        match (first, &line[..colon]) {
            (b'P', b"Package") => name = Some(value),
            (b'P', b"Protected") | (b'E', b"Essential") => essential |= value == b"yes",
            (b'S', b"Status") => status = Some(value),
            (b'V', b"Version") => version = Some(value),
            (b'C', b"Config-Version") => config_version = Some(value),
            (b'A', b"Architecture") => architecture = Some(value),
            (b'M', b"Multi-Arch") => side_by_side = value == b"same",
            _ => {}
        }
    }
    let mut words = status?.split(u8::is_ascii_whitespace);
    let (want, flag, progress) = (words.next()?, words.next()?, Progress::from_word(words.next()?)?);
    let text = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned().into_boxed_str();
    Some(Entry {
        name: text(Some(name?)),
        architecture: text(architecture),
        version: text(version.or(config_version)),
        progress,
        held: want == b"hold",
        reinstall: flag == b"reinstreq",
        essential,
        side_by_side,
    })
}
