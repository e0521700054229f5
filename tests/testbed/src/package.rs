//! A tiny Debian package, described in a test's code.

use std::fmt::Write as _;

/// A maintainer script: when dpkg runs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Script {
    /// Before the files are unpacked.
    PreInst,
    /// After unpacking, to configure.
    PostInst,
    /// Before the files are removed.
    PreRm,
    /// After the files are removed; with `purge` once more.
    PostRm,
}

impl Script {
    /// The file of the control archive it lives in.
    pub(crate) fn file_name(self) -> &'static str {
        match self {
            Self::PreInst => "preinst",
            Self::PostInst => "postinst",
            Self::PreRm => "prerm",
            Self::PostRm => "postrm",
        }
    }
}

/// A file that a package carries.
#[derive(Debug, Clone)]
pub(crate) struct PackagedFile {
    pub(crate) path: String,
    pub(crate) content: Vec<u8>,
    pub(crate) mode: u32,
}

/// A package for all architectures. Nothing of it is checked here: a broken one is what some tests need.
#[derive(Debug, Clone)]
#[must_use]
pub struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    fields: Vec<(String, String)>,
    pub(crate) files: Vec<PackagedFile>,
    pub(crate) conffiles: Vec<String>,
    scripts: Vec<(Script, String)>,
    question: Option<Question>,
}

/// What a package asks through debconf.
#[derive(Debug, Clone)]
struct Question {
    /// `package/what`.
    name: String,
    text: String,
    answer_path: String,
}

impl Package {
    /// A package that holds nothing yet.
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            fields: Vec::new(),
            files: Vec::new(),
            conffiles: Vec::new(),
            scripts: Vec::new(),
            question: None,
        }
    }

    /// What it depends on, in Debian's writing: `a, b (>= 2) | c`.
    pub fn depends(self, relation: &str) -> Self {
        self.field("Depends", relation)
    }

    /// Any other field of its control file: `Conflicts`, `Provides`, `Recommends`, `Essential`, … What is given for a
    /// field twice is joined by a comma.
    pub fn field(mut self, name: &str, value: &str) -> Self {
        match self.fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => *known = format!("{known}, {value}"),
            None => self.fields.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// A file at an absolute path, with its mode.
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>, mode: u32) -> Self {
        self.files.push(PackagedFile { path: path.to_owned(), content: content.into(), mode });
        self
    }

    /// A configuration file: dpkg keeps an edited one, and asks when both sides changed.
    pub fn conffile(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.conffiles.push(path.to_owned());
        self.file(path, content, 0o644)
    }

    /// What a maintainer script does, as lines of `sh -e`. Lines for the same script run one after the other.
    pub fn script(mut self, script: Script, lines: &str) -> Self {
        self.scripts.push((script, lines.to_owned()));
        self
    }

    /// A systemd unit, enabled and started when the package is installed and stopped when it is removed, as Debian's
    /// packages do.
    pub fn service(self, unit: &str, content: &str) -> Self {
        self.file(&format!("/lib/systemd/system/{unit}"), content, 0o644)
            .script(
                Script::PostInst,
                &format!(
                    "if [ \"$1\" = configure ]; then\n\
                     deb-systemd-helper enable {unit} >/dev/null\n\
                     deb-systemd-helper update-state {unit} >/dev/null || true\n\
                     if [ -d /run/systemd/system ]; then\n\
                     systemctl --system daemon-reload\n\
                     if [ -n \"$2\" ]; then deb-systemd-invoke restart {unit}; else deb-systemd-invoke start {unit}; fi\n\
                     fi\nfi"
                ),
            )
            .script(
                Script::PreRm,
                &format!(
                    "if [ -d /run/systemd/system ] && [ \"$1\" = remove ]; then deb-systemd-invoke stop {unit}; fi"
                ),
            )
            .script(
                Script::PostRm,
                &format!(
                    "if [ -d /run/systemd/system ]; then systemctl --system daemon-reload || true; fi\n\
                     if [ \"$1\" = purge ]; then deb-systemd-helper purge {unit} >/dev/null; fi"
                ),
            )
    }

    /// A question of high priority through debconf; `name` is `package/what`. The answer (`blue` by default) is written
    /// to `answer_path` on configuring. One question a package.
    pub fn question(mut self, name: &str, text: &str, answer_path: &str) -> Self {
        self.question =
            Some(Question { name: name.to_owned(), text: text.to_owned(), answer_path: answer_path.to_owned() });
        self.depends("debconf")
    }

    /// The file name of the built package.
    pub(crate) fn deb_name(&self) -> String {
        // An epoch's colon is left out, as Debian does.
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_, rest)| rest);
        format!("{}_{version}_all.deb", self.name)
    }

    /// The text of its control file; also the head of its entry in a repository's index.
    pub(crate) fn control(&self) -> String {
        let mut control = format!(
            "Package: {}\nVersion: {}\nArchitecture: all\nMaintainer: Converge tests <tests@converge.invalid>\n",
            self.name, self.version
        );
        for (name, value) in &self.fields {
            // Writing to a String cannot fail.
            let _ = writeln!(control, "{name}: {value}");
        }
        let _ = writeln!(control, "Description: {} for tests", self.name);
        control
    }

    /// The files of its control archive besides `control`: name, content, mode.
    pub(crate) fn control_files(&self) -> Vec<(&'static str, String, u32)> {
        let mut files = Vec::new();
        if !self.conffiles.is_empty() {
            files.push(("conffiles", self.conffiles.join("\n") + "\n", 0o644));
        }
        if let Some(question) = &self.question {
            let Question { name, text, .. } = question;
            files.push((
                "templates",
                format!("Template: {name}\nType: string\nDefault: blue\nDescription: {text}\n"),
                0o644,
            ));
            files.push((
                "config",
                format!(
                    "#!/bin/sh\nset -e\n. /usr/share/debconf/confmodule\ndb_input high {name} || true\ndb_go || true\n"
                ),
                0o755,
            ));
        }
        for script in [Script::PreInst, Script::PostInst, Script::PreRm, Script::PostRm] {
            if let Some(text) = self.script_text(script) {
                files.push((script.file_name(), text, 0o755));
            }
        }
        files
    }

    fn script_text(&self, script: Script) -> Option<String> {
        let mut lines: Vec<String> =
            self.scripts.iter().filter(|(when, _)| *when == script).map(|(_, lines)| lines.clone()).collect();
        match (&self.question, script) {
            (Some(question), Script::PostInst) => lines.insert(
                0,
                format!(
                    ". /usr/share/debconf/confmodule\ndb_get {}\necho \"$RET\" > {}\ndb_stop",
                    question.name, question.answer_path
                ),
            ),
            (Some(_), Script::PostRm) => lines.push(
                "if [ \"$1\" = purge ] && [ -e /usr/share/debconf/confmodule ]; then\n\
                 . /usr/share/debconf/confmodule\ndb_purge\nfi"
                    .to_owned(),
            ),
            _ => {}
        }
        (!lines.is_empty()).then(|| format!("#!/bin/sh\nset -e\n{}\n", lines.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_deb_leaves_out_the_epoch() {
        assert_eq!(Package::new("a", "2:1.0-1").deb_name(), "a_1.0-1_all.deb");
    }

    #[test]
    fn lines_of_one_script_are_joined_in_order() {
        let package = Package::new("a", "1").script(Script::PostInst, "one").script(Script::PostInst, "two");
        assert_eq!(package.control_files(), [("postinst", "#!/bin/sh\nset -e\none\ntwo\n".to_owned(), 0o755)]);
    }
}
