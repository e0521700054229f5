//! What the agent learns of its node.
//!
//! Read from files and a few system calls; no process is started, nothing is asked over a network. What changes by itself
//! (load, free memory, free space, uptime) is no fact: facts differ only when something was changed.

mod cloud;
mod hardware;
mod local;
mod network;
mod os;
mod platform;
mod storage;

use std::collections::BTreeMap;
use std::path::Path;

use converge_model::Value;
use converge_model::error::{Error, ErrorKind, Result};
use rustix::system::{Uname, uname};

use super::small_file;

/// The largest file that is read for a fact, in bytes.
const LARGEST: usize = 4 << 20;

/// Gathers the facts of this machine, with those of the administrator from `directory` under `local`. Also gives remarks:
/// what was there and could not be used, one sentence each.
///
/// Every fact is always there; one that this machine does not have is none.
pub fn gather(directory: &Path) -> (Value, Vec<String>) {
    gather_below(Path::new("/"), directory)
}

/// As [`gather`], from the tree below `root`; what only the running kernel knows comes from that.
pub fn gather_below(root: &Path, directory: &Path) -> (Value, Vec<String>) {
    let mut remarks = Vec::new();
    let source = Source::new(root);
    let os = os::os(&source);
    let facts = map([
        ("package_provider", platform::package_provider(&source)),
        ("kernel", os::kernel(&source)),
        ("hostname", Value::String(node_name(&source.uname))),
        ("fqdn", network::fqdn(&source, &node_name(&source.uname)).into()),
        ("machine_id", os::machine_id(&source)),
        ("os", os),
        ("cpu", hardware::cpu(&source)),
        ("memory", hardware::memory()),
        ("disks", storage::disks(&source)),
        ("filesystems", storage::filesystems(&source)),
        ("network", network::network(&source)),
        ("virtualisation", platform::virtualisation(&source)),
        ("init", platform::init(&source)),
        ("cloud", cloud::cloud(&source, &mut remarks)),
        ("local", local::local(directory, &mut remarks)),
    ]);
    (facts, remarks)
}

/// The name of this machine, as the kernel has it.
///
/// # Errors
/// Where it has none.
pub fn hostname() -> Result<String> {
    match node_name(&uname()) {
        name if name.is_empty() || name == "(none)" => {
            Err(Error::new(ErrorKind::Unavailable, "find", "the name of this machine", "it has none")
                .with_hint("give it one (hostnamectl set-hostname NAME)"))
        }
        name => Ok(name),
    }
}

fn node_name(uname: &Uname) -> String {
    uname.nodename().to_string_lossy().into_owned()
}

/// Where facts are read from.
struct Source<'a> {
    root: &'a Path,
    /// What the kernel says of itself.
    uname: Uname,
    /// What the kernel says of its first processor.
    processor: String,
}

impl<'a> Source<'a> {
    fn new(root: &'a Path) -> Self {
        // The kernel makes this file up processor by processor: the first is enough.
        let path = root.join("proc/cpuinfo");
        let beginning = small_file::open(&path).and_then(|file| small_file::read_to_limit(file, 4096, 4096));
        let processor = String::from_utf8_lossy(&beginning.unwrap_or_default()).into_owned();
        Self { root, uname: uname(), processor }
    }

    /// The bytes of a file; nothing where it is not there or cannot be read: then that fact is not known.
    fn bytes(&self, path: &str) -> Option<Vec<u8>> {
        small_file::read(&self.root.join(path), LARGEST).ok()
    }

    /// The text of a file, without blanks around it; nothing where there is none.
    fn text(&self, path: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.bytes(path)?).trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    fn exists(&self, path: &str) -> bool {
        rustix::fs::stat(self.root.join(path)).is_ok()
    }

    /// The names in a directory, sorted.
    fn names(&self, path: &str) -> Vec<String> {
        let opened = small_file::open(&self.root.join(path)).and_then(|handle| Ok(rustix::fs::Dir::new(handle)?));
        let entries = opened.into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().to_str().map(str::to_owned).ok())
            .filter(|name| !matches!(name.as_str(), "." | ".."))
            .collect();
        names.sort();
        names
    }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<BTreeMap<_, _>>())
}

fn text(value: Option<impl Into<String>>) -> Value {
    value.map_or(Value::Null, |value| Value::String(value.into()))
}

fn integer(value: Option<impl TryInto<i64>>) -> Value {
    value.and_then(|value| value.try_into().ok()).map_or(Value::Null, Value::Integer)
}
