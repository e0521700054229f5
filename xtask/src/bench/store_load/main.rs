//! Loads a store as a fleet does: `store-load CONVERGE DIRECTORY [--quick]`. Prints one JSON document of figures.
//!
//! Real TLS over loopback, real node keys and signatures, the store as it ships as a process of its own. What loads it works on
//! the same processors, and takes a part of them: it signs what it can beforehand, parses no more than it must, and says how
//! much CPU time it took itself.
//!
//! An example of the crate, not a part of its program: so `cargo xtask` builds without the rooms it looks after, and what
//! loads is optimized.
#![expect(
    clippy::disallowed_macros,
    reason = "a program of its own on the developer's terminal, not a part of the agent"
)]

mod figures;
mod fleet;
mod held;
mod herd;
mod process;
mod steady;
mod wire;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use figures::{Figures, Meter};
use fleet::{Fleet, Operator};
use process::StoreProcess;

/// Why something did not work out.
pub(crate) type Trouble = Box<dyn std::error::Error + Send + Sync>;

/// Files that are open beside the connections of nodes.
const OTHER_FILES: u64 = 500;

/// How much to measure.
pub(crate) struct Plan {
    /// Nodes.
    pub(crate) nodes: usize,
    /// Requests that show how many a window needs.
    pub(crate) sample: usize,
    /// How long a steady load lasts, in seconds.
    pub(crate) window: f64,
    /// For how many rounds of held requests to look on after the herd.
    pub(crate) rounds: u32,
}

impl Plan {
    const WHOLE: Self = Self { nodes: 10_000, sample: 10_000, window: 8.0, rounds: 3 };
    const QUICK: Self = Self { nodes: 1_000, sample: 2_000, window: 2.0, rounds: 2 };
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (plan, places) = match arguments.as_slice() {
        [binary, directory] => (Plan::WHOLE, (binary, directory)),
        [binary, directory, quick] if quick == "--quick" => (Plan::QUICK, (binary, directory)),
        _ => {
            eprintln!("usage: store-load CONVERGE DIRECTORY [--quick]");
            return ExitCode::FAILURE;
        }
    };
    let done = measure(&plan, Path::new(places.0), &PathBuf::from(places.1).join("data"));
    match done.and_then(|figures| Ok(serde_json::to_string(&figures)?)) {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("store-load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Everything, on a store that is made for it.
fn measure(plan: &Plan, binary: &Path, data: &Path) -> Result<Figures, Trouble> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    if most < plan.nodes as u64 + OTHER_FILES {
        return Err(format!("{} nodes need that many open files, and {most} are allowed", plan.nodes).into());
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let mut figures = Figures::default();
        let mut store = StoreProcess::start(binary, data, "127.0.0.1:0".parse()?)?;
        let target = store.target()?;
        let operator = Operator::new(store.operator()?)?;
        operator.publish(&target, 1).await?;
        operator.assign(&target, 1).await?;
        let meter = Meter::start(&store)?;
        let fleet = Arc::new(Fleet::enroll(&target, &operator, plan.nodes).await?);
        let enrolled = vec![std::time::Duration::ZERO; fleet.len()];
        figures.loads.push(meter.end(&store, "store-enrol", "machines that become nodes", enrolled)?);
        steady::first(&store, &fleet, &mut figures).await?;
        steady::steady(&store, &fleet, plan, &mut figures).await?;
        held::held(&store, &fleet, &operator, &mut figures).await?;
        herd::herd(&mut store, &fleet, plan.rounds, &mut figures).await?;
        Ok(figures)
    })
}
