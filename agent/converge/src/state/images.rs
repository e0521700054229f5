//! Before-images: what runs overwrote, so that `converge undo` can put it back.
//!
//! `images/RUN.json` tells what a run overwrote, `images/content/DIGEST` holds what was in it. Root's alone, all of it. What
//! is deleted here cannot be put back any more, and nothing else comes of that.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use converge_engine::{IMAGES_FORMAT, RunImages};
use converge_model::{AbsPath, BlobRef, Digest, Error, ErrorKind, Keeper, Kept, Result, RunId, System};
use converge_system::BlobSource;
use converge_system::linux::durable::{self, Durability};

use super::{Loaded, StateDir, load, save};
use crate::config::AgentConfig;

/// What the name of a run's file ends with.
const ENDING: &str = ".json";

/// The before-images in a state directory.
#[derive(Debug)]
pub(crate) struct ImageStore {
    directory: PathBuf,
    /// The longest file of which the content is kept, in bytes.
    file_bytes: u64,
    /// How many bytes of contents are kept of one run, and of all.
    bytes: u64,
    /// Of how many runs.
    runs: usize,
    /// How many bytes this run has kept so far.
    kept: AtomicU64,
    /// What of it may not be durable yet.
    unflushed: Mutex<Vec<PathBuf>>,
}

impl ImageStore {
    /// The before-images in `state`, within the limits that `config` sets.
    pub(crate) fn new(state: &StateDir, config: &AgentConfig) -> Self {
        Self {
            directory: state.path("images"),
            file_bytes: config.undo_file_bytes,
            bytes: config.undo_bytes,
            runs: config.undo_runs,
            kept: AtomicU64::new(0),
            unflushed: Mutex::default(),
        }
    }

    /// Whether anything is kept at all.
    pub(crate) fn is_wanted(&self) -> bool {
        self.runs > 0
    }

    /// Keeps what a run overwrote, and lets go of what is too much, oldest first. What does not go now goes later.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn save(&self, images: &RunImages) -> Result<()> {
        self.write(images)?;
        self.trim();
        Ok(())
    }

    fn write(&self, images: &RunImages) -> Result<()> {
        durable::create_directory(&self.directory, 0o700)?;
        save(&self.path(images.run), images, Durability::Now)
    }

    /// Lets go of what is too much. What does not go now goes later.
    pub(crate) fn trim(&self) {
        if let Err(error) = self.keep_within_limits() {
            tracing::warn!("old before-images stay: {error}");
        }
    }

    /// Keeps what a run overwrote that was cut off, unless that was done already. Nothing is let go of before all that were
    /// cut off are kept: the contents of the next one belong to nobody yet.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub(crate) fn save_of_cut_off(&self, images: &RunImages) -> Result<()> {
        if self.path(images.run).exists() { Ok(()) } else { self.write(images) }
    }

    /// The runs that can be undone, oldest first.
    ///
    /// # Errors
    /// Where the directory cannot be read.
    pub(crate) fn runs(&self) -> Result<Vec<RunId>> {
        // A run's identity begins with its time.
        Ok(durable::names(&self.directory)?.iter().filter_map(|name| name.strip_suffix(ENDING)?.parse().ok()).collect())
    }

    /// What a run overwrote; nothing where that is not known, or not any more.
    ///
    /// # Errors
    /// Where the document is damaged, or of a later version.
    pub(crate) fn read(&self, run: RunId) -> Result<Option<RunImages>> {
        let path = self.path(run);
        match load::<RunImages>(&path) {
            Loaded::Absent => Ok(None),
            Loaded::Whole(images) if images.format > IMAGES_FORMAT => {
                let cause = "a later version of Converge wrote it";
                Err(Error::new(ErrorKind::Failed, "read", path.display(), cause)
                    .with_hint("undo the run with that version"))
            }
            Loaded::Whole(images) => Ok(Some(images)),
            Loaded::Broken(error) => {
                Err(error.with_hint(format!("what run {run} overwrote cannot be put back; remove the file")))
            }
        }
    }

    /// Whether a content is there, and whole.
    pub(crate) fn has(&self, blob: &BlobRef) -> bool {
        durable::read(&self.content(&blob.digest), blob.size)
            .is_ok_and(|bytes| bytes.is_some_and(|bytes| BlobRef::of(&bytes) == *blob))
    }

    /// Lets go of the oldest runs, and then of the contents that no other needs.
    fn keep_within_limits(&self) -> Result<()> {
        let mut needed = BTreeSet::new();
        let (mut bytes, mut count) = (0_u64, 0_usize);
        let mut is_full = false;
        for run in self.runs()?.into_iter().rev() {
            // What cannot be read is let go of in its turn; meanwhile it needs nothing.
            let images = self.read(run).ok().flatten();
            let contents = || images.iter().flat_map(RunImages::contents);
            let more: u64 = contents().filter(|blob| !needed.contains(&blob.digest)).map(|blob| blob.size).sum();
            is_full |= count >= self.runs || (count > 0 && bytes.saturating_add(more) > self.bytes);
            if is_full {
                durable::remove(&self.path(run))?;
                continue;
            }
            count += 1;
            bytes += more;
            needed.extend(contents().map(|blob| blob.digest));
        }
        for name in durable::names(&self.contents())? {
            if !name.parse().is_ok_and(|digest| needed.contains(&digest)) {
                durable::remove(&self.contents().join(&name))?;
            }
        }
        Ok(())
    }

    /// What the limits are, in words.
    pub(crate) fn limits(&self) -> String {
        format!(
            "the last {} runs that changed something, and {} bytes of what they overwrote, are kept",
            self.runs, self.bytes
        )
    }

    fn path(&self, run: RunId) -> PathBuf {
        self.directory.join(format!("{run}{ENDING}"))
    }

    fn contents(&self) -> PathBuf {
        self.directory.join("content")
    }

    fn content(&self, digest: &Digest) -> PathBuf {
        self.contents().join(digest.to_string())
    }
}

