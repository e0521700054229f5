//! Commands: those that look are run, those that change are taken to have succeeded.

use converge_model::error::{Error, ErrorKind, Result};
use converge_model::system::commands::{CommandOutput, CommandSpec, Exit, Purpose, Tail};
use converge_model::system::files::FileType;
use converge_model::system::{Accounts, Commands};

use super::Overlay;

/// How much of a command line is shown.
const LONGEST_SHOWN: usize = 60;

fn shown(command: &CommandSpec) -> String {
    let line = command.line.to_string();
    let first = line.lines().next().unwrap_or_default();
    match first.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("`{}…`", &first[..end]),
        None if first.len() < line.len() => format!("`{first}…`"),
        None => format!("`{first}`"),
    }
}

impl Overlay<'_> {
    /// What must be right before a process can start, and can be known.
    fn may_start(&self, command: &CommandSpec) -> Result<()> {
        let refuse = |cause: String| Err(Error::new(ErrorKind::NotFound, "run", &command.line, cause));
        if let Some(user) = &command.user
            && user.parse::<u32>().is_err()
            && self.uid_of(user)?.is_none()
        {
            return refuse(format!("there is no user `{user}` to run it as"));
        }
        let Some(directory) = &command.directory else { return Ok(()) };
        let tree = self.tree();
        let real = if tree.is_changed() { tree.resolve(directory)? } else { self.base.files().resolve(directory)? };
        let found = tree.metadata("look at", &real)?.map(|metadata| metadata.file_type);
        drop(tree);
        match found {
            Some(FileType::Directory) => Ok(()),
            None if self.assumptions.is_opaque() => {
                self.assumptions.assume(format!("the directory {directory} is taken to be there by then"));
                Ok(())
            }
            _ => refuse(format!("its directory {directory} is not there")),
        }
    }

    /// Takes a command for run.
    fn take_for_run(&self, command: &CommandSpec) -> Result<CommandOutput> {
        self.may_start(command)?;
        for path in &command.creates {
            self.tree_mut().make_unknown(path)?;
        }
        let line = shown(command);
        self.assumptions.assume(format!("{line} is taken to succeed; what it changes is not known"));
        self.assumptions.obscure(line);
        Ok(CommandOutput { exit: Exit::Assumed, output: Tail::default() })
    }
}

impl Commands for Overlay<'_> {
    fn run(&self, command: &CommandSpec) -> Result<CommandOutput> {
        if command.purpose == Purpose::Change {
            return self.take_for_run(command);
        }
        if self.is_changed() {
            let line = shown(command);
            self.assumptions.assume(format!("{line} was decided on the machine as it is now, before what comes first"));
        }
        self.base.commands().run(command)
    }
}
