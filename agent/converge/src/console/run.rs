//! A run as it happens.

use std::io::IsTerminal;
use std::time::Duration;

use converge_model::report::ReportedError;
use converge_model::{Event, EventSink, Outcome};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Console, NOTE, report, styled};

/// Prints what a run does; shows what it waits for, where a person looks.
pub(crate) struct RunConsole {
    console: Console,
    /// Only on a terminal: turning costs a thread.
    progress: Option<ProgressBar>,
}

impl RunConsole {
    /// Prints to `console`; says nothing where results are JSON.
    pub(crate) fn new(console: Console) -> Self {
        let watched = !console.is_json() && std::io::stderr().is_terminal();
        let progress = watched.then(|| {
            let progress = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            match ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
                Ok(style) => progress.with_style(style),
                Err(_) => progress,
            }
        });
        Self { console, progress }
    }

    fn say(&self, text: &str) {
        match &self.progress {
            _ if self.console.is_json() => {}
            Some(progress) => progress.suspend(|| self.console.say(text)),
            None => self.console.say(text),
        }
    }

    /// Shows what is being waited for.
    fn wait_for(&self, what: impl Fn() -> String) {
        if let Some(progress) = &self.progress {
            progress.set_message(what());
        }
    }
}

impl EventSink for RunConsole {
    fn emit(&self, event: &Event<'_>) {
        match event {
            Event::Started { resources, .. } => {
                self.wait_for(|| format!("looking at {resources} resources"));
                if let Some(progress) = &self.progress {
                    progress.enable_steady_tick(Duration::from_millis(200));
                }
            }
            Event::Ended { .. } => {
                if let Some(progress) = &self.progress {
                    progress.finish_and_clear();
                }
            }
            Event::Applying { id, .. } => self.wait_for(|| format!("updating {id}")),
            Event::Finished { resource, .. } if resource.outcome != Outcome::UpToDate || self.console.verbose() > 0 => {
                self.say(&report::resource(resource));
            }
            Event::Retrying { id, error, left } => {
                self.say(&format!("{} {id} failed, {left} tries left: {error}", styled(NOTE, "retrying:")));
            }
            Event::Notifying { target, action, .. } => self.wait_for(|| format!("{action} of {target}")),
            Event::Notified { target, action, outcome, error } => {
                let error = error.map(ReportedError::from);
                self.say(&report::notified(target, action, *outcome, error.as_ref()));
            }
            _ => {}
        }
    }
}
