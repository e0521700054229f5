//! A machine of a simulation: its directories, its clock, what a power cut would take back, and what is known of its runs.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use converge_model::{Report, RunId};

use super::authors::{NODES, SERIALS, content};
use super::chance::Chance;
use super::world::{World, is_for};
use crate::config::ConfigDir;
use crate::state::StateDir;

pub(super) struct Machine {
    pub(super) name: &'static str,
    pub(super) policy: &'static str,
    pub(super) group: &'static str,
    pub(super) directory: PathBuf,
    /// By how many milliseconds its clock is ahead.
    pub(super) ahead: Cell<i64>,
    /// A fact of it.
    pub(super) mood: Cell<i64>,
    /// What files held that were changed since, and are not durable.
    unsynced: RefCell<BTreeMap<PathBuf, Option<Vec<u8>>>>,
    pub(super) book: RefCell<Book>,
}

/// What is known of a machine's runs.
#[derive(Default)]
pub(super) struct Book {
    /// How many processes were started that may report a run.
    pub(super) started: usize,
    /// Runs that ended by themselves.
    pub(super) ended: Vec<RunId>,
    /// Runs whose report a power cut may take, or somebody who deleted it.
    pub(super) excused: BTreeSet<RunId>,
    /// The highest serial that was run.
    pub(super) highest: u64,
    /// Serials that the machine's file was seen to change to.
    pub(super) seen: BTreeSet<u64>,
}

impl Machine {
    pub(super) fn new(number: usize, root: &Path, chance: &mut Chance) -> Self {
        let (name, policy, group) = NODES[number];
        let directory = root.join(name);
        std::fs::create_dir_all(directory.join("config")).unwrap();
        let spool = if chance.percent(40) { 1 + chance.below(4) } else { 10_000 };
        let keep = if chance.percent(40) { 1 + chance.below(4) } else { 50 };
        // What the real clock says of files is not remembered: a simulation repeats itself.
        // What a file held is remembered by the real clock, and no simulation would repeat itself.
        let settings = format!("spool_reports = {spool}\nkeep_reports = {keep}\nreread_files = \"0s\"\n");
        std::fs::write(directory.join("config/agent.toml"), settings).unwrap();
        Self {
            name,
            policy,
            group,
            directory,
            ahead: Cell::new(0),
            mood: Cell::new(0),
            unsynced: RefCell::default(),
            book: RefCell::default(),
        }
    }

    pub(super) fn config(&self) -> ConfigDir {
        ConfigDir::new(&self.directory.join("config"))
    }

    pub(super) fn state(&self) -> StateDir {
        StateDir::open(&self.directory.join("state")).unwrap()
    }

    pub(super) fn is_node(&self) -> bool {
        self.config().node_file().exists()
    }

    /// A file of the agent's own is about to change.
    pub(super) fn changing(&self, path: &Path) {
        let mut unsynced = self.unsynced.borrow_mut();
        if path.starts_with(&self.directory) && !unsynced.contains_key(path) {
            unsynced.insert(path.to_owned(), std::fs::read(path).ok());
        }
    }

    /// What it is now, it stays.
    pub(super) fn durable(&self, path: &Path) {
        self.unsynced.borrow_mut().remove(path);
    }

    /// The power fails: of what was not durable, some is there, some is as it was, some is torn.
    pub(super) fn lose_power(&self, world: &World) {
        for (path, before) in std::mem::take(&mut *self.unsynced.borrow_mut()) {
            let now = std::fs::read(&path).ok();
            let left = match (now.clone(), world.below(3)) {
                (now, 0) => now,
                (Some(mut now), 1) => {
                    now.truncate(usize::try_from(world.below(now.len() as u64 + 1)).unwrap());
                    Some(now)
                }
                _ => before,
            };
            let name = path.file_stem().and_then(|name| name.to_str()?.parse::<RunId>().ok());
            if let (Some(run), Some(report), true) = (name, now.as_deref(), left != now)
                && serde_json::from_slice::<Report>(report).is_ok_and(|report| !report.has_changes())
            {
                // A run that changed nothing is not worth a sync, and that is said.
                self.book.borrow_mut().excused.insert(run);
            }
            match left {
                Some(bytes) => std::fs::write(&path, bytes).unwrap(),
                None => drop(std::fs::remove_file(&path)),
            }
        }
    }

    /// The last run was killed, and the power failed. What it wrote down of changes that can be made again is not durable, nor
    /// that it was reported already: nothing may tell of it, or two reports.
    pub(super) fn forget_last_run(&self) {
        let mut book = self.book.borrow_mut();
        let highest = book.highest;
        book.seen.remove(&highest);
        book.started += 1;
    }

    /// Somebody deletes what the agent remembers.
    pub(super) fn delete_state(&self) {
        let mut book = self.book.borrow_mut();
        let ended: Vec<RunId> = book.ended.clone();
        book.excused.extend(ended);
        book.seen.clear();
        self.unsynced.borrow_mut().retain(|path, _| !path.starts_with(self.directory.join("state")));
        let _ = std::fs::remove_dir_all(self.directory.join("state"));
    }

    /// Holds what the machine's file has against what may ever be run here.
    pub(super) fn check_what_ran(&self) {
        let Ok(found) = std::fs::read_to_string(self.directory.join("ran")) else { return };
        let serial = (1..=SERIALS).find(|serial| found == content(self.policy, *serial));
        let serial = serial.unwrap_or_else(|| panic!("{} ran what its author never signed: {found:?}", self.name));
        assert!(is_for(serial, self.group), "{} ran revision {serial}, which is not for its group", self.name);
        let mut book = self.book.borrow_mut();
        assert!(serial >= book.highest, "{} went back from revision {} to {serial}", self.name, book.highest);
        if serial > book.highest {
            book.seen.insert(serial);
        }
        book.highest = serial;
    }
}
