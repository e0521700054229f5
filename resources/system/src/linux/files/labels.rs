//! Security labels, access control lists and other extended attributes, which a file keeps when its content is replaced.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use rustix::fs::{XattrFlags, fgetxattr, flistxattr, fremovexattr, fsetxattr};
use rustix::io::Errno;

const ACCESS_LIST: &CStr = c"system.posix_acl_access";

/// What is bound to the very bytes of a file, and would make others unusable.
const OF_THE_CONTENT: [&[u8]; 2] = [b"security.ima", b"security.evm"];

/// Gives `to` the extended attributes of `from`. File systems that have none are fine; so are attributes that only the
/// kernel may set.
pub(super) fn copy(from: &OwnedFd, to: &OwnedFd) -> Result<(), Errno> {
    let names = match sized(|buffer| flistxattr(from, buffer)) {
        Ok(names) => names,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    let mut has_access_list = false;
    for name in names.split_inclusive(|byte| *byte == 0).filter_map(|name| CStr::from_bytes_with_nul(name).ok()) {
        if OF_THE_CONTENT.contains(&name.to_bytes()) {
            continue;
        }
        let value = match sized(|buffer| fgetxattr(from, name, buffer)) {
            Ok(value) => value,
            Err(Errno::NODATA | Errno::NOTSUP) => continue,
            Err(errno) => return Err(errno),
        };
        has_access_list |= name == ACCESS_LIST;
        match fsetxattr(to, name, &value, XattrFlags::empty()) {
            // Only root may set `trusted.` and most of `security.`; who is not root could not have set them before.
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM) => {}
            Err(errno) => return Err(errno),
        }
    }
    if !has_access_list {
        // A new file got the directory's default list; the one that it replaces has none.
        match fremovexattr(to, ACCESS_LIST) {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Reads something whose size is only known by asking, and may change meanwhile.
fn sized(read: impl Fn(&mut [u8]) -> Result<usize, Errno>) -> Result<Vec<u8>, Errno> {
    // One call is enough for nearly every file, whose only attribute is a label.
    let mut buffer = vec![0; 256];
    loop {
        match read(&mut buffer) {
            Ok(size) => {
                buffer.truncate(size);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 17 => buffer.resize(buffer.len() * 8, 0),
            Err(errno) => return Err(errno),
        }
    }
}
