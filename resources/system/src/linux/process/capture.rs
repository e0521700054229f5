//! The end of what a process prints.

use std::io::{PipeReader, Read as _};

use converge_model::system::commands::Tail;

/// Reads one of the pipes, and keeps the end of what came.
#[derive(Debug)]
pub(super) struct Capture {
    pipe: Option<PipeReader>,
    kept: Vec<u8>,
    keep: usize,
    dropped: u64,
}

impl Capture {
    pub(super) fn new(pipe: PipeReader, keep: usize) -> Self {
        Self { pipe: Some(pipe), kept: Vec::new(), keep, dropped: 0 }
    }

    /// Reads what is there, at most a megabyte, so that who prints for ever does not keep the deadline from being seen.
    pub(super) fn read_available(&mut self) {
        let mut buffer = [0_u8; 16 * 1024];
        for _ in 0..64 {
            let Some(pipe) = &mut self.pipe else { return };
            match pipe.read(&mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(count) => self.add(&buffer[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => self.pipe = None,
            }
        }
    }

    /// What tells that there is more to read; nothing once all writers have closed it.
    pub(super) fn pipe(&self) -> Option<&PipeReader> {
        self.pipe.as_ref()
    }

    fn add(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        if self.kept.len() > self.keep.saturating_mul(2) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        let surplus = self.kept.len().saturating_sub(self.keep);
        self.kept.drain(..surplus);
        self.dropped += surplus as u64;
    }

    pub(super) fn into_tail(mut self) -> Tail {
        self.cut();
        if self.dropped > 0 {
            // Not in the middle of a character.
            let broken = self.kept.iter().take(3).take_while(|byte| (0x80..0xc0).contains(*byte)).count();
            self.kept.drain(..broken);
            self.dropped += broken as u64;
        }
        Tail { text: String::from_utf8_lossy(&self.kept).into_owned(), dropped: self.dropped }
    }
}
