//! systemd's private socket: D-Bus without a bus.
//!
//! On it systemd signs its messages with the name that it has on a bus, `org.freedesktop.systemd1`. Between two peers
//! that names nobody, and zbus takes only a connection's unique name there: so the name is overwritten by one as each
//! message comes in, which leaves all else in its place.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zbus::Connection;
use zbus::connection::Builder;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};
use zbus::export::async_trait::async_trait;

const PATH: &str = "/run/systemd/private";
/// What every message begins with: its byte order, type, flags, version, the length of its body, its serial number, and
/// the length of its header fields.
const FIXED: usize = 16;
/// The longest message that D-Bus allows.
const LONGEST: usize = 128 * 1024 * 1024;
/// The header field that names the sender.
const SENDER: u8 = 7;

/// Connects to systemd itself. Only root is let in.
pub(super) async fn connect() -> Result<Connection, String> {
    let (read, mut write) = UnixStream::connect(PATH).await.map_err(|error| format!("{PATH}: {error}"))?.into_split();
    let mut read = BufReader::new(read);
    let guid = introduce(&mut read, &mut write).await.map_err(|error| format!("{PATH}: {error}"))?;
    let socket = Private { read: Messages { stream: read, message: Vec::new(), given: 0 }, write: Bytes(write) };
    Builder::authenticated_socket(socket, guid.as_str()).p2p().build().await.map_err(|error| format!("{PATH}: {error}"))
}

/// Says who is there; the kernel vouches for it. Gives the name of the server.
async fn introduce(read: &mut BufReader<OwnedReadHalf>, write: &mut OwnedWriteHalf) -> io::Result<String> {
    let user: String =
        rustix::process::geteuid().as_raw().to_string().bytes().map(|digit| format!("{digit:02x}")).collect();
    write.write_all(format!("\0AUTH EXTERNAL {user}\r\nBEGIN\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    (&mut *read).take(256).read_until(b'\n', &mut answer).await?;
    let answer = String::from_utf8_lossy(&answer);
    match answer.trim_end().strip_prefix("OK ") {
        Some(guid) => Ok(guid.to_owned()),
        None => Err(io::Error::other(format!("it does not let us in: {}", answer.trim_end()))),
    }
}

/// The connected socket, once both sides know each other.
struct Private {
    read: Messages,
    write: Bytes,
}

impl Socket for Private {
    type ReadHalf = Messages;
    type WriteHalf = Bytes;

    fn split(self) -> Split<Messages, Bytes> {
        Split::new(self.read, self.write)
    }
}

/// Hands out the bytes of one message after the other.
#[derive(Debug)]
struct Messages {
    stream: BufReader<OwnedReadHalf>,
    message: Vec<u8>,
    given: usize,
}

impl Messages {
    async fn read_message(&mut self) -> io::Result<()> {
        self.given = 0;
        self.message.clear();
        self.message.resize(FIXED, 0);
        self.stream.read_exact(&mut self.message).await?;
        let (fields, body) = (number(&self.message, 12)?, number(&self.message, 4)?);
        let length = FIXED + fields.next_multiple_of(8) + body;
        if length > LONGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is longer than D-Bus allows"));
        }
        self.message.resize(length, 0);
        self.stream.read_exact(&mut self.message[FIXED..]).await?;
        name_sender(&mut self.message, FIXED + fields)
    }
}

#[async_trait]
impl ReadHalf for Messages {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        if self.given == self.message.len() {
            self.read_message().await?;
        }
        let rest = &self.message[self.given..];
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok((count, Vec::new()))
    }
}

/// Takes bytes as they come.
#[derive(Debug)]
struct Bytes(OwnedWriteHalf);