impl Keeper for ImageStore {
    fn keep(&self, system: &dyn System, path: &AbsPath, size: u64) -> Result<Kept> {
        let too_long = |size: u64| {
            Kept::Not(format!("it held {size} bytes, and of one file {} are kept (undo_file_bytes)", self.file_bytes))
        };
        if size > self.file_bytes {
            return Ok(too_long(size));
        }
        let spent =
            Kept::Not(format!("the run overwrote more than the {} bytes that are kept (undo_bytes)", self.bytes));
        if self.kept.load(Ordering::Relaxed) >= self.bytes {
            return Ok(spent);
        }
        // One more tells whether it grew meanwhile.
        let bytes = system.files().read(path, self.file_bytes.saturating_add(1))?;
        let blob = BlobRef::of(&bytes);
        if blob.size > self.file_bytes {
            return Ok(too_long(blob.size));
        }
        let kept = self.content(&blob.digest);
        if self.has(&blob) {
            return Ok(Kept::Whole(blob));
        }
        if self.kept.load(Ordering::Relaxed).saturating_add(blob.size) > self.bytes {
            return Ok(spent);
        }
        let written = durable::create_directory(&self.contents(), 0o700)
            .and_then(|()| durable::write_with(&kept, &bytes, 0o600, Durability::Soon));
        match written {
            // A full disk keeps nothing from being converged: what is overwritten is lost, and undoing says so.
            Err(error) if error.kind == ErrorKind::NoSpace => {
                return Ok(Kept::Not("no space was left for it".to_owned()));
            }
            Err(error) => {
                let cause = format!("what is there cannot be kept for `converge undo`: {error}");
                return Err(Error::new(error.kind, "change", path, cause)
                    .with_hint("set `undo_runs = 0` in agent.toml to overwrite without keeping anything"));
            }
            Ok(()) => {}
        }
        self.kept.fetch_add(blob.size, Ordering::Relaxed);
        self.unflushed.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        Ok(Kept::Whole(blob))
    }

    fn flush(&self) -> Result<()> {
        let mut unflushed = self.unflushed.lock().unwrap_or_else(PoisonError::into_inner);
        durable::synchronize(&unflushed)?;
        unflushed.clear();
        Ok(())
    }
}

impl BlobSource for ImageStore {
    fn open(&self, digest: &Digest) -> Result<Box<dyn Read + Send>> {
        #[expect(clippy::disallowed_methods, reason = "the store hands out its own files")]
        let file = File::open(self.content(digest))
            .map_err(|error| Error::io("read", format!("the kept content {}", digest.short()), &error))?;
        Ok(Box::new(file))
    }
}

/// Contents that only a comparison asks for, to show what nobody will look at: of a run's own writings nothing is kept.
#[derive(Debug)]
pub(crate) struct LookOnly;

impl BlobSource for LookOnly {
    fn open(&self, _digest: &Digest) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(std::io::empty()))
    }
}
