//! A run as it happens.

use std::time::Duration;

use converge_model::report::ReportedError;
use converge_model::{Event, EventSink, Outcome};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Console, NOTE, report, styled};

/// Prints what a run does; shows what it waits for, where a person looks.
pub(crate) struct RunConsole {
    console: Console,
    progress: ProgressBar,
}

impl RunConsole {
    /// Prints to `console`; says nothing where results are JSON.
    pub(crate) fn new(console: Console) -> Self {
        let target = if console.is_json() { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let progress = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
            progress.set_style(style);
        }
        Self { console, progress }
    }

    fn say(&self, text: &str) {
        if !self.console.is_json() {
            self.progress.suspend(|| self.console.say(text));
        }
    }

    fn wait_for(&self, what: String) {
        self.progress.set_message(what);
        self.progress.enable_steady_tick(Duration::from_millis(200));
    }

    fn rest(&self) {
        self.progress.disable_steady_tick();
        self.progress.finish_and_clear();
        self.progress.reset();
    }
}

impl EventSink for RunConsole {
    fn emit(&self, event: &Event<'_>) {
        match event {
            Event::Started { resources, .. } => self.wait_for(format!("looking at {resources} resources")),
            Event::Ended { .. } => self.rest(),
            Event::Applying { id, .. } => self.wait_for(format!("updating {id}")),
            Event::Finished { resource, .. } => {
                self.rest();
                if resource.outcome != Outcome::UpToDate || self.console.verbose() > 0 {
                    self.say(&report::resource(resource));
                }
            }
            Event::Retrying { id, error, left } => {
                self.say(&format!("{} {id} failed, {left} tries left: {error}", styled(NOTE, "retrying:")));
            }
            Event::Notifying { target, action, .. } => self.wait_for(format!("{action} of {target}")),
            Event::Notified { target, action, outcome, error } => {
                self.rest();
                let error = error.map(ReportedError::from);
                self.say(&report::notified(target, action, *outcome, error.as_ref()));
            }
            _ => {}
        }
    }
}
