//! What puts back what a run overwrote: a catalog like any other, made of before-images.
//!
//! Nothing here changes anything. What cannot be put back any more is in the catalog too, as skipped and why, so that the
//! plan, the run and the report tell of it as they do of everything else.

use std::collections::HashMap;

use converge_model::catalog::Orphans;
use converge_model::{
    BlobRef, Catalog, CatalogResource, Changes, Error, ErrorKind, Image, Kinds, NothingDeclared, Overwritten,
    ResourceId, Result, RunId, System, Value,
};

use crate::caught::caught;
use crate::images::RunImages;
use crate::item::build;
use crate::orphan::undeclared;

/// What is to be undone, and how things are.
#[derive(Clone, Copy)]
pub struct UndoRequest<'a> {
    /// What the run overwrote.
    pub images: &'a RunImages,
    /// What later runs overwrote, oldest first.
    pub later: &'a [RunImages],
    /// Only these: resources as the run's report names them, or paths. Empty means all.
    pub only: &'a [String],
    /// Put back also what a later run touched, or somebody changed since.
    pub force: bool,
    /// The kinds there are.
    pub kinds: &'a dyn Kinds,
    /// The machine. Only looked at; contents that a run wrote need not be there.
    pub system: &'a dyn System,
    /// Whether a content is kept, and whole.
    pub has: &'a dyn Fn(&BlobRef) -> bool,
}

/// How a run is undone.
#[derive(Clone, Debug, PartialEq)]
pub struct Undo {
    /// What was there, last overwritten first. What is refused is skipped.
    pub catalog: Catalog,
    /// How many things are refused.
    pub refused: usize,
    /// What is not put back at all, and why.
    pub lost: Vec<String>,
    /// Whether the run had undone another.
    pub is_of_undo: bool,
}

impl Undo {
    /// How to undo what was asked for.
    ///
    /// # Errors
    /// Where the run overwrote nothing of what was asked for by name.
    pub fn of(request: &UndoRequest<'_>) -> Result<Self> {
        let (things, lost) = request.selected()?;
        let later = Later::of(request.later, request.images.run);
        let mut refused = 0;
        let mut resources: Vec<CatalogResource> = Vec::with_capacity(things.len());
        for (source, overwritten) in things.iter().rev() {
            let reason = request.refusal(overwritten, &later);
            refused += usize::from(reason.is_some());
            let skipped = reason.map(|reason| match source.name() == overwritten.before.id.name() {
                true => reason,
                false => format!("{reason} (changed by {source})"),
            });
            resources.push(CatalogResource { skipped, ..declared(&overwritten.before, overwritten) });
        }
        let catalog = Catalog { policy: request.images.policy.clone(), orphans: Orphans::Report, resources };
        Ok(Self { catalog, refused, lost, is_of_undo: request.images.undoes.is_some() })
    }
}

/// What was overwritten, with the resource that did it first.
type Things<'a> = Vec<(&'a ResourceId, Overwritten)>;

impl<'a> UndoRequest<'a> {
    /// What is to be put back, each thing once, as it was before the run and as it was after; and what cannot be.
    fn selected(&self) -> Result<(Things<'a>, Vec<String>)> {
        let mut things: Things<'a> = Vec::new();
        let mut positions: HashMap<String, usize> = HashMap::new();
        let mut lost: Vec<String> = Vec::new();
        let mut missed: Vec<&String> = self.only.iter().collect();
        for resource in &self.images.resources {
            let id = resource.id.to_string();
            let is_named = self.only.contains(&id);
            missed.retain(|name| **name != id);
            for overwritten in &resource.images.overwritten {
                let thing = overwritten.before.thing();
                let is_wanted = self.only.is_empty() || is_named || self.only.contains(&thing);
                missed.retain(|name| **name != thing);
                match positions.get(&thing) {
                    _ if !is_wanted => {}
                    Some(position) => {
                        let (_, first) = &mut things[*position];
                        first.after = overwritten.after.clone();
                        first.sensitive |= overwritten.sensitive;
                        first.secret.extend(overwritten.secret.iter().cloned());
                    }
                    None => {
                        positions.insert(thing, things.len());
                        things.push((&resource.id, overwritten.clone()));
                    }
                }
            }
            if self.only.is_empty() || is_named {
                let told = resource.images.lost.iter().map(|why| format!("{id}: {why}"));
                lost.extend(told.filter(|line| !lost.contains(line)).collect::<Vec<_>>());
            }
        }
        match missed.first() {
            None => Ok((things, lost)),
            Some(name) => {
                let cause = format!("run {} overwrote nothing of it", self.images.run);
                Err(Error::new(ErrorKind::Invalid, "undo", name, cause)
                    .with_hint("name a resource as the run's report does, or a path; without names all is undone"))
            }
        }
    }

