//! Connections: accepted, encrypted, and handed on to be served.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;

use crate::connection;

/// Connections that are open at once. More wait to be accepted.
const CONNECTIONS: usize = 20_000;
/// How long a client may take for the TLS handshake.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait before accepting again when the kernel had no connection to give: it has run out of something.
const SHORT_OF_SOMETHING: Duration = Duration::from_millis(50);

/// Connections that came about and wait to be accepted, as far as the kernel allows it (`net.core.somaxconn`). Who finds no
/// place asks again after a second, and then after two: a fleet that comes back at once should find one.
const BACKLOG: u32 = 8_192;

/// Who is at the other end of a request's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// Listens on `address`.
///
/// # Errors
/// Where that is not free, or not this machine's.
pub(crate) fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // So that a store that is started again need not wait for what is left of its old connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `router` to whoever connects, until `shutdown` is ready; then answers what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let (close, closing) = watch::channel(false);
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
        let (acceptor, router, closing) = (acceptor.clone(), router.clone(), closing.clone());
        tokio::spawn(async move {
            connection(stream, Peer(peer), acceptor, router, closing).await;
            drop(place);
        });
    }
    drop((listener, closing));
    // Where nobody is connected there is nobody to tell.
    let _ = close.send(true);
    close.closed().await;
}

async fn connection(
    stream: TcpStream,
    peer: Peer,
    acceptor: TlsAcceptor,
    router: Router,
    closing: watch::Receiver<bool>,
) {
    // Small answers should not wait for more to send.
    let _ = stream.set_nodelay(true);
    let encrypted = match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(encrypted)) => encrypted,
        Ok(Err(error)) => return tracing::debug!(peer = %peer.0, "no TLS came about: {error}"),
        Err(_) => return tracing::debug!(peer = %peer.0, "the TLS handshake took too long"),
    };
    if let Err(error) = connection::serve(encrypted, peer, router, closing).await {
        tracing::debug!(peer = %peer.0, "a connection ended badly: {error}");
    }
}
