//! What a run overwrites: kept before each change, and told of in one document afterwards.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use converge_model::report::Mode;
use converge_model::resource::Observed;
use converge_model::{
    AbsPath, AnyResource, BlobRef, ErrorKind, Images, Keeper, Kept, ResourceId, Result, RunId, System, Timestamp, Value,
};

use crate::caught::caught;
use crate::journal::{Durability, Entry};
use crate::ledger::Owned;
use crate::request::RunRequest;
use crate::run::Run;
use crate::sweep::Seen;

/// The version of the document of before-images. A reader refuses what is greater.
pub const IMAGES_FORMAT: u32 = 1;

/// Everything that one run overwrote. Root's alone: other than a report, it may hold what must not be shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunImages {
    /// [`IMAGES_FORMAT`].
    pub format: u32,
    /// The run.
    pub run: RunId,
    /// The run that it undid, where it was for that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undoes: Option<RunId>,
    /// When it began.
    pub started: Timestamp,
    /// The node's name.
    pub node: String,
    /// The policy.
    pub policy: String,
    /// The revision of the policy, where it came from a store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// The resources that were about to be changed, in that order; one that was changed twice is there twice.
    pub resources: Vec<ResourceImages>,
}

/// What one resource overwrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResourceImages {
    /// Which.
    pub id: ResourceId,
    /// What it overwrote.
    #[serde(flatten)]
    pub images: Images,
}

impl RunImages {
    /// Nothing yet of a run.
    pub(crate) fn begin(request: &RunRequest<'_>, started: Timestamp) -> Self {
        Self {
            format: IMAGES_FORMAT,
            run: request.run,
            undoes: request.undoes,
            started,
            node: request.node.to_owned(),
            policy: request.catalog.policy.clone(),
            revision: request.revision,
            resources: Vec::new(),
        }
    }

    /// Adds what a resource overwrites, unless that is nothing.
    pub(crate) fn add(&mut self, id: &ResourceId, images: Images) {
        if !images.is_empty() {
            self.resources.push(ResourceImages { id: id.clone(), images });
        }
    }

    /// The contents that putting it back needs.
    pub fn contents(&self) -> impl Iterator<Item = &BlobRef> {
        let overwritten = self.resources.iter().flat_map(|resource| &resource.images.overwritten);
        overwritten.flat_map(|overwritten| overwritten.before.properties.iter()).filter_map(|(_, value)| match value {
            Value::Blob(blob) => Some(blob),
            _ => None,
        })
    }
}

/// What a resource is about to overwrite.
#[derive(Default)]
pub(crate) struct Keeping {
    images: Images,
    /// Whether the journal knows of it already.
    is_told: bool,
}

/// Whether anything is there that would be gone.
fn overwrites(images: &Images) -> bool {
    images.overwritten.iter().any(|overwritten| overwritten.before.is_there())
}

/// No copy is made of what is sensitive: it is in what was declared, and nowhere else.
struct KeepsNothing;

impl Keeper for KeepsNothing {
    fn keep(&self, _: &dyn System, _: &AbsPath, _: u64) -> Result<Kept> {
        Ok(Kept::Not("it is sensitive, and of that no copy is made".to_owned()))
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }
}

impl Run<'_> {
    /// Keeps at once what the first turns will overwrite, as far as it was seen: one flush for all of it costs as much as one
    /// for each. What is missed or fails here is kept in its own turn.
    pub(crate) fn keep_ahead(&mut self) {
        let Some(keeper) = self.request.keeper.filter(|_| self.request.mode == Mode::Apply) else { return };
        let mut ahead = BTreeMap::new();
        for (position, item) in self.items.iter().enumerate() {
            if self.stop.asked().is_some() {
                return;
            }
            let (Some(resource), Seen::Differs(observed)) = (item.converger(), &self.sightings[position].seen) else {
                continue;
            };
            // A guard may skip it yet; and where nothing is, nothing is overwritten.
            if item.declared.audit || !item.declared.guards.is_empty() || observed.absent == Some(true) {
                continue;
            }
            match self.keep_now(position, resource, observed) {
                Ok(images) if overwrites(&images) => ahead.insert(position, (self.sightings[position].moment, images)),
                Ok(_) | Err(_) => None,
            };
        }
        // Of a single one, the entry that comes anyway tells it as well.
        if ahead.len() < 2 {
            return;
        }
        let last = ahead.keys().next_back().copied();
        let told = ahead.iter().try_for_each(|(position, (_, images))| {
            let id = self.items[*position].declared.id.clone();
            let entry = Entry::Keeping { id, images: images.clone() };
            self.diary.write(&entry, if Some(*position) == last { Durability::Now } else { Durability::Soon })
        });
        if told.is_ok() && keeper.flush().is_ok() {
            self.kept_ahead = ahead;
        }
    }

    /// What the resource at `position` is about to overwrite, kept: durably, and told to the journal where that costs a
    /// flush of its own. A plan overwrites nothing.
    pub(crate) fn keep(&mut self, position: usize, resource: &dyn AnyResource, observed: &Observed) -> Result<Keeping> {
        let ahead = self.kept_ahead.remove(&position);
        if let Some((_, images)) = ahead.filter(|(moment, _)| *moment == self.sightings[position].moment) {
            return Ok(Keeping { images, is_told: true });
        }
        let images = self.keep_now(position, resource, observed)?;
        if overwrites(&images)
            && let Some(keeper) = self.request.keeper
        {
            keeper.flush()?;
        }
        Ok(Keeping { images, is_told: false })
    }

    /// Writes down that a resource is about to be changed, and what that overwrites.
    pub(crate) fn tell_keeping(&mut self, id: &ResourceId, created: Option<Owned>, keeping: Keeping) -> Result<()> {
        let Keeping { images, is_told } = keeping;
        let told = if is_told { Images::default() } else { images.clone() };
        let entry = Entry::Applying { id: id.clone(), created, images: told };
        if !is_told && overwrites(&images) {
            match self.diary.must_write(&entry) {
                // A full disk keeps nothing from being converged.
                Err(error) if error.kind == ErrorKind::NoSpace => self.diary.note(&entry),
                told => told?,
            }
        } else {
            self.diary.note(&entry);
        }
        self.images.add(id, images);
        Ok(())
    }

    fn keep_now(&self, position: usize, resource: &dyn AnyResource, observed: &Observed) -> Result<Images> {
        let Some(keeper) = self.request.keeper.filter(|_| self.request.mode == Mode::Apply) else {
            return Ok(Images::default());
        };
        let declared = self.declared(position);
        // Of what is undone, only what others could not read is secret: it was kept, and the undoing can be undone.
        let hides = declared.sensitive || (self.request.undoes.is_none() && !declared.secret.is_empty());
        let keeper = if hides { &KeepsNothing as &dyn Keeper } else { keeper };
        let mut images = caught("keep", &declared.id, || resource.images(self.request.system, observed, keeper))?;
        if hides {
            images.overwritten.iter_mut().for_each(|overwritten| overwritten.sensitive = true);
        }
        Ok(images)
    }
}
