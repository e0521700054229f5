//! A network of a test's own: a bridge in a network namespace, and a cable from it to every machine. It touches neither
//! the test host's network nor another test's.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::claim::Claim;
use crate::command::Invocation;
use crate::error::{Result, TestbedError};

/// The address of the bridge, which is the test host's own end of the network.
const BRIDGE: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

/// How many addresses of its /24 are left beside the bridge.
const ROOM: u32 = 253;

/// A network that machines can be connected to. It is gone when the last value of it is, those of its machines included.
#[derive(Debug, Clone)]
pub struct Network {
    wire: Arc<Wire>,
}

#[derive(Debug)]
struct Wire {
    claim: Claim,
    /// How many machines were connected so far.
    connected: AtomicU32,
}

impl Network {
    /// Makes an empty network.
    ///
    /// # Errors
    ///
    /// The kernel makes no namespaces or bridges, or this process is not root.
    pub fn create() -> Result<Self> {
        let claim = Claim::new("network")?;
        let wire = claim.id();
        ip(["netns", "add", wire])?;
        ip(["-n", wire, "link", "set", "lo", "up"])?;
        ip(["-n", wire, "link", "add", "bridge0", "type", "bridge"])?;
        let address = format!("{BRIDGE}/24");
        ip(["-n", wire, "address", "add", &address, "dev", "bridge0"])?;
        ip(["-n", wire, "link", "set", "bridge0", "up"])?;
        Ok(Self { wire: Arc::new(Wire { connected: AtomicU32::new(0), claim }) })
    }

    /// The address under which machines reach what [`Network::command`] starts.
    pub fn address(&self) -> Ipv4Addr {
        BRIDGE
    }

    /// A process of the test host that lives in this network and no other, say a server that machines talk to.
    pub fn command(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Invocation {
        arguments
            .into_iter()
            .fold(Invocation::on_host(["ip", "netns", "exec", self.wire.claim.id()]), Invocation::argument)
    }

    /// Makes the network namespace of a machine, called by the machine's claim and removed with it, with a cable to here.
    pub(crate) fn connect(&self, machine: &str) -> Result<Connection> {
        let wire = self.wire.claim.id();
        let number = self.wire.connected.fetch_add(1, Ordering::Relaxed) + 1;
        if number > ROOM {
            return Err(TestbedError::new(format!("cannot connect {machine}: a network has room for {ROOM} machines")));
        }
        let address = Ipv4Addr::from_bits(BRIDGE.to_bits() + number);
        let port = format!("port{number}");
        ip(["netns", "add", machine])?;
        ip(["-n", machine, "link", "set", "lo", "up"])?;
        ip(["link", "add", "eth0", "netns", machine, "type", "veth", "peer", "name", &port, "netns", wire])?;
        ip(["-n", wire, "link", "set", &port, "master", "bridge0", "up"])?;
        let with_prefix = format!("{address}/24");
        ip(["-n", machine, "address", "add", &with_prefix, "dev", "eth0"])?;
        ip(["-n", machine, "link", "set", "eth0", "up"])?;
        Ok(Connection { network: self.clone(), namespace: machine.to_owned(), port, address })
    }
}

/// A machine's end of a network.
#[derive(Debug)]
pub(crate) struct Connection {
    network: Network,
    namespace: String,
    port: String,
    address: Ipv4Addr,
}

impl Connection {
    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }

    pub(crate) fn namespace_path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.namespace)
    }

    pub(crate) fn set_cable(&self, plugged: bool) -> Result<()> {
        let state = if plugged { "up" } else { "down" };
        let wire = self.network.wire.claim.id();
        ip(["-n", wire, "link", "set", &self.port, state])
    }
}

fn ip<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<()> {
    arguments
        .into_iter()
        .fold(Invocation::on_host(["ip"]), Invocation::argument)
        .run()?
        .succeeded("set up the network of a test")
}
