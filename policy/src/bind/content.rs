//! Templates and files that declarations name.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use converge_model::graph::{file_key, template_key};
use converge_model::{BlobRef, Digest, Graph};

use super::input::BlobReader;

/// The templates of a graph. Each is read when it is rendered first.
pub(super) struct Templates<'b> {
    blobs: &'b dyn BlobReader,
    sources: BTreeMap<Digest, (BlobRef, OnceLock<Result<String, String>>)>,
}

impl<'b> Templates<'b> {
    /// The templates of `graph`, none of them read.
    pub(super) fn of(graph: &Graph, blobs: &'b dyn BlobReader) -> Self {
        let is_template = |key: &str| key.split('/').nth(1) == Some("templates");
        let templates = graph.blobs.iter().filter(|(key, _)| is_template(key));
        Self { blobs, sources: templates.map(|(_, blob)| (blob.digest, (*blob, OnceLock::new()))).collect() }
    }

    /// The text of a template.
    ///
    /// # Errors
    /// Where its bytes are not at hand, not those that were published, or not UTF-8.
    pub(super) fn source(&self, digest: Digest) -> Result<&str, &str> {
        let Some((blob, source)) = self.sources.get(&digest) else {
            return Err("the graph does not hold it");
        };
        source.get_or_init(|| self.read(blob)).as_deref().map_err(String::as_str)
    }

    fn read(&self, blob: &BlobRef) -> Result<String, String> {
        let bytes = self.blobs.read(blob).map_err(|error| error.to_string())?;
        if BlobRef::of(&bytes) != *blob {
            return Err(format!("its bytes are not those that were published ({})", blob.digest.short()));
        }
        String::from_utf8(bytes).map_err(|error| format!("it is not UTF-8: {error}"))
    }
}

/// The blob of a template of a cookbook.
pub(super) fn template_blob(graph: &Graph, cookbook: &str, path: &str) -> Option<BlobRef> {
    graph.blobs.get(&template_key(cookbook, path)).copied()
}

/// The blob of a file of a cookbook.
pub(super) fn file_blob(graph: &Graph, cookbook: &str, path: &str) -> Option<BlobRef> {
    graph.blobs.get(&file_key(cookbook, path)).copied()
}
