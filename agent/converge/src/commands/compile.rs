//! `converge compile`: a policy as the graph document that nodes run.

use std::collections::BTreeMap;
use std::path::Path;

use converge_model::{BlobRef, Digest, Error, ErrorKind, Graph};
use converge_policy::compile::{BlobPlace, compile};
use converge_policy::{FileData, Repository};
use converge_system::linux::durable;
use serde::Serialize;

use super::check::print;
use crate::cli::CompileArgs;
use crate::client::BlobBytes;
use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::repository::PolicyRepository;

/// The name of a compiled graph; its blobs are in `blobs/` beside it.
pub(crate) const GRAPH_FILE: &str = "graph.json";

/// A policy that was compiled, and where its blobs are.
pub(crate) struct Compilation {
    /// The graph.
    pub graph: Graph,
    places: BTreeMap<Digest, BlobPlace>,
    repository: PolicyRepository,
}

impl Compilation {
    /// Compiles the policy in a file (`policies/web.toml`) of a policy repository. Warnings are printed.
    ///
    /// # Errors
    /// Everything that is wrong with the policy, at once; or that the repository cannot be read.
    pub(crate) fn of_file(path: &Path, console: Console) -> Outcome<Self> {
        let name = path.file_stem().and_then(|stem| stem.to_str()).ok_or_else(|| {
            Failure::input("compile", path.display(), "it is not the file of a policy")
                .with_hint("name a file such as policies/web.toml")
        })?;
        Self::of(PolicyRepository::around(path)?, name, console)
    }

    /// Compiles the policy called `name` of a repository that was read.
    ///
    /// # Errors
    /// Everything that is wrong with the policy, at once.
    pub(crate) fn of(repository: PolicyRepository, name: &str, console: Console) -> Outcome<Self> {
        let compiled = compile(&repository.files, name, converge_kinds::registry());
        let compiled = compiled.map_err(|found| print(found, &repository.files, console))?;
        if !compiled.warnings.is_empty() {
            print(compiled.warnings, &repository.files, console);
        }
        Ok(Self { graph: compiled.graph, places: compiled.blobs, repository })
    }

    /// The policy repository that it was compiled from.
    pub(crate) fn root(&self) -> &Path {
        &self.repository.root
    }

    /// Every blob of the graph, ascending by digest.
    pub(crate) fn blobs(&self) -> Outcome<Vec<BlobRef>> {
        self.places.keys().map(|digest| Ok(BlobRef { digest: *digest, size: self.bytes(digest)?.size()? })).collect()
    }

    /// Where the bytes of a blob are.
    ///
    /// # Errors
    /// Where the graph has no such blob.
    pub(crate) fn bytes(&self, digest: &Digest) -> Outcome<BlobBytes<'_>> {
        let found = match self.places.get(digest) {
            Some(BlobPlace::Bytes(bytes)) => Some(BlobBytes::Memory(bytes)),
            Some(BlobPlace::File(path)) => file_bytes(&self.repository, path, digest),
            None => None,
        };
        found.ok_or_else(|| {
            let cause = "the graph has no such blob";
            Error::new(ErrorKind::NotFound, "find", format!("blob {}", digest.short()), cause).into()
        })
    }
}

fn file_bytes<'a>(repository: &'a PolicyRepository, path: &str, digest: &Digest) -> Option<BlobBytes<'a>> {
    let files: &Repository = &repository.files;
    match files.files.get(path)? {
        FileData::Bytes(bytes) => Some(BlobBytes::Memory(bytes)),
        FileData::Blob(_) => repository.large_file(digest).map(BlobBytes::File),
    }
}

/// What was written.
#[derive(Debug, Serialize)]
struct Written {
    graph: BlobRef,
    path: String,
    blobs: usize,
}

/// Compiles a policy into a directory.
pub(crate) fn run(args: &CompileArgs, console: Console) -> Outcome {
    let compilation = Compilation::of_file(&args.policy, console)?;
    let blobs = args.output.join("blobs");
    durable::create_directory(&blobs, 0o755)?;
    for blob in compilation.blobs()? {
        let mut file = durable::Incoming::begin(&blobs.join(blob.digest.to_string()), 0o644)?;
        compilation.bytes(&blob.digest)?.read(&mut |bytes| file.write(bytes))?;
        file.keep(durable::Durability::Soon)?;
    }
    let bytes = compilation.graph.to_bytes()?;
    let path = args.output.join(GRAPH_FILE);
    durable::write(&path, &bytes, 0o644)?;
    let written =
        Written { graph: BlobRef::of(&bytes), path: path.display().to_string(), blobs: compilation.places.len() };
    console.result(&written, |written| {
        format!(
            "{}: {} bytes, sha256 {}, {} blobs",
            written.path, written.graph.size, written.graph.digest, written.blobs
        )
    })
}
