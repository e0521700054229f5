//! A connection that does not wait endlessly for its client: not for its first byte, and not for it to take what it is sent.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// How long a client may send nothing at all on a new connection.
pub(crate) const FIRST_BYTE: Duration = Duration::from_secs(10);
/// In this time a client must have taken all of what it is sent, or [`ENOUGH`] of it.
pub(crate) const TAKES: Duration = Duration::from_secs(30);
/// Bytes that are progress: two kilobytes a second.
pub(crate) const ENOUGH: usize = 64 << 10;

/// A connection with patience, and an end of it.
pub(crate) struct Patient<S> {
    inner: S,
    /// Until when the first byte must come; nothing once it came.
    first: Option<Pin<Box<Sleep>>>,
    /// Until when enough must be taken; nothing where the client does not keep us waiting.
    taking: Option<Pin<Box<Sleep>>>,
    /// Bytes that were taken since then.
    taken: usize,
    /// Bytes that went either way.
    moved: Arc<AtomicU64>,
}

impl<S> Patient<S> {
    pub(crate) fn new(inner: S) -> Self {
        Self { inner, first: Some(Box::pin(sleep(FIRST_BYTE))), taking: None, taken: 0, moved: Arc::default() }
    }

    /// How many bytes went either way, as it goes on.
    pub(crate) fn moved(&self) -> Arc<AtomicU64> {
        self.moved.clone()
    }

    /// The client keeps us waiting: for how much longer?
    fn poll_waiting<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        let taken = &mut self.taken;
        let taking = self.taking.get_or_insert_with(|| {
            *taken = 0;
            Box::pin(sleep(TAKES))
        });
        ready!(taking.as_mut().poll(cx));
        if *taken < ENOUGH {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client does not take what it is sent",
            )));
        }
        *taken = 0;
        taking.set(sleep(TAKES));
        // So that it is woken by the new one.
        ready!(taking.as_mut().poll(cx));
        Poll::Pending
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if read.is_ready() {
            self.moved.fetch_add((buffer.filled().len() - before) as u64, Ordering::Relaxed);
            self.first = None;
            return read;
        }
        if let Some(first) = &mut self.first
            && first.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client sends nothing")));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.inner).poll_write(cx, bytes) {
            Poll::Ready(written) => {
                let count = *written.as_ref().unwrap_or(&0);
                self.taken = self.taken.saturating_add(count);
                self.moved.fetch_add(count as u64, Ordering::Relaxed);
                Poll::Ready(written)
            }
            Poll::Pending => self.poll_waiting(cx),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_flush(cx) {
            Poll::Ready(flushed) => {
                self.taking = None;
                Poll::Ready(flushed)
            }
            Poll::Pending => self.poll_waiting(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.inner).poll_shutdown(cx) {
            Poll::Ready(done) => Poll::Ready(done),
            Poll::Pending => self.poll_waiting(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    /// Sends this many bytes to a client that takes `at_once` every `every`; what came of it, and after how long.
    async fn sent(bytes: usize, at_once: usize, every: Duration) -> (io::Result<()>, Duration) {
        let (near, mut far) = duplex(16 << 10);
        let mut near = Patient::new(near);
        tokio::spawn(async move {
            let mut buffer = vec![0; at_once];
            while at_once > 0 && far.read_exact(&mut buffer).await.is_ok() {
                tokio::time::sleep(every).await;
            }
            std::future::pending::<()>().await;
        });
        let began = Instant::now();
        let all = vec![0; bytes];
        let mut done = near.write_all(&all).await;
        if done.is_ok() {
            done = near.flush().await;
        }
        (done, began.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_or_a_trickle_is_not_waited_for() {
        for (at_once, every) in [(0, Duration::ZERO), (1, Duration::from_secs(1)), (1 << 10, Duration::from_secs(1))] {
            let (done, took) = sent(1 << 20, at_once, every).await;
            assert_eq!(done.unwrap_err().kind(), io::ErrorKind::TimedOut, "{at_once} bytes each {every:?}");
            assert!(took >= TAKES && took <= TAKES * 2, "{took:?}");
        }
        let (done, took) = sent(1 << 20, 4 << 10, Duration::from_secs(1)).await;
        assert!(
            done.is_ok() && took > TAKES * 4,
            "who is slow, but not too slow, gets all of it: {done:?} after {took:?}"
        );
        assert!(sent(8 << 10, 0, Duration::ZERO).await.0.is_ok(), "what the network holds is sent");
    }

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_at_first_is_not_waited_for_and_who_said_something_is() {
        let (near, mut far) = duplex(1 << 10);
        let mut near = Patient::new(near);
        let began = Instant::now();
        assert_eq!(near.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed(), FIRST_BYTE);
        let (near, mut said) = duplex(1 << 10);
        let mut near = Patient::new(near);
        said.write_all(b"ab").await.unwrap();
        assert_eq!(near.read_u16().await.unwrap(), u16::from_be_bytes(*b"ab"));
        let waited = tokio::time::timeout(FIRST_BYTE * 9, near.read_u8()).await;
        assert!(waited.is_err(), "how long a silence may be after that is not for it to say");
        drop(far.write_all(b"x").await);
    }
}
