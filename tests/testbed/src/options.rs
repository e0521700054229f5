//! What a test may ask of a machine before it boots.

use std::time::Duration;

use crate::network::Network;

/// A machine on two busy cores boots within three seconds; this is for worse days.
const BOOT_DEADLINE: Duration = Duration::from_secs(120);

/// How a machine is to be. A plain name makes the default: a network of its own with only the loopback interface, no
/// package source, the whole test host's disk.
#[derive(Debug, Clone)]
#[must_use]
pub struct MachineOptions {
    pub(crate) name: String,
    pub(crate) small_disks: Vec<(String, u64)>,
    pub(crate) network: Option<Network>,
    pub(crate) boot_deadline: Duration,
}

impl MachineOptions {
    /// A machine whose host name is `name`: lower-case letters, digits and hyphens, 32 at most.
    pub fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), small_disks: Vec::new(), network: None, boot_deadline: BOOT_DEADLINE }
    }

    /// Mounts a file system of `bytes` at the absolute `path`, for tests of a full disk. It is empty after every boot.
    pub fn small_disk(mut self, path: impl Into<String>, bytes: u64) -> Self {
        self.small_disks.push((path.into(), bytes));
        self
    }

    /// Connects the machine to a network of the test's; its interface there is `eth0`.
    pub fn network(mut self, network: &Network) -> Self {
        self.network = Some(network.clone());
        self
    }

    /// How long booting may take; two minutes unless set.
    pub fn boot_deadline(mut self, deadline: Duration) -> Self {
        self.boot_deadline = deadline;
        self
    }
}

impl From<&str> for MachineOptions {
    fn from(name: &str) -> Self {
        Self::named(name)
    }
}
