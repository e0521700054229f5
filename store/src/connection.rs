//! One encrypted connection: served, and ended in time, whatever its client does.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::patience::{ENOUGH, Patient};
use crate::server::Peer;

/// How long a client may take for the head of each request, and for the answer to whether it still lives.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a silent HTTP/2 connection is asked whether it still lives.
const STILL_THERE: Duration = Duration::from_secs(30);
/// Requests under way on one HTTP/2 connection.
const STREAMS: u32 = 64;
/// Bytes of an answer on HTTP/2 that are kept ready for who does not take them.
const KEPT_TO_SEND: usize = 64 << 10;
/// After this long, or up to twice as long, a connection takes no new request: who has more to ask connects anew. Not all
/// who connected at once do so at once.
const LIFETIME: Duration = Duration::from_secs(600);
/// How long what was begun by then may take without [`ENOUGH`] bytes going either way: longer than any request is held.
const LAST_WORDS: Duration = Duration::from_secs(90);

/// Why a connection ended otherwise than it should.
pub(crate) type Ended = Box<dyn std::error::Error + Send + Sync>;

/// Serves `router` on a connection until its client ends it, it is too old, or `closing` says so; then answers what is under way.
///
/// # Errors
/// Where the client breaks it off, or keeps it open for nothing.
pub(crate) async fn serve<S>(
    stream: S,
    peer: Peer,
    router: Router,
    mut closing: watch::Receiver<bool>,
) -> Result<(), Ended>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let inner = TowerToHyperService::new(router);
    let service = service_fn(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(peer);
        inner.call(request)
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(STILL_THERE)
        .keep_alive_timeout(PATIENCE)
        .max_send_buf_size(KEPT_TO_SEND)
        .max_concurrent_streams(STREAMS);
    let patient = Patient::new(stream);
    let moved = patient.moved();
    let mut served = std::pin::pin!(builder.serve_connection(TokioIo::new(patient), service).into_owned());
    let closes = async { closing.wait_for(|closing| *closing).await.is_ok() };
    tokio::select! {
        ended = served.as_mut() => return ended,
        () = sleep(lifetime()) => {}
        _ = closes => {}
    }
    served.as_mut().graceful_shutdown();
    loop {
        let before = moved.load(Ordering::Relaxed);
        tokio::select! {
            ended = served.as_mut() => return ended,
            () = sleep(LAST_WORDS) => {}
        }
        if moved.load(Ordering::Relaxed).saturating_sub(before) < ENOUGH as u64 {
            return Err("it was kept open for nothing".into());
        }
    }
}

fn lifetime() -> Duration {
    let mut random = [0];
    // Without random bytes those who connected at once come back at once, and are served as they were before.
    let _ = getrandom::fill(&mut random);
    LIFETIME + LIFETIME * u32::from(random[0]) / 256
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{Instant, timeout};

    use super::*;

    /// A connection that is served, the client's end of it, and what tells it to close.
    fn connect() -> (DuplexStream, tokio::task::JoinHandle<Result<(), Ended>>, watch::Sender<bool>) {
        let (near, far) = duplex(1 << 16);
        let (close, closing) = watch::channel(false);
        let router = Router::new().route("/", get(|| async { vec![b'x'; 1 << 20] }));
        let router = router.route("/small", get(|| async { "ok" }));
        let peer = Peer(std::net::SocketAddr::from(([127, 0, 0, 1], 1)));
        (far, tokio::spawn(serve(near, peer, router, closing)), close)
    }

    /// Says that it still lives whenever it is asked, and nothing else, until it is left.
    async fn only_live(client: &mut DuplexStream) {
        let mut head = [0; 9];
        while client.read_exact(&mut head).await.is_ok() {
            let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
            let mut payload = vec![0; length];
            client.read_exact(&mut payload).await.unwrap();
            let (kind, is_answer) = (head[3], head[4] & 1 == 1);
            // SETTINGS and PING are answered with what came, marked as an answer.
            if matches!(kind, 4 | 6) && !is_answer {
                head[4] = 1;
                let answer = if kind == 6 { payload } else { Vec::new() };
                head[..3].copy_from_slice(&[0, 0, u8::try_from(answer.len()).unwrap()]);
                if client.write_all(&[&head[..], &answer].concat()).await.is_err() {
                    return;
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_over_http_2_is_left_after_a_while() {
        let (mut client, served, _close) = connect();
        let began = Instant::now();
        // No byte of an answer may be sent to it: SETTINGS_INITIAL_WINDOW_SIZE is 0. Then it asks for much.
        let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
        let request = [0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x87, 0x84, 0x41, 1, b'x'];
        client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        client.write_all(&[&settings[..], &request].concat()).await.unwrap();
        timeout(LIFETIME * 10, only_live(&mut client)).await.expect("it was never left");
        let took = began.elapsed();
        assert!(took >= LIFETIME && took < LIFETIME * 2 + LAST_WORDS * 2, "{took:?}");
        let error = served.await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "it was kept open for nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_used_ends_between_two_requests() {
        let (mut client, served, _close) = connect();
        let began = Instant::now();
        let mut answers = 0;
        loop {
            client.write_all(b"GET /small HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let mut answer = [0; 1 << 10];
            let count = client.read(&mut answer).await.unwrap();
            let text = String::from_utf8_lossy(&answer[..count]);
            assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("ok"), "answer {answers}: {text}");
            answers += 1;
            if text.contains("connection: close") {
                break;
            }
            sleep(PATIENCE / 2).await;
            // It may have ended meanwhile: then nothing was asked that was not answered.
            if served.is_finished() {
                break;
            }
        }
        let took = began.elapsed();
        assert!(took >= LIFETIME && took <= LIFETIME * 2 + PATIENCE, "{answers} answers in {took:?}");
        assert!(served.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_goes_down_ends_idle_connections_at_once() {
        let (mut client, served, close) = connect();
        client.write_all(b"GET /small HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        let mut answer = [0; 1 << 10];
        assert!(client.read(&mut answer).await.unwrap() > 0);
        close.send(true).unwrap();
        assert!(timeout(Duration::from_secs(1), served).await.unwrap().unwrap().is_ok());
    }
}
