//! Absolute paths without tricks.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text;

/// An absolute path without `.`, `..`, doubled or trailing slashes, NUL or other control characters.
///
/// It says nothing about links: whether a component is one is decided where the path is walked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AbsPath(PathBuf);

impl AbsPath {
    /// The root directory.
    pub fn root() -> Self {
        Self(PathBuf::from("/"))
    }

    /// The path as the standard library knows it.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The last component, or nothing for the root directory.
    pub fn file_name(&self) -> Option<&OsStr> {
        self.0.file_name()
    }

    /// The directory it is in, or nothing for the root directory.
    pub fn parent(&self) -> Option<AbsPath> {
        let path = self.as_bytes();
        let slash = path.iter().rposition(|byte| *byte == b'/').filter(|_| path.len() > 1)?;
        Some(Self(PathBuf::from(OsStr::from_bytes(&path[..slash.max(1)]))))
    }

    /// The path itself, then its parent, up to the root directory.
    pub fn ancestors(&self) -> impl Iterator<Item = &Path> {
        self.0.ancestors()
    }

    /// The path of an entry of this directory, as listing it gave it. Any bytes but `/` and NUL are possible there.
    pub fn entry(&self, name: &OsStr) -> AbsPath {
        Self(self.0.join(name))
    }

    /// The path of `relative` below this directory.
    ///
    /// # Errors
    /// As [`AbsPath::from_str`]; also where `relative` is absolute.
    pub fn join(&self, relative: &str) -> Result<AbsPath, String> {
        if relative.starts_with('/') {
            return Err(format!("{relative:?} must be relative to {self}"));
        }
        format!("{}/{relative}", self.0.display()).parse()
    }

    /// Whether `self` is `directory` or below it.
    pub fn is_within(&self, directory: &AbsPath) -> bool {
        self.within(directory.as_path()).is_some()
    }

    /// What is left of the path below `directory`, which is written as an [`AbsPath`] is: empty where it is the directory
    /// itself, and nothing where it is elsewhere.
    pub fn within(&self, directory: impl AsRef<Path>) -> Option<&OsStr> {
        let directory = directory.as_ref().as_os_str().as_bytes();
        let rest = self.as_bytes().strip_prefix(directory)?;
        let below = match rest {
            [] | [b'/', ..] => rest.strip_prefix(b"/").unwrap_or(rest),
            _ if directory == b"/" => rest,
            _ => return None,
        };
        Some(OsStr::from_bytes(below))
    }

    fn as_bytes(&self) -> &[u8] {
        self.0.as_os_str().as_bytes()
    }
}

impl FromStr for AbsPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.starts_with('/') {
            return Err(format!("{text:?} is not an absolute path; it must begin with /"));
        }
        if text.len() > 4095 {
            return Err(format!("a path may have 4095 bytes; this one has {}", text.len()));
        }
        if let Some(bad) = text::control_character(text) {
            return Err(format!("the path {text:?} holds the control character {bad:?}"));
        }
        let mut path = String::with_capacity(text.len());
        for name in text.split('/') {
            match name {
                "" | "." => {}
                ".." => return Err(format!("the path {text:?} holds `..`; write where it leads")),
                name if name.len() > 255 => {
                    return Err(format!("a component of the path {text:?} is longer than 255 bytes"));
                }
                name => {
                    path.push('/');
                    path.push_str(name);
                }
            }
        }
        if path.is_empty() {
            path.push('/');
        }
        Ok(Self(PathBuf::from(path)))
    }
}

impl AsRef<Path> for AbsPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl fmt::Display for AbsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl fmt::Debug for AbsPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for AbsPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AbsPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::parsed(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_or_refused() {
        for (text, clean) in [("/", "/"), ("//a///b/", "/a/b"), ("/a/./b", "/a/b"), ("/é", "/é")] {
            assert_eq!(text.parse::<AbsPath>().unwrap().to_string(), clean);
        }
        for wrong in ["", "a", "./a", "/a/../b", "/..", "/a\0b", "/a\nb", &format!("/{}", "x".repeat(256))] {
            assert!(wrong.parse::<AbsPath>().is_err(), "{wrong:?}");
        }
        let directory: AbsPath = "/srv".parse().unwrap();
        assert!(directory.join("../etc").is_err() && directory.join("/etc").is_err());
        assert!(directory.join("a/b").unwrap().is_within(&directory));
        assert!(!"/srvx".parse::<AbsPath>().unwrap().is_within(&directory));
        for (path, directory, below) in [
            ("/srv/a/b", "/srv", Some("a/b")),
            ("/srv", "/srv", Some("")),
            ("/srv", "/", Some("srv")),
            ("/", "/", Some("")),
            ("/srvx", "/srv", None),
            ("/", "/srv", None),
        ] {
            let path: AbsPath = path.parse().unwrap();
            assert_eq!(path.within(directory), below.map(OsStr::new), "{path} within {directory}");
        }
        let parents = |text: &str| text.parse::<AbsPath>().unwrap().parent().map(|parent| parent.to_string());
        assert_eq!(["/", "/a", "/a/b"].map(parents), [None, Some("/".to_owned()), Some("/a".to_owned())]);
    }
}
