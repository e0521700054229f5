//! What the two sides of a push say to each other: lines of JSON; the bytes of a blob follow the line that announces them.
//!
//! Both sides are the same program, byte for byte: the near side brings it. So there are no versions.

use std::io::{BufRead, Read, Write};

use converge_model::report::{Mode, ReportedError};
use converge_model::{BlobRef, Error, ErrorKind, Outcome, Report, ResourceId, ResourceReport, Result, RunId, Span};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The longest line that is read, in bytes: a report with all its differences.
const LONGEST: u64 = 256 << 20;

/// What the near side wants.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The graph document.
    pub graph: BlobRef,
    /// All that it needs.
    pub blobs: Vec<BlobRef>,
    /// Whether to apply or to plan.
    pub mode: Mode,
    /// The group of the machine.
    pub group: Option<String>,
    /// Who pushes: `alice@laptop`.
    pub by: String,
    /// How long to wait for another run to end.
    pub lock_wait: Span,
    /// After how long no more resources begin.
    pub deadline: Option<Span>,
    /// Whether the run goes on without anybody listening.
    pub detach: bool,
}

/// From the near side to the machine.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Request {
    /// What is wanted; first of all.
    Order(Order),
    /// A blob: its bytes follow.
    Blob(BlobRef),
    /// The report of this run arrived.
    Taken(RunId),
}

/// From the machine to the near side.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reply {
    /// These blobs are not here.
    Wanted(Vec<BlobRef>),
    /// The report of an earlier push that was not taken.
    Earlier(Box<Report>),
    /// A pass begins over so many resources.
    Started(usize),
    /// A resource ended that was not up to date.
    Resource(Box<ResourceReport>),
    /// A notification ended.
    Notified {
        /// Who acted.
        target: ResourceId,
        /// What it did.
        action: String,
        /// How it ended.
        outcome: Outcome,
        /// Why it failed.
        error: Option<ReportedError>,
    },
    /// The run ended, and the exit code for it.
    Done(Box<Report>, u8),
    /// There was no run to report.
    Refused(ReportedError),
}

/// The two ends of a connection.
pub(crate) struct Ends<R, W> {
    /// What the other side says.
    pub hear: R,
    /// What this side says.
    pub say: W,
}

impl<R: BufRead, W: Write> Ends<R, W> {
    /// Says something.
    ///
    /// # Errors
    /// Where nobody listens any more.
    pub(crate) fn say(&mut self, message: &impl Serialize) -> Result<()> {
        say(&mut self.say, message)
    }

    /// What the other side says next; nothing where it is gone.
    ///
    /// # Errors
    /// Where the connection fails, or what comes means nothing.
    pub(crate) fn hear<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        hear(&mut self.hear)
    }
}

/// Says one thing.
///
/// # Errors
/// Where nobody listens any more.
pub(crate) fn say(to: &mut impl Write, message: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_vec(message).map_err(|error| broken(error.to_string()))?;
    line.push(b'\n');
    to.write_all(&line).and_then(|()| to.flush()).map_err(|error| broken(error.to_string()))
}

/// Hears one thing; nothing where the other side is gone.
///
/// # Errors
/// Where the connection fails, or what comes means nothing.
pub(crate) fn hear<T: DeserializeOwned>(from: &mut impl BufRead) -> Result<Option<T>> {
    let mut line = Vec::new();
    from.take(LONGEST).read_until(b'\n', &mut line).map_err(|error| broken(error.to_string()))?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => serde_json::from_slice(&line).map(Some).map_err(|error| broken(error.to_string())),
        Some(_) => Err(broken("it broke off in the middle of a line".to_owned())),
    }
}

/// That the two sides no longer understand each other.
pub(crate) fn broken(cause: String) -> Error {
    Error::new(ErrorKind::Unavailable, "talk over", "the SSH connection", cause)
}
