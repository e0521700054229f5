//! The blobs that a graph needs: templates, files, and long contents that were written in a recipe.

use std::collections::BTreeMap;

use converge_model::graph::{ContentSource, file_key, template_key};
use converge_model::{BlobRef, Digest, Dynamic};

use super::declaration::Declared;
use crate::repository::Repository;

/// Where the bytes of a blob are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BlobPlace {
    /// A file of the repository, by its path.
    File(String),
    /// Here: a long content that was written in a recipe.
    Bytes(Vec<u8>),
}

/// The blobs of a graph, collected while it is put together.
#[derive(Debug)]
pub(crate) struct Blobs<'r> {
    repository: &'r Repository,
    /// As the graph has them.
    pub(crate) by_key: BTreeMap<String, BlobRef>,
    /// Where the bytes of each are.
    pub(crate) places: BTreeMap<Digest, BlobPlace>,
}

impl<'r> Blobs<'r> {
    /// No blobs yet.
    pub(crate) fn new(repository: &'r Repository) -> Self {
        Self { repository, by_key: BTreeMap::new(), places: BTreeMap::new() }
    }

    /// Adds what a declaration of a cookbook needs.
    pub(crate) fn add(&mut self, cookbook: &str, declared: &Declared) {
        if let Some((blob, bytes)) = &declared.inline {
            self.places.entry(blob.digest).or_insert_with(|| BlobPlace::Bytes(bytes.clone()));
        }
        match declared.declaration.content.as_deref() {
            Some(ContentSource::Template { path, .. }) => self.add_path(cookbook, "templates", template_key, path),
            Some(ContentSource::File { path, .. }) => self.add_path(cookbook, "files", file_key, path),
            None => {}
        }
    }

    /// Adds one file; all of the directory where only a node knows which one.
    fn add_path(&mut self, cookbook: &str, directory: &str, key: fn(&str, &str) -> String, path: &Dynamic) {
        let repository = self.repository;
        let below = format!("cookbooks/{cookbook}/{directory}/");
        match path.as_str() {
            Some(path) => self.add_file(key(cookbook, path), &format!("{below}{path}")),
            None => {
                for (path, _) in repository.below(&below) {
                    self.add_file(key(cookbook, path), &format!("{below}{path}"));
                }
            }
        }
    }

    fn add_file(&mut self, key: String, path: &str) {
        if self.by_key.contains_key(&key) {
            return;
        }
        if let Some(data) = self.repository.files.get(path) {
            let blob = data.blob();
            self.by_key.insert(key, blob);
            self.places.entry(blob.digest).or_insert_with(|| BlobPlace::File(path.to_owned()));
        }
    }
}
