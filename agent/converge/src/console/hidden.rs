//! A question whose answer nobody may read over a shoulder.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use converge_model::{Error, ErrorKind, Result};
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

/// What Ctrl-C types where it raises no signal.
const INTERRUPT: char = '\x03';

/// Asks on the terminal, which does not show the answer.
///
/// # Errors
/// Where there is no terminal, or nobody answers.
pub(crate) fn ask(question: &str) -> Result<String> {
    let failed = |cause: String| {
        Error::new(ErrorKind::Unavailable, "ask for", "a password", cause)
            .with_hint("run this at a terminal, or let the user on the machine use sudo without a password")
    };
    let input = std::io::stdin();
    if !input.is_terminal() {
        return Err(failed("standard input is no terminal".to_owned()));
    }
    let before = tcgetattr(&input).map_err(|errno| failed(errno.to_string()))?;
    let mut silent = before.clone();
    // A signal would leave the terminal silent: Ctrl-C is taken for an answer instead.
    silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ISIG);
    let _ = write!(std::io::stderr(), "{question}");
    tcsetattr(&input, SetArg::TCSADRAIN, &silent).map_err(|errno| failed(errno.to_string()))?;
    let mut answer = String::new();
    let read = input.lock().read_line(&mut answer);
    let restored = tcsetattr(&input, SetArg::TCSADRAIN, &before);
    let _ = writeln!(std::io::stderr());
    restored.map_err(|errno| failed(errno.to_string()))?;
    match read {
        Ok(0) => Err(failed("nobody answered".to_owned())),
        Ok(_) if answer.contains(INTERRUPT) => Err(failed("it was interrupted".to_owned())),
        Ok(_) => Ok(answer.trim_end_matches(['\n', '\r']).to_owned()),
        Err(error) => Err(failed(error.to_string())),
    }
}
