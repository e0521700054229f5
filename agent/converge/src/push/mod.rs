//! Push: converging a machine over SSH that has nothing installed.
//!
//! One session of [`ssh`] runs a small script there, which looks for the agent by its digest and becomes it; where it is
//! missing, another session brings it. The near side ([`Push`]) and the far side ([`far`]) then talk in the lines of [`wire`].

pub(crate) mod crew;
pub(crate) mod exec;
pub(crate) mod far;
pub(crate) mod script;
pub(crate) mod ssh;
pub(crate) mod wire;

use std::io::{Read as _, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use converge_model::report::Mode;
use converge_model::{BlobRef, Digest, Error, ErrorKind, Report, Result};

use crate::client::BlobBytes;
use crate::commands::compile::Compilation;
use crate::failure::Failure;
use crate::repository;
use script::{Found, Sudo};
use ssh::{Input, Session, Ssh};
use wire::{Ends, Order, Reply, Request, broken};

/// How often a machine is begun anew: once to bring the agent, once to ask for a password.
const MOST_TRIES: usize = 4;

/// The agent that is brought.
pub(crate) struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub blob: BlobRef,
}

impl Program {
    /// The program at `path`.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub(crate) fn at(path: PathBuf) -> Result<Self> {
        let blob = repository::digest_of(&mut *repository::open(&path)?)
            .map_err(|error| Error::io("read", path.display(), &error))?;
        Ok(Self { path, blob })
    }
}

/// What is pushed, to any machine.
pub(crate) struct Push<'a> {
    /// How machines are reached.
    pub ssh: &'a Ssh,
    /// The agent.
    pub program: &'a Program,
    /// The policy.
    pub compilation: &'a Compilation,
    /// Its graph document.
    pub graph: &'a [u8],
    /// What is wanted.
    pub order: &'a Order,
    /// Says what is being waited for.
    pub note: &'a (dyn Fn(&str) + Sync),
    /// Keeps the report of a machine. Only then the machine may forget that it has it.
    pub keep: &'a (dyn Fn(&str, &Report) -> Result<()> + Sync),
    /// Asks for the password with which sudo lets one be root; asked once for all machines.
    pub password: &'a Password<'a>,
}

/// The password for sudo, once somebody was asked for it.
pub(crate) struct Password<'a> {
    /// Asks a person.
    pub ask: &'a (dyn Fn() -> Result<String> + Sync),
    /// What that person said.
    pub known: Mutex<Option<zeroize::Zeroizing<String>>>,
}

impl Password<'_> {
    fn get(&self) -> Result<zeroize::Zeroizing<String>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.is_none() {
            *known = Some((self.ask)()?.into());
        }
        Ok(known.clone().unwrap_or_default())
    }
}

/// What came of a push.
pub(crate) struct Pushed {
    /// The report of the run.
    pub report: Report,
    /// The exit code for it.
    pub code: u8,
    /// Reports of earlier pushes, which nobody had taken.
    pub earlier: Vec<Report>,
}

