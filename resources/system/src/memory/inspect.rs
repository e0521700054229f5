//! What a test looks at: none of it counts as an operation.

use converge_model::system::files::{FileType, Metadata};

use super::{CommandRecord, Counts, MemoryMachine};

impl MemoryMachine {
    /// The bytes of the file at `path`, links followed; nothing where none is.
    pub fn content(&self, path: &str) -> Option<Vec<u8>> {
        let state = self.state();
        let real = state.tree.resolve(&path.parse().ok()?).ok()?;
        state.bytes("read", &real).ok().map(|bytes| bytes.to_vec())
    }

    /// What is at `path`, without counting as an operation.
    pub fn look(&self, path: &str) -> Option<Metadata> {
        self.state().tree.metadata("look at", &path.parse().ok()?).ok().flatten()
    }

    /// Whether a directory is at `path`.
    pub fn is_directory(&self, path: &str) -> bool {
        self.look(path).is_some_and(|metadata| metadata.file_type == FileType::Directory)
    }

    /// How often the package index was fetched.
    pub fn index_fetches(&self) -> u32 {
        self.state().packages.fetches
    }

    /// How often a unit was started, stopped, restarted and reloaded by somebody who said so.
    pub fn counts(&self, unit: &str) -> Counts {
        self.state().units.units.get(unit).map(|unit| unit.counts).unwrap_or_default()
    }

    /// How often all unit files were read anew.
    pub fn unit_reloads(&self) -> u32 {
        self.state().units.reloads
    }

    /// The commands that were run to their end, in that order.
    pub fn commands_run(&self) -> Vec<CommandRecord> {
        self.state().commands.records.clone()
    }
}
