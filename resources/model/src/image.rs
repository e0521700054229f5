//! Before-images: what a change overwrites, in a form that can be put back.
//!
//! A kind tells them of itself before it changes anything ([`Resource::images`](crate::Resource::images)), in the words it
//! has already: declarations. What was there is the declaration that brings it back, so that undoing is a run like any other.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::by_name::ByName;
use crate::digest::BlobRef;
use crate::error::Result;
use crate::id::ResourceId;
use crate::path::AbsPath;
use crate::system::System;
use crate::value::Value;

/// One thing in one state, as the declaration that brings it about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Which thing, and by which kind.
    pub id: ResourceId,
    /// The kind's properties. Contents are blobs, which the [`Keeper`] has or nobody needs.
    pub properties: ByName<Value>,
}

impl Image {
    /// The thing called `name` with these properties; nothing where no resource can be called so.
    pub fn new<const N: usize>(kind: &str, name: &str, properties: [(&str, Option<Value>); N]) -> Option<Self> {
        let id = ResourceId::new(kind, name).ok()?;
        let given = properties.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        Some(Self { id, properties: given.collect() })
    }

    /// Whether it is an image of something, and not of nothing being there.
    pub fn is_there(&self) -> bool {
        self.properties.get("ensure").and_then(Value::as_str) != Some("absent")
    }

    /// What it is an image of, whatever kind it is by: at a path there is one thing at a time.
    pub fn thing(&self) -> String {
        let name = self.id.name();
        if name.starts_with('/') { name.to_owned() } else { self.id.to_string() }
    }
}

/// One thing that a change overwrites.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overwritten {
    /// What brings back what was there.
    pub before: Image,
    /// What holds after the change, for as long as nobody touches the thing again.
    pub after: Image,
    /// Whether nothing of it may be shown: its resource is sensitive.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sensitive: bool,
    /// The properties of which no value may be shown: what not everybody could read.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub secret: BTreeSet<String>,
}

/// All that one resource overwrites.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Images {
    /// What can be put back, in the order in which it comes to be: a directory before what is in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overwritten: Vec<Overwritten>,
    /// What cannot, and why: whole sentences without a full stop.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lost: Vec<String>,
}

impl Images {
    /// Nothing that can be put back, and why.
    pub fn lost(why: impl Into<String>) -> Self {
        Self { overwritten: Vec::new(), lost: vec![why.into()] }
    }

    /// One thing; that it cannot be put back where one of the two images cannot be made.
    pub fn of(before: Option<Image>, after: Option<Image>) -> Self {
        let mut images = Self::default();
        images.push(before, after);
        images
    }

    /// Adds one thing; that it cannot be put back where one of the two images cannot be made.
    pub fn push(&mut self, before: Option<Image>, after: Option<Image>) {
        match (before, after) {
            (Some(before), Some(after)) => {
                self.overwritten.push(Overwritten { before, after, sensitive: false, secret: BTreeSet::new() });
            }
            _ => self.lost.push("something whose name cannot be written in a policy is not put back".to_owned()),
        }
    }

    /// Whether nothing is overwritten.
    pub fn is_empty(&self) -> bool {
        self.overwritten.is_empty() && self.lost.is_empty()
    }
}

/// Where contents are kept that a change overwrites.
pub trait Keeper: Send + Sync {
    /// Keeps what the regular file at `path` holds, `size` bytes as far as is known.
    ///
    /// # Errors
    /// Where it cannot be read or written. Then the change must not be made.
    fn keep(&self, system: &dyn System, path: &AbsPath, size: u64) -> Result<Kept>;

    /// Makes durable what was kept until now. Before it, a power cut may lose that.
    ///
    /// # Errors
    /// Where that failed. Then what was kept must not be overwritten.
    fn flush(&self) -> Result<()>;
}

/// What became of a content that was to be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is kept under this digest.
    Whole(BlobRef),
    /// It is not, and this is why: `20971520 bytes are more than is kept of one file (16777216)`.
    Not(String),
}