impl Push<'_> {
    /// Pushes to `host`, telling `told` what happens there.
    ///
    /// # Errors
    /// Where the machine cannot be reached, or there was no run to report.
    pub(crate) fn to(&self, host: &str, told: &dyn Fn(&Reply)) -> Result<Pushed> {
        let pushed = self.begin(host).and_then(|session| self.converse(host, session, told));
        self.ssh.end(host);
        pushed
    }

    /// A session in which the agent runs on `host`, brought there where it was missing.
    fn begin(&self, host: &str) -> Result<Session> {
        let mut sudo = Sudo::Free;
        for _ in 0..MOST_TRIES {
            let mark = token()?;
            let script = script::begin(&mark, &self.program.blob, sudo);
            let (mut session, word) = match sudo {
                Sudo::Free => self.ssh.session(host, &script, &mark, Input::Open(b""))?,
                Sudo::Password => {
                    let line = zeroize::Zeroizing::new(format!("{}\n", *self.password.get()?));
                    self.ssh.session(host, &script, &mark, Input::Open(line.as_bytes()))?
                }
            };
            match Found::parse(&word, host)? {
                Found::Here => return Ok(session),
                Found::Missing { directory, system, there } => {
                    session.finish();
                    let megabytes = (self.program.blob.size - there.min(self.program.blob.size)).div_ceil(1_000_000);
                    (self.note)(&format!("{host}: bringing the agent, {megabytes} MB"));
                    self.bring(host, &directory, &system, there)?;
                }
                Found::NeedsPassword => {
                    session.finish();
                    self.check_password(host)?;
                    sudo = Sudo::Password;
                }
            }
        }
        let cause = "the agent that was brought is not there when it is to be started";
        Err(Error::new(ErrorKind::Failed, "start", format!("the agent on {host}"), cause)
            .with_hint("does something there remove it? docs/push.md names the directories"))
    }

    /// Whether sudo takes the password. Nothing may follow a wrong one: sudo would take it for the next try.
    fn check_password(&self, host: &str) -> Result<()> {
        let mark = token()?;
        let password = self.password.get()?;
        let line = zeroize::Zeroizing::new(format!("{}\n", *password));
        let input = Input::Whole(line.as_bytes());
        let (mut session, word) = self.ssh.session(host, &script::check_password(&mark), &mark, input)?;
        if word == "right" && session.finish() {
            return Ok(());
        }
        let error = session.failed("become root on");
        let mut known = self.password.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Another machine may have been given a better one meanwhile.
        if known.as_ref() == Some(&password) {
            *known = None;
        }
        Err(error.with_hint("is the password right, and may this user run anything with sudo?"))
    }

    /// Brings the agent to a directory there that has the first `there` bytes of it already.
    fn bring(&self, host: &str, directory: &str, system: &str, there: u64) -> Result<()> {
        let mark = token()?;
        let blob = self.program.blob;
        let (mut session, _) =
            self.ssh.session(host, &script::bring(&mark, directory, &blob.digest), &mark, Input::Open(b""))?;
        let mut program = repository::open(&self.program.path)?;
        let sent = match &mut session.say {
            Some(say) => std::io::copy(&mut program.by_ref().take(there), &mut std::io::sink())
                .and_then(|_| std::io::copy(&mut program, say))
                .and_then(|_| say.flush()),
            None => Ok(()),
        };
        session.say = None;
        match script::brought(&mut session.hear, &mark).as_deref() {
            Some("whole") => {
                session.finish();
                Ok(())
            }
            Some("foreign") => {
                let cause = format!("the agent that was brought does not start there; the machine is {system}");
                let hint = "bring one for it with --agent: a static one for its processor";
                Err(Error::new(ErrorKind::Failed, "start", format!("the agent on {host}"), cause).with_hint(hint))
            }
            _ => {
                if let Err(error) = sent {
                    tracing::debug!(%host, %error, "the agent was not taken");
                }
                Err(session.failed("bring the agent to"))
            }
        }
    }

    /// Gives the order, sends what is missing, and hears what happens until the run ended.
    fn converse(&self, host: &str, mut session: Session, told: &dyn Fn(&Reply)) -> Result<Pushed> {
        let Some(say) = session.say.take() else { return Err(broken("its input is closed".to_owned())) };
        let mut ends = Ends { hear: &mut session.hear, say };
        let mut earlier = Vec::new();
        let outcome = ends.say(&Request::Order(self.order.clone())).and_then(|()| {
            loop {
                match ends.hear()? {
                    Some(Reply::Earlier(report)) => {
                        (self.keep)(host, &report)?;
                        earlier.push(*report);
                    }
                    Some(Reply::Wanted(blobs)) => {
                        self.send(&mut ends.say, &blobs)?;
                        earlier.iter().try_for_each(|report| ends.say(&Request::Taken(report.run)))?;
                    }
                    Some(Reply::Done(report, code)) => {
                        if report.mode == Mode::Apply {
                            (self.keep)(host, &report)?;
                            ends.say(&Request::Taken(report.run))?;
                        }
                        return Ok(Some((report, code)));
                    }
                    Some(Reply::Refused(refused)) => {
                        let error = Error::new(ErrorKind::Failed, "converge", host, refused.message);
                        return Err(match refused.hint {
                            Some(hint) => error.with_hint(hint),
                            None => error,
                        });
                    }
                    Some(reply) => told(&reply),
                    None => return Ok(None),
                }
            }
        });
        drop(ends);
        match outcome {
            Ok(Some((report, code))) => {
                session.finish();
                Ok(Pushed { report: *report, code, earlier })
            }
            Ok(None) => Err(session
                .failed("stay connected to")
                .with_hint("what was begun there ends whole, and its report is kept there: push again to collect it")),
            Err(error) => Err(error),
        }
    }

    fn send(&self, say: &mut impl Write, blobs: &[BlobRef]) -> Result<()> {
        for blob in blobs {
            wire::say(say, &Request::Blob(*blob))?;
            self.bytes(&blob.digest)?
                .read(&mut |bytes| say.write_all(bytes).map_err(|error| broken(error.to_string())))?;
        }
        say.flush().map_err(|error| broken(error.to_string()))
    }

    fn bytes(&self, digest: &Digest) -> Result<BlobBytes<'_>> {
        if *digest == Digest::of(self.graph) {
            return Ok(BlobBytes::Memory(self.graph));
        }
        self.compilation.bytes(digest).map_err(|failure| match failure {
            Failure::Input(error) | Failure::Trouble(error) => error,
            Failure::Policy(_) | Failure::Said(_) => broken("the policy has no such blob".to_owned()),
        })
    }
}

/// Thirty-two hexadecimal digits that nobody could have foreseen.
///
/// # Errors
/// Where the system has no randomness.
pub(crate) fn token() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::new(ErrorKind::Unavailable, "get", "random bytes from the system", error))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
