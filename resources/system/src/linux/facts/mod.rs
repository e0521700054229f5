//! What the agent learns of its node.
//!
//! Read from files and a few system calls, each when somebody asks for it; no process is started, nothing is asked over a
//! network. What changes by itself (load, free memory, free space, uptime) is no fact: facts differ only when something was
//! changed.

mod cloud;
mod hardware;
mod local;
mod network;
mod os;
mod platform;
mod storage;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use converge_model::error::{Error, ErrorKind, Result};
use converge_model::{FactSource, Facts, Value};
use rustix::system::{Uname, uname};

use super::small_file;

/// The largest file that is read for a fact, in bytes.
const LARGEST: usize = 4 << 20;

/// The facts of this machine, with those of the administrator from `directory` under `local`.
///
/// Every fact is always there; one that this machine does not have is none.
pub fn of_machine(directory: &Path) -> Facts {
    below(Path::new("/"), directory)
}

/// As [`of_machine`], from the tree below `root`; what only the running kernel knows comes from that.
pub fn below(root: &Path, directory: &Path) -> Facts {
    Facts::of(Machine { root: root.to_owned(), directory: directory.to_owned() })
}

/// A machine whose facts are wanted.
#[derive(Debug)]
struct Machine {
    root: PathBuf,
    /// Where the administrator's own are.
    directory: PathBuf,
}

/// How a fact is found out.
type Find = fn(&Source<'_>, &mut Vec<String>) -> Value;

const FACTS: [(&str, Find); 15] = [
    ("cloud", cloud::cloud),
    ("cpu", |source, _| hardware::cpu(source)),
    ("disks", |source, _| storage::disks(source)),
    ("filesystems", |source, _| storage::filesystems(source)),
    ("fqdn", |source, _| network::fqdn(source, &node_name(&uname())).into()),
    ("hostname", |_, _| Value::String(node_name(&uname()))),
    ("init", |source, _| platform::init(source)),
    ("kernel", |_, _| os::kernel()),
    ("local", |source, remarks| local::local(source.directory, remarks)),
    ("machine_id", |source, _| os::machine_id(source)),
    ("memory", |_, _| hardware::memory()),
    ("network", |source, _| network::network(source)),
    ("os", |source, _| os::os(source)),
    ("package_provider", |source, _| platform::package_provider(source)),
    ("virtualisation", |source, _| platform::virtualisation(source)),
];

impl FactSource for Machine {
    fn names(&self) -> Vec<&'static str> {
        FACTS.iter().map(|(name, _)| *name).collect()
    }

    fn find(&self, name: &str, remarks: &mut Vec<String>) -> Value {
        let source = Source { root: &self.root, directory: &self.directory };
        FACTS.iter().find(|(known, _)| *known == name).map_or(Value::Null, |(_, find)| find(&source, remarks))
    }
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
    /// Where the administrator's own are.
    directory: &'a Path,
}

impl Source<'_> {
    /// What the kernel says of its first processor. It makes the file up processor by processor: the first is enough.
    fn processor(&self) -> String {
        let path = self.root.join("proc/cpuinfo");
        let beginning = small_file::open(&path).and_then(|file| small_file::read_to_limit(file, 4096, 4096));
        String::from_utf8_lossy(&beginning.unwrap_or_default()).into_owned()
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
