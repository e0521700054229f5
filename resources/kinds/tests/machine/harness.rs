//! Rows of the table, and what is demanded of each.

use converge_kinds::registry;
use converge_model::{
    AbsPath, AnyResource, ByName, Changes, DeclaredPaths, Error, ErrorKind, Kinds, ResourceId, ResourceSpec, Result,
    System, Value,
};
use converge_system::memory::{Faults, MemoryMachine};
use converge_system::overlay::Overlay;

/// A recipe: resources in order, each with its properties in TOML.
pub(crate) type Recipe = &'static [(&'static str, &'static str)];

/// A recipe, machines to begin from, and what holds in the end whichever it was.
pub(crate) struct Row {
    pub(crate) recipe: Recipe,
    pub(crate) starts: Vec<(&'static str, MemoryMachine)>,
    /// Lines of the machine's state.
    pub(crate) end: &'static [&'static str],
    /// What no line of the state begins with.
    pub(crate) gone: &'static [&'static str],
}

/// One row.
pub(crate) fn row(recipe: Recipe, starts: Vec<(&'static str, MemoryMachine)>, end: &'static [&'static str]) -> Row {
    Row { recipe, starts, end, gone: &[] }
}

/// A machine like a fresh Debian, made ready.
pub(crate) fn debian(ready: impl FnOnce(&MemoryMachine) -> &MemoryMachine) -> MemoryMachine {
    let machine = MemoryMachine::debian();
    ready(&machine);
    machine
}

/// The resources of a recipe.
pub(crate) fn resources(recipe: Recipe) -> Vec<(ResourceId, Box<dyn AnyResource>)> {
    let ids: Vec<ResourceId> = recipe.iter().map(|(id, _)| id.parse().unwrap()).collect();
    let declared: DeclaredPaths = ids.iter().filter_map(|id| id.name().parse::<AbsPath>().ok()).collect();
    let build = |(id, (_, properties)): (&ResourceId, &(&str, &str))| {
        let properties: ByName<Value> = toml::from_str(properties).unwrap();
        let kind = registry().kind(id.kind()).unwrap();
        let spec = ResourceSpec { declared: &declared, ..ResourceSpec::new(id, &properties) };
        (id.clone(), (kind.build)(&spec).unwrap_or_else(|error| panic!("{error}")))
    };
    ids.iter().zip(recipe).map(build).collect()
}

/// What the engine does with a recipe: observe, change, verify, and stop at the first failure.
pub(crate) fn converge(system: &dyn System, recipe: Recipe) -> Result<Vec<(ResourceId, Changes)>> {
    let mut changed = Vec::new();
    for (id, resource) in resources(recipe) {
        let observed = resource.observe(system)?;
        if observed.changes.is_empty() {
            continue;
        }
        resource.apply(system, &observed)?;
        let left: Vec<_> = resource.observe(system)?.changes.states().cloned().collect();
        if !left.is_empty() {
            return Err(Error::new(ErrorKind::Failed, "converge", &id, format!("{left:?} is left over")));
        }
        changed.push((id, observed.changes));
    }
    Ok(changed)
}

/// The state of a machine without what is only a record of how it came to be.
fn state(machine: &MemoryMachine) -> String {
    const COUNTS: [&str; 4] = ["started=", "stopped=", "restarted=", "reloaded="];
    let words = |line: &str| {
        let words = line.split(' ').filter(|word| !COUNTS.iter().any(|count| word.starts_with(count)));
        words.collect::<Vec<_>>().join(" ")
    };
    let dump = machine.dump();
    dump.lines().filter(|line| !line.starts_with("command ")).map(words).collect::<Vec<_>>().join("\n")
}

impl Row {
    fn name(&self, start: &str) -> String {
        format!("{} from {start}", self.recipe.last().unwrap().0)
    }

    /// Converges, is as it should be, and has nothing to do the second time.
    pub(crate) fn check_converges(&self) {
        for (start, machine) in &self.starts {
            let (name, machine) = (self.name(start), machine.clone());
            if let Err(error) = converge(&machine, self.recipe) {
                panic!("{name}: {error} ({:?})", error.hint);
            }
            let dump = state(&machine);
            for line in self.end {
                assert!(dump.lines().any(|found| found == *line), "{name}: {line:?} is not in\n{dump}");
            }
            for gone in self.gone {
                assert!(!dump.lines().any(|found| found.starts_with(gone)), "{name}: {gone:?} is in\n{dump}");
            }
            self.check_idle(&name, &machine);
        }
    }

    /// A plan predicts what a run changes, and touches nothing.
    pub(crate) fn check_plan(&self) {
        for (start, machine) in &self.starts {
            let (name, machine) = (self.name(start), machine.clone());
            let before = machine.dump();
            let plan = converge(&Overlay::new(&machine), self.recipe);
            assert_eq!(machine.dump(), before, "{name}: the plan touched the machine");
            let run = converge(&machine, self.recipe);
            assert_eq!(plan, run, "{name}: the plan, and the run");
        }
    }

    /// A second run looks, and does nothing.
    fn check_idle(&self, name: &str, machine: &MemoryMachine) {
        let before = machine.dump();
        for (id, resource) in resources(self.recipe) {
            let observed = resource.observe(machine).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(observed.changes.is_empty(), "{name}: {id} is not idle: {:?}", observed.changes);
        }
        assert_eq!(machine.dump(), before, "{name}: looking changed something");
    }

    /// Lets each operation fail once, fail and all after it with it, and be where the process is killed. Then a clean run
    /// must lead to the same end as if nothing had happened, and the one after it must be idle.
    pub(crate) fn check_faults(&self) {
        for (start, machine) in &self.starts {
            let clean = machine.clone();
            clean.set_faults(Faults::none());
            converge(&clean, self.recipe).unwrap();
            for at in 1..=clean.operations().len() as u64 {
                for (how, faults) in [
                    ("once", Faults::once(at, ErrorKind::Failed)),
                    ("lasting", Faults::lasting(at, ErrorKind::NoSpace)),
                    ("killed", Faults::crash(at)),
                ] {
                    let operation = clean.operations()[at as usize - 1].to_string();
                    let name = format!("{}, {how} at {operation}", self.name(start));
                    let machine = machine.clone();
                    machine.set_faults(faults);
                    let cut_short = converge(&machine, self.recipe);
                    assert!(machine.fault_fired() && cut_short.is_err(), "{name}: the failure was not told");
                    machine.set_faults(Faults::none());
                    if let Err(error) = converge(&machine, self.recipe) {
                        panic!("{name}: the clean run fails: {error} ({:?})", error.hint);
                    }
                    assert_eq!(state(&machine), state(&clean), "{name}: the clean run leads elsewhere");
                    self.check_idle(&name, &machine);
                }
            }
        }
    }
}