    /// Why a thing must not be put back; nothing where it may be, or is as it was already.
    fn refusal(&self, overwritten: &Overwritten, later: &Later) -> Option<String> {
        let Overwritten { before, after, .. } = overwritten;
        match self.differs(before, overwritten) {
            Ok(changes) if changes.is_empty() => return None,
            Ok(_) => {}
            Err(error) => return Some(format!("it cannot be told how it is: {error}")),
        }
        let is_gone = |value: &Value| matches!(value, Value::Blob(blob) if !(self.has)(blob));
        if before.properties.iter().any(|(_, value)| is_gone(value)) {
            return Some("what it held is not kept any more, or is damaged".to_owned());
        }
        if self.force {
            return None;
        }
        if let Some(run) = later.who_touched(&before.thing()) {
            return Some(format!("a later run touched it: undo {run} first, or say --force"));
        }
        match self.differs(after, overwritten) {
            Ok(changes) if changes.is_empty() => None,
            Ok(changes) => {
                let mut names: Vec<&str> = changes.iter().map(|change| change.property.as_str()).collect();
                names.dedup();
                Some(format!("it is not as the run left it ({}); --force overwrites it", names.join(", ")))
            }
            Err(error) => Some(format!("it cannot be told whether it is as the run left it: {error}")),
        }
    }

    /// What differs between a thing and its image.
    fn differs(&self, image: &Image, overwritten: &Overwritten) -> Result<Changes> {
        let declared = declared(image, overwritten);
        caught("observe", &image.id, || {
            Ok(build(&declared, self.kinds, &NothingDeclared)?.observe(self.system)?.changes)
        })
    }
}

fn declared(image: &Image, overwritten: &Overwritten) -> CatalogResource {
    CatalogResource {
        properties: image.properties.clone(),
        sensitive: overwritten.sensitive,
        secret: overwritten.secret.clone(),
        ..undeclared(&image.id)
    }
}

/// Who touched what after a run.
struct Later {
    undone: RunId,
    /// The runs that touched a thing, oldest first, each with the run that it undid.
    touched: HashMap<String, Vec<(RunId, Option<RunId>)>>,
}

impl Later {
    fn of(runs: &[RunImages], undone: RunId) -> Self {
        let mut touched: HashMap<String, Vec<(RunId, Option<RunId>)>> = HashMap::new();
        for images in runs.iter().filter(|images| images.run > undone) {
            for overwritten in images.resources.iter().flat_map(|resource| &resource.images.overwritten) {
                let runs = touched.entry(overwritten.before.thing()).or_default();
                if runs.last().is_none_or(|(run, _)| *run != images.run) {
                    runs.push((images.run, images.undoes));
                }
            }
        }
        Self { undone, touched }
    }

    /// The run that touched the thing last. One that was undone, and the one that undid it, count as none; so does one that
    /// was to undo this same run, and did not come to its end.
    fn who_touched(&self, thing: &str) -> Option<RunId> {
        let mut open: Vec<RunId> = Vec::new();
        let touched = self.touched.get(thing)?;
        for (run, undoes) in touched {
            match undoes.and_then(|undone| open.iter().position(|run| *run == undone)) {
                Some(position) => drop(open.remove(position)),
                None => open.push(*run),
            }
        }
        let is_of_this = |run: &RunId| touched.contains(&(*run, Some(self.undone)));
        open.into_iter().rev().find(|run| !is_of_this(run))
    }
}
