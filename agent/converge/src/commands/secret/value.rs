//! Where a value comes from: a file, standard input, or somebody who types it unseen. Never the command line.

use std::io::{IsTerminal, Read, Write};
use std::path::Path;

use converge_model::Error;
use converge_system::linux::durable;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};
use crate::secrets::{LONGEST, text_of};

/// The value of the secret `name`. One newline at the end is left out, unless a file was named.
pub(super) fn read(name: &str, file: Option<&Path>) -> Outcome<Zeroizing<String>> {
    let bytes = match file {
        Some(file) => {
            let bytes = durable::read(file, LONGEST as u64 + 1)?;
            Zeroizing::new(bytes.ok_or_else(|| Failure::input("read", file.display(), "it is not there"))?)
        }
        None => from_standard_input(name)?,
    };
    let value = match file {
        Some(_) => &bytes[..],
        None => bytes.strip_suffix(b"\n").unwrap_or(&bytes),
    };
    if value.is_empty() {
        return Err(Failure::input("set", format!("the secret {name}"), "its value is empty")
            .with_hint("give it on standard input, or with --file"));
    }
    Ok(text_of(name, value)?)
}

fn from_standard_input(name: &str) -> Outcome<Zeroizing<Vec<u8>>> {
    let input = std::io::stdin();
    let trouble = |error: std::io::Error| Error::io("read", "the value from standard input", &error);
    // Made once: what grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 2));
    if !input.is_terminal() {
        input.lock().take(LONGEST as u64 + 2).read_to_end(&mut bytes).map_err(trouble)?;
        return Ok(bytes);
    }
    let before = tcgetattr(&input).map_err(|errno| trouble(errno.into()))?;
    let mut unseen = before.clone();
    unseen.local_flags.remove(LocalFlags::ECHO);
    tcsetattr(&input, SetArg::TCSAFLUSH, &unseen).map_err(|errno| trouble(errno.into()))?;
    // Where nobody sees what is asked, it can be typed all the same.
    let _ = write!(std::io::stderr(), "value of {name}: ");
    let read = std::io::BufRead::read_until(&mut input.lock().take(LONGEST as u64 + 2), b'\n', &mut bytes);
    let restored = tcsetattr(&input, SetArg::TCSAFLUSH, &before);
    let _ = writeln!(std::io::stderr());
    read.map_err(trouble)?;
    restored.map_err(|errno| trouble(errno.into()))?;
    Ok(bytes)
}
