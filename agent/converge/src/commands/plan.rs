//! `converge plan`: what a run would change, changing nothing.

use converge_model::Outcome as ResourceOutcome;

use crate::cli::{CommonArgs, PlanArgs};
use crate::console::{Console, report};
use crate::failure::{Failure, HAS_CHANGES, Outcome, RUN_FAILED};
use crate::run::Agent;
use crate::run::policy::PolicyChoice;

/// Plans.
pub(crate) fn run(args: &PlanArgs, common: &CommonArgs, console: Console) -> Outcome {
    let agent = Agent::open(common, console)?;
    let planned = agent.plan(PolicyChoice::new(&args.policy, console)?)?;
    console.result(&planned, report::summary)?;
    if !planned.conclusion.is_success() {
        Err(Failure::Said(RUN_FAILED))
    } else if args.detailed_exit_code && planned.count(ResourceOutcome::WouldUpdate) > 0 {
        Err(Failure::Said(HAS_CHANGES))
    } else {
        Ok(())
    }
}
