//! Memory that a process which waits has no need of.
#![expect(unsafe_code, reason = "tells the kernel that pages of the program are not needed now")]
#![allow(clippy::disallowed_methods, reason = "asks the kernel where the program is in memory")]

use std::ffi::c_void;
use std::ops::Range;
use std::sync::LazyLock;

use rustix::mm::{Advice, madvise};

/// Where the program is in memory, as far as none of it was changed there: code and constants.
static PROGRAM: LazyLock<Vec<Range<usize>>> = LazyLock::new(|| {
    let program = std::env::current_exe().unwrap_or_default();
    let maps = std::fs::read_to_string("/proc/self/smaps").unwrap_or_default();
    unchanged(&maps, &program.display().to_string())
});

/// Gives back the memory that holds the program itself. What it goes on with is taken from the page cache again, a few pages
/// at a time; what it did before it began to wait is not, and that is nearly all of it. Where the kernel will not, nothing is
/// lost but the memory.
pub fn let_go_of_the_program() {
    for range in PROGRAM.iter() {
        let start = std::ptr::with_exposed_provenance_mut::<c_void>(range.start);
        // SAFETY: these pages are mapped from the program's file, cannot be written to, and none was changed in memory: what
        // comes back at the next access is what was there. A file that is replaced is another file; this one stays.
        let _ = unsafe { madvise(start, range.len(), Advice::LinuxDontNeed) };
    }
}

/// The mappings of `program` in an smaps document that cannot be written to, and of which no page is other than in the file.
fn unchanged(maps: &str, program: &str) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut last: Option<Range<usize>> = None;
    for line in maps.lines() {
        if let Some(bytes) = line.strip_prefix("Anonymous:") {
            found.extend(last.take().filter(|_| bytes.trim() == "0 kB"));
        } else if let Some((range, rest)) = line.split_once(' ').filter(|_| line.ends_with(program)) {
            let private = rest.starts_with("r-xp ") || rest.starts_with("r--p ");
            last = parse(range).filter(|_| private && !program.is_empty());
        }
    }
    found
}

fn parse(range: &str) -> Option<Range<usize>> {
    let (start, end) = range.split_once('-')?;
    Some(usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_the_file_is_let_go() {
        let maps = "\
00400000-00401000 r--p 00000000 fe:00 61 /usr/bin/converge\nSize: 4 kB\nAnonymous:             0 kB\n\
00401000-00500000 r-xp 00001000 fe:00 61 /usr/bin/converge\nAnonymous:             0 kB\n\
00500000-00501000 r--p 00100000 fe:00 61 /usr/bin/converge\nAnonymous:             4 kB\n\
00501000-00502000 rw-p 00101000 fe:00 61 /usr/bin/converge\nAnonymous:             0 kB\n\
7f0000000000-7f0000001000 r-xp 00000000 fe:00 62 /usr/lib/libc.so.6\nAnonymous:             0 kB\n";
        assert_eq!(unchanged(maps, "/usr/bin/converge"), [0x40_0000..0x40_1000, 0x40_1000..0x50_0000]);
        assert!(unchanged(maps, "").is_empty() && unchanged("rubbish\nAnonymous: 0 kB\n", "rubbish").is_empty());
    }

    #[test]
    fn a_process_goes_on_with_what_it_let_go() {
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        let before = resident();
        let_go_of_the_program();
        let after = resident();
        assert!(!PROGRAM.is_empty() && after < before, "{after} kB of {before} kB");
    }
}
