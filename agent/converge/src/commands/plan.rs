//! `converge plan`: what a run would change, changing nothing.

use converge_model::Outcome as ResourceOutcome;

use crate::cli::{CommonArgs, PlanArgs};
use crate::console::{Console, report};
use crate::failure::{Failure, HAS_CHANGES, Outcome, SUCCESS};
use crate::run::policy::PolicyChoice;
use crate::run::{Agent, Done};

/// Plans.
pub(crate) fn run(args: &PlanArgs, common: &CommonArgs, console: Console) -> Outcome {
    let agent = Agent::open(common, console)?;
    let Done { report: planned, code } = agent.plan(PolicyChoice::new(&args.policy, console)?)?;
    console.result(&planned, report::summary)?;
    if code != SUCCESS {
        Err(Failure::Said(code))
    } else if args.detailed_exit_code && planned.count(ResourceOutcome::WouldUpdate) > 0 {
        Err(Failure::Said(HAS_CHANGES))
    } else {
        Ok(())
    }
}
