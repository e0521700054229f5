//! Clients that are slow, on purpose or not: none has a connection for longer than it should.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{ClientConnection, StreamOwned};

use crate::running::{Running, tls_config};

/// A connection to the store.
fn connect(store: &Running) -> StreamOwned<ClientConnection, TcpStream> {
    let address = store.base.trim_start_matches("https://");
    let name = rustls::pki_types::ServerName::try_from("127.0.0.1").unwrap();
    let tls = ClientConnection::new(Arc::new(tls_config(&store.authority())), name).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(90))).unwrap();
    StreamOwned::new(tls, socket)
}

/// How long until the store ended a connection on which this was sent; and what it said.
fn ended(mut connection: StreamOwned<ClientConnection, TcpStream>, sent: &str) -> (Duration, String) {
    let began = Instant::now();
    connection.conn.complete_io(&mut connection.sock).unwrap();
    connection.write_all(sent.as_bytes()).unwrap();
    connection.flush().unwrap();
    let mut said = Vec::new();
    // An end without a goodbye is an end too.
    let _ = connection.read_to_end(&mut said);
    (began.elapsed(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_slow_client_has_a_connection_for_long() {
    let store = Running::start().await;
    store.publish(&vec![7; 64 << 20]).await;
    let digest = converge_model::Digest::of(&vec![7; 64 << 20]);
    let token = &store.operator;
    let get = format!("GET /v1/blobs/{digest} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n");
    let body = format!(
        "POST /v1/tokens HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{"
    );
    let seconds = Duration::from_secs;
    let rows = [
        ("who says nothing", String::new(), "", seconds(9)..seconds(25)),
        ("slow headers", "GET /healthz HTTP/1.1\r\nhost: x\r\n".to_owned(), "", seconds(9)..seconds(25)),
        ("slow body", body, "408", seconds(9)..seconds(40)),
        ("idle", "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n".to_owned(), "200", seconds(9)..seconds(25)),
    ];
    let mut waiting = Vec::new();
    for (what, sent, said, within) in rows {
        let connection = connect(&store);
        let ending = tokio::task::spawn_blocking(move || ended(connection, &sent));
        waiting.push((what, said, within, ending));
    }
    // Who asks for much and takes nothing of it: after a while the rest is not there any more.
    let mut slow = connect(&store);
    let taken = tokio::task::spawn_blocking(move || {
        slow.write_all(get.as_bytes()).unwrap();
        slow.flush().unwrap();
        std::thread::sleep(seconds(36));
        let mut taken = Vec::new();
        let _ = slow.read_to_end(&mut taken);
        taken.len()
    });
    for (what, said, within, ending) in waiting {
        let (after, answer) = ending.await.unwrap();
        assert!(within.contains(&after), "{what}: ended after {after:?}");
        let status = answer.split(' ').nth(1).unwrap_or_default();
        assert_eq!(status, said, "{what}: {answer}");
    }
    let taken = taken.await.unwrap();
    assert!(taken < 48 << 20, "all but {taken} bytes were kept for who took nothing");
}
