//! Times what compiling and binding take without a process around them: `policy-timer REPOSITORY POLICY ROUNDS`.
//!
//! An example of the crate, not a part of its program: so `cargo xtask` builds without the rooms it looks after, and what
//! is timed is optimized. Prints one line a step: its name and milliseconds, one number a round.
#![expect(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    reason = "a program of its own on the developer's terminal, not a part of the agent"
)]

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use converge_model::{BlobRef, Digest, Graph, Result as ModelResult, Value};
use converge_policy::bind::{BindInput, BlobReader, NodeIdentity, bind};
use converge_policy::{BlobPlace, Compiled, FileData, Repository, check, compile};

/// The blobs of what was just compiled.
struct Blobs(BTreeMap<Digest, Vec<u8>>);

impl BlobReader for Blobs {
    fn read(&self, blob: &BlobRef) -> ModelResult<Vec<u8>> {
        self.0.read(blob)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, policy, rounds] = arguments.as_slice() else {
        return Err("usage: policy-timer REPOSITORY POLICY ROUNDS".into());
    };
    let rounds: usize = rounds.parse()?;
    let mut repository = Repository::default();
    read(Path::new(root), "", &mut repository)?;
    let kinds = converge_kinds::registry();

    let compiled = timed("compile", rounds, || compile(&repository, policy, kinds)).map_err(|found| told(&found))?;
    let found = timed("check", rounds, || check(&repository, kinds));
    if !found.is_empty() {
        return Err(told(&found).into());
    }
    let bytes = timed("write-graph", rounds, || compiled.graph.to_bytes())?;
    let graph = timed("read-graph", rounds, || Graph::from_bytes(&bytes))?;
    let (input, blobs) = (input(policy), blobs(&compiled, &repository));
    let bound = timed("bind", rounds, || bind(&graph, &input, &blobs, kinds)).map_err(|found| told(&found))?;
    if bound.catalog.resources.is_empty() {
        return Err("the policy has no resources: nothing was timed".into());
    }
    Ok(())
}

/// Does it so often, prints how long each time took, and gives the last result.
fn timed<T>(step: &str, rounds: usize, mut work: impl FnMut() -> T) -> T {
    // The first one warms the caches, and does not count.
    let mut last = work();
    print!("{step}:");
    for _ in 0..rounds {
        let started = Instant::now();
        let result = work();
        print!(" {:.4}", started.elapsed().as_secs_f64() * 1e3);
        // Dropping the result before is not a part of the step.
        last = result;
    }
    println!();
    last
}

fn told(found: &[converge_model::Diagnostic]) -> String {
    found.iter().take(5).map(|finding| format!("{finding}\n")).collect()
}

/// Reads what a repository holds.
fn read(directory: &Path, prefix: &str, repository: &mut Repository) -> Result<(), Box<dyn Error>> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let path = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            read(&entry.path(), &format!("{path}/"), repository)?;
        } else {
            repository.files.insert(path, FileData::Bytes(std::fs::read(entry.path())?));
        }
    }
    Ok(())
}

/// A node with the facts that the policies of the benches ask for.
fn input(policy: &str) -> BindInput {
    let map = |entries: &[(&str, Value)]| {
        Value::Map(entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect())
    };
    let facts = map(&[("cpu", map(&[("count", Value::Integer(4))])), ("init", Value::from("systemd"))]);
    let node = NodeIdentity { name: "node".to_owned(), policy: policy.to_owned(), ..NodeIdentity::default() };
    BindInput { facts: Arc::new(facts.into()), node, ..BindInput::default() }
}

fn blobs(compiled: &Compiled, repository: &Repository) -> Blobs {
    let bytes = |place: &BlobPlace| match place {
        BlobPlace::Bytes(bytes) => Some(bytes.clone()),
        BlobPlace::File(path) => match repository.files.get(path) {
            Some(FileData::Bytes(bytes)) => Some(bytes.clone()),
            _ => None,
        },
    };
    Blobs(compiled.blobs.iter().filter_map(|(digest, place)| Some((*digest, bytes(place)?))).collect())
}