#[async_trait]
impl WriteHalf for Bytes {
    async fn sendmsg(&mut self, buffer: &[u8], _: &[BorrowedFd<'_>]) -> io::Result<usize> {
        self.0.write(buffer).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.shutdown().await
    }
}

/// Overwrites the sender's name by a unique one of the same length. The header's fields end at `end`.
fn name_sender(message: &mut [u8], end: usize) -> io::Result<()> {
    let mut at = FIXED;
    while at < end {
        let (code, signature) = (byte(message, at)?, byte(message, at + 2)?);
        // A field is its code, and a value: the length of its signature, the signature (one letter), NUL, and itself.
        let value = at + 4;
        at = match signature {
            b's' | b'o' => {
                let start = value.next_multiple_of(4) + 4;
                let length = number(message, start - 4)?;
                if code == SENDER {
                    let name = message.get_mut(start..start + length).ok_or_else(torn)?;
                    if !name.starts_with(b":") && name.len() > 3 {
                        name.fill(b'0');
                        name[..3].copy_from_slice(b":1.");
                    }
                    return Ok(());
                }
                start + length + 1
            }
            b'g' => value + 1 + usize::from(byte(message, value)?) + 1,
            b'u' => value.next_multiple_of(4) + 4,
            _ => return Err(torn()),
        }
        .next_multiple_of(8);
    }
    Ok(())
}

fn byte(message: &[u8], at: usize) -> io::Result<u8> {
    message.get(at).copied().ok_or_else(torn)
}

/// The number of four bytes at `at`, in the message's own byte order.
fn number(message: &[u8], at: usize) -> io::Result<usize> {
    let bytes = message.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or_else(torn)?;
    let number = match message.first() {
        Some(b'B') => u32::from_be_bytes(*bytes),
        _ => u32::from_le_bytes(*bytes),
    };
    usize::try_from(number).map_err(|_| torn())
}

fn torn() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a message is not what D-Bus says it should be")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message with these header fields, and a body that looks like one of them.
    fn message(order: u8, fields: &[(u8, u8, &str)]) -> (Vec<u8>, usize) {
        let put = |bytes: &mut Vec<u8>, number: usize| {
            let number = u32::try_from(number).unwrap();
            bytes.extend(if order == b'B' { number.to_be_bytes() } else { number.to_le_bytes() });
        };
        let body = b"\x07\x01s\0org.freedesktop.systemd1";
        let mut bytes = vec![order, 2, 0, 1];
        put(&mut bytes, body.len());
        put(&mut bytes, 1);
        put(&mut bytes, 0);
        for (code, signature, text) in fields {
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            bytes.extend([*code, 1, *signature, 0]);
            match signature {
                b'u' => put(&mut bytes, 7),
                b'g' => bytes.push(u8::try_from(text.len()).unwrap()),
                _ => put(&mut bytes, text.len()),
            }
            if *signature != b'u' {
                bytes.extend(text.as_bytes());
                bytes.push(0);
            }
        }
        let end = bytes.len();
        let mut length = Vec::new();
        put(&mut length, end - FIXED);
        bytes[12..16].copy_from_slice(&length);
        bytes.resize(end.next_multiple_of(8), 0);
        bytes.extend(body);
        (bytes, end)
    }

    #[test]
    fn only_a_senders_well_known_name_is_overwritten() {
        let (known, unique) = ("org.freedesktop.systemd1", ":1.000000000000000000000");
        for (before, after) in [(known, unique), (":1.5", ":1.5"), ("", "")] {
            for order in [b'l', b'B'] {
                let fields = |sender| {
                    [(5, b'u', ""), (8, b'g', "a(sb)"), (1, b'o', "/org/x"), (SENDER, b's', sender), (6, b's', known)]
                };
                let ((mut given, end), (wanted, _)) = (message(order, &fields(before)), message(order, &fields(after)));
                name_sender(&mut given, end).unwrap();
                assert_eq!(given, wanted, "{before:?}");
            }
        }
        let (mut torn, end) = message(b'l', &[(SENDER, b's', known)]);
        torn.truncate(end - 10);
        assert_eq!(name_sender(&mut torn, end).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
