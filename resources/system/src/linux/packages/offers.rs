//! What apt's index offers, asked for together and remembered until the answer may be another one.
//!
//! One question takes `apt-cache` about as long as fifty: it reads its whole index first.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use converge_model::Result;

use super::index::Index;
use super::policy::{self, Policy};
use super::request::bare;
use super::tools::{Deadline, Tools, strings};

/// How long a question to apt's index may take.
const LOOK: Duration = Duration::from_secs(120);
/// How many packages one call asks about, so that the answer fits into what is kept of it.
const BATCH: usize = 50;

/// What was asked of apt's index.
#[derive(Default)]
pub(super) struct Offers {
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    /// What else will probably be asked about.
    expected: BTreeSet<String>,
    known: HashMap<String, Option<Policy>>,
    /// What was installed, and how old the index was, when it answered.
    valid_for: Option<(Arc<Index>, [Option<SystemTime>; 3])>,
}

impl Offers {
    /// Told what will probably be asked about.
    pub(super) fn expect(&self, names: &[&str]) {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.expected.extend(names.iter().map(|name| (*name).to_owned()));
    }

    /// What the index has of `name`; nothing where it does not know it.
    ///
    /// # Errors
    /// Where apt's index cannot be read.
    pub(super) fn get(
        &self,
        name: &str,
        installed: Arc<Index>,
        lists: [Option<SystemTime>; 3],
        tools: &Tools,
    ) -> Result<Option<Policy>> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let valid = |(then, age): &(Arc<Index>, _)| Arc::ptr_eq(then, &installed) && *age == lists;
        if !asked.valid_for.as_ref().is_some_and(valid) {
            asked.known.clear();
        }
        if let Some(known) = asked.known.get(name) {
            return Ok(known.clone());
        }
        let wanted: BTreeSet<&str> = asked.expected.iter().map(String::as_str).chain([name]).collect();
        let unknown = wanted.into_iter().filter(|name| !asked.known.contains_key(*name));
        let unknown: Vec<String> = unknown.map(str::to_owned).collect();
        for batch in unknown.chunks(BATCH) {
            let policies = ask(batch, tools)?;
            for name in batch {
                let of_name = |policy: &&Policy| policy.name == bare(name, installed.native());
                asked.known.insert(name.clone(), policies.iter().find(of_name).cloned());
            }
        }
        asked.valid_for = Some((installed, lists));
        Ok(asked.known.get(name).cloned().flatten())
    }
}

fn ask(names: &[String], tools: &Tools) -> Result<Vec<Policy>> {
    let mut line = strings(&["/usr/bin/apt-cache", "-o", "APT::Cmd::Pattern-Only=true", "policy"]);
    line.extend_from_slice(names);
    let output = tools.look(line, LOOK)?;
    if output.output.dropped > 0 && names.len() > 1 {
        let (left, right) = names.split_at(names.len() / 2);
        return Ok([ask(left, tools)?, ask(right, tools)?].concat());
    }
    Deadline { operation: "look up", subject: "packages in apt's index", at: Instant::now() }.judge(
        "apt-cache",
        &output,
        &[],
    )?;
    Ok(policy::parse(&output.output.text))
}
