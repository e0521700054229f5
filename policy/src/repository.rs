//! A policy repository, held in memory. Whoever reads the disk fills it.

use std::collections::BTreeMap;

use converge_model::BlobRef;

/// The content of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileData {
    /// Its bytes. Everything that is compiled must be at hand: TOML documents and templates.
    Bytes(Vec<u8>),
    /// Its digest and size, enough for what lies below a cookbook's `files/`.
    Blob(BlobRef),
}

impl FileData {
    /// Its digest and size.
    pub fn blob(&self) -> BlobRef {
        match self {
            FileData::Bytes(bytes) => BlobRef::of(bytes),
            FileData::Blob(blob) => *blob,
        }
    }
}

/// The files of a policy repository.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    /// By path relative to the repository, with `/` between components: `cookbooks/nginx/cookbook.toml`.
    pub files: BTreeMap<String, FileData>,
}

impl Repository {
    /// The paths below `directory` (which ends in `/`), each with what follows the directory.
    pub(crate) fn below<'a>(&'a self, directory: &'a str) -> impl Iterator<Item = (&'a str, &'a FileData)> {
        self.files
            .range(directory.to_owned()..)
            .map_while(move |(path, data)| Some((path.strip_prefix(directory)?, data)))
    }
}

impl<P: Into<String>, D: Into<Vec<u8>>> FromIterator<(P, D)> for Repository {
    fn from_iter<I: IntoIterator<Item = (P, D)>>(files: I) -> Self {
        let file = |(path, bytes): (P, D)| (path.into(), FileData::Bytes(bytes.into()));
        Self { files: files.into_iter().map(file).collect() }
    }
}
