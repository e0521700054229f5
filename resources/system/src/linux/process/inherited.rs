//! What a child process has from the agent if nothing is done about it.

use std::path::Path;
use std::sync::OnceLock;

use rustix::fs::{CWD, Mode, OFlags};

use crate::linux::small_file;

/// What of the agent's own process matters to its children. It stays the same as long as the process lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Inherited {
    /// The file mode creation mask; nothing where it cannot be known without changing it.
    pub(super) umask: Option<u32>,
    /// Whether there is a terminal that a child could open, and wait for.
    pub(super) terminal: bool,
}

impl Inherited {
    /// What a child of this process has.
    pub(super) fn of_this_process() -> Self {
        static INHERITED: OnceLock<Inherited> = OnceLock::new();
        *INHERITED.get_or_init(|| {
            let status = small_file::read(Path::new("/proc/self/status"), 64 * 1024).unwrap_or_default();
            let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let terminal = rustix::fs::openat(CWD, "/dev/tty", flags, Mode::empty());
            // Anything but "no such device" may mean that there is one.
            Self { umask: umask_in(&status), terminal: !matches!(terminal, Err(rustix::io::Errno::NXIO)) }
        })
    }
}

/// The file mode creation mask in what the kernel says of a process (proc(5), since Linux 4.7).
fn umask_in(status: &[u8]) -> Option<u32> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Umask:"))?;
    u32::from_str_radix(std::str::from_utf8(line).ok()?.trim(), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_is_read_from_its_line_only() {
        for (status, expected) in [
            ("Name:\tUmask:\nUmask:\t0027\nState:\tR\n", Some(0o027)),
            ("Name:\tx\nUmask:\tno\n", None),
            ("Name:\tx\n", None),
        ] {
            assert_eq!(umask_in(status.as_bytes()), expected, "{status}");
        }
    }
}
