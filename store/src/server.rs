//! Connections: accepted, encrypted, served, and ended in time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use crate::patience::Patient;

/// Connections that are open at once. More wait to be accepted.
const CONNECTIONS: usize = 20_000;
/// How long a client may take for the TLS handshake, and for the head of each request.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a silent HTTP/2 connection is asked whether it still lives.
const STILL_THERE: Duration = Duration::from_secs(30);
/// Requests under way on one HTTP/2 connection.
const STREAMS: u32 = 64;
/// Bytes of an answer on HTTP/2 that are kept ready for who does not take them.
const KEPT_TO_SEND: usize = 64 << 10;
/// How long to wait before accepting again when the kernel had no connection to give: it has run out of something.
const SHORT_OF_SOMETHING: Duration = Duration::from_millis(50);

/// Who is at the other end of a request's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Serves `router` to whoever connects, until `shutdown` is ready; then answers what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let next = async {
            // The semaphore is never closed.
            let place = places.clone().acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut shutdown => break,
            next = next => next,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("no connection could be accepted: {error}");
                tokio::time::sleep(SHORT_OF_SOMETHING).await;
                continue;
            }
        };
        let (acceptor, router, watcher) = (acceptor.clone(), router.clone(), graceful.watcher());
        tokio::spawn(async move {
            connection(stream, Peer(peer), acceptor, router, watcher).await;
            drop(place);
        });
    }
    drop(listener);
    graceful.shutdown().await;
}

async fn connection(stream: TcpStream, peer: Peer, acceptor: TlsAcceptor, router: Router, watcher: Watcher) {
    // Small answers should not wait for more to send.
    let _ = stream.set_nodelay(true);
    let encrypted = match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(encrypted)) => encrypted,
        Ok(Err(error)) => return tracing::debug!(peer = %peer.0, "no TLS came about: {error}"),
        Err(_) => return tracing::debug!(peer = %peer.0, "the TLS handshake took too long"),
    };
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
    let served = builder.serve_connection(TokioIo::new(Patient::new(encrypted)), service).into_owned();
    if let Err(error) = watcher.watch(served).await {
        tracing::debug!(peer = %peer.0, "a connection ended badly: {error}");
    }
}
