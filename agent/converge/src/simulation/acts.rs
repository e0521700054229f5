//! What is done in a simulation: machines enrol, converge, change their keys and lose their power; and in the end all is well.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use converge_model::{Clock, Digest, Result};
use converge_store::in_process::ADDRESS;
use converge_trust::join_string::JoinString;

use super::authors::{NODES, SERIALS, silence};
use super::faults::Faults;
use super::machine::Machine;
use super::world::{Killed, World};
use crate::cli::PolicyArgs;
use crate::clock::MachineClock;
use crate::commands::{enroll, key};
use crate::run::crash::Crash;
use crate::run::policy::PolicyChoice;
use crate::run::{Agent, Limits};

const LIMITS: Limits = Limits { lock_wait: Duration::ZERO, deadline: None };
const FROM_STORE: PolicyArgs = PolicyArgs { policy: None, group: None, node: None };
/// After so many runs with a network that is well, a node has what it should have.
const RUNS_TO_HEAL: usize = 3;

impl World {
    /// Does something, somewhere.
    pub(super) fn act(&self) {
        let faults = self.faults.get();
        let number = usize::try_from(self.below(NODES.len() as u64)).unwrap();
        let machine = &self.machines[number];
        self.pass(Duration::from_secs(self.below(40 * 60)));
        if self.percent(faults.outages) {
            self.is_cut_off.set(!self.is_cut_off.get());
            self.note(format!("cut off: {}", self.is_cut_off.get()));
        }
        self.outside(self.happen());
        if self.percent(10) {
            machine.mood.set(self.below(100).cast_signed());
        }
        if self.percent(faults.deletions) {
            self.note(format!("the state of {} is deleted", machine.name));
            machine.delete_state();
        }
        if !machine.is_node() {
            self.enroll(number);
        } else if self.percent(8) {
            self.rotate_key(number);
        } else {
            self.converge(number);
        }
        if self.percent(faults.power / 4) {
            self.lose_power(machine);
        }
    }

    /// All goes well from here on, and each machine converges a few times.
    pub(super) fn heal(&self) {
        self.note("all is well");
        self.faults.set(Faults::default());
        self.is_cut_off.set(false);
        self.store.start();
        while !self.delayed.borrow().is_empty() {
            self.outside(self.deliver_delayed());
        }
        for (_, policy, group) in NODES {
            self.outside(self.promote(policy, group, SERIALS));
        }
        for (number, machine) in self.machines.iter().enumerate() {
            if !machine.is_node() {
                self.enroll(number);
                assert!(machine.is_node(), "{} cannot enrol", machine.name);
            }
            for _ in 0..RUNS_TO_HEAL {
                // Longer than a store may ask to be left alone.
                self.pass(Duration::from_secs(2 * 60 * 60));
                self.converge(number);
            }
        }
    }

    fn enroll(&self, number: usize) {
        let machine = &self.machines[number];
        let join = JoinString {
            stores: vec![ADDRESS.to_owned()],
            authority: Some(Digest::of(b"nobody is asked for a certificate")),
            token: self.authors.tokens[number].clone(),
            signers: Some(self.authors.signers.clone()),
            threshold: None,
            secrets: None,
        };
        let config = machine.config();
        let work = |_: &Agent| enroll::enroll(&config, &join, machine.name, &mut |_| Ok(()));
        let done = self.process(number, work);
        let word = match &done {
            Some(Ok(_)) => "is a node",
            Some(Err(_)) => "is no node yet",
            None => "was killed while it enrolled",
        };
        self.note(format!("{} {word}", machine.name));
    }

    fn rotate_key(&self, number: usize) {
        let machine = &self.machines[number];
        let done = self.process(number, |agent| key::rotate(&agent.config_dir, &agent.state));
        self.note(format!("{} changes its key: {:?}", machine.name, done.map(|done: Result<_>| done.is_ok())));
    }

    /// A run; where it was killed, the daemon has that reported, if it lives.
    fn converge(&self, number: usize) {
        let machine = &self.machines[number];
        machine.book.borrow_mut().started += 1;
        let (mut began, mut is_unsure) = (None, false);
        let done = self.process(number, |agent| {
            began = Some(MachineClock.now());
            agent.converge(PolicyChoice::Store, LIMITS)
        });
        match done {
            Some(Ok(done)) => {
                let (run, how) = (done.report.run, done.report.conclusion.words());
                self.note(format!("{} ran {:?}: {how} {run}", machine.name, done.report.revision));
                machine.book.borrow_mut().ended.push(run);
            }
            Some(Err(failure)) => panic!("{} could not run at all: {failure:?}", machine.name),
            None => {
                self.note(format!("the run of {} was killed", machine.name));
                is_unsure = self.percent(self.faults.get().power);
                if is_unsure {
                    self.lose_power(machine);
                }
            }
        }
        machine.check_what_ran();
        if is_unsure {
            machine.forget_last_run();
        }
        let is_dead = self.process.borrow().is_dead;
        if let (true, Some(began)) = (is_dead, began)
            && self.percent(70)
        {
            let crash = Crash { began, how: "killed by SIGKILL".to_owned() };
            let told = self.process(number, |agent| agent.report_crash(&crash, &FROM_STORE, LIMITS));
            self.note(format!("{} tells of it: {:?}", machine.name, told.map(|told| told.is_ok())));
        }
    }

    fn lose_power(&self, machine: &Machine) {
        self.note(format!("the power of {} fails", machine.name));
        machine.lose_power(self);
    }

    /// A process of an agent; nothing where it was killed.
    fn process<T>(&self, number: usize, work: impl FnOnce(&Agent) -> T) -> Option<T> {
        let machine = &self.machines[number];
        let (config_dir, state) = (machine.config(), machine.state());
        let config = config_dir.agent().unwrap();
        let cancel = self.begin_process(number);
        let agent = Agent { config_dir, config, state, console: silence(), cancel, listener: None, started_by: None };
        let done = catch_unwind(AssertUnwindSafe(|| work(&agent)));
        let is_dead = self.process.borrow().is_dead;
        match done {
            Ok(done) if !is_dead => Some(done),
            Ok(_) => None,
            Err(payload) if payload.is::<Killed>() => None,
            Err(defect) => resume_unwind(defect),
        }
    }
}
