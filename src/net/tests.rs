//! `TlsStream` against rustls's own buffered server.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::pki_types::PrivateKeyDer;
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::*;
use crate::digest::Digest;

type Server = StreamOwned<ServerConnection, TcpStream>;

/// Connects to a server whose whole behaviour is `serve`.
fn connect(
    versions: &[&'static SupportedProtocolVersion],
    serve: impl FnOnce(Server) + Send + 'static,
) -> (TlsStream, JoinHandle<()>) {
    let names = vec!["localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate can be made");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("it is PKCS#8");
    let pinned = Fingerprint::from(*Digest::of(made.cert.der()).as_bytes());
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("ring knows them")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("the key is the certificate's");
    config.send_half_rtt_data = true;
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has ports");
    let port = listener.local_addr().expect("it is bound").port();
    let server = thread::spawn(move || {
        let (socket, _) = listener.accept().expect("somebody comes");
        let tls = ServerConnection::new(Arc::new(config)).expect("the configuration is right");
        serve(StreamOwned::new(tls, socket));
    });
    let dialer = Dialer::new(Some(pinned), None, Timeouts::default(), Route::default());
    let dialer = dialer.expect("it is right");
    let stream = dialer.dial("localhost", port, &Cancel::new());
    (stream.expect("the certificate is pinned"), server)
}

fn shake_hands(server: &mut Server) {
    while server.conn.is_handshaking() {
        (server.conn.complete_io(&mut server.sock)).expect("the client shakes hands");
    }
}

fn wait(cancel: &Cancel) -> Wait<'_> {
    Wait {
        cancel,
        limit: Duration::from_secs(20),
        what: "the test",
    }
}

fn receive_all(stream: &mut TlsStream) -> Result<Vec<u8>, FetchError> {
    let cancel = Cancel::new();
    let mut bytes = Vec::new();
    while receive(stream, &cancel, &mut |piece| bytes.extend_from_slice(piece))? == Received::Data {
    }
    Ok(bytes)
}

fn receive(
    stream: &mut TlsStream,
    cancel: &Cancel,
    sink: &mut dyn FnMut(&[u8]),
) -> Result<Received, FetchError> {
    let wait = wait(cancel);
    let received = stream.receive_until(wait.deadline(), cancel, sink)?;
    received.ok_or_else(|| wait.timed_out("the test's server"))
}

#[test]
fn what_is_sent_comes_back_whole_and_in_order() {
    for versions in [[&TLS12], [&TLS13]] {
        let sent: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
        let len = sent.len();
        let (mut stream, server) = connect(&versions, move |mut server| {
            let mut bytes = vec![0; len];
            server.read_exact(&mut bytes).expect("all of it comes");
            // The pieces have an odd size, so that records end anywhere in a read.
            for piece in bytes.chunks(7777) {
                server.write_all(piece).expect("the client reads");
            }
            server.conn.send_close_notify();
            server.flush().expect("the client reads");
        });
        stream
            .send(&sent, wait(&Cancel::new()))
            .expect("the server reads");
        assert!(receive_all(&mut stream).expect("it ends properly") == sent);
        drop(stream);
        server.join().expect("it does not panic");
    }
}

#[test]
fn an_end_without_a_goodbye_is_an_error() {
    let (mut stream, server) = connect(&[&TLS13], |mut server| {
        server.write_all(b"half of it").expect("the client reads");
        server.sock.shutdown(Shutdown::Both).expect("it is open");
    });
    let error = receive_all(&mut stream).expect_err("more could have come");
    assert!(matches!(error, FetchError::Unreachable(_)), "{error:?}");
    server.join().expect("it does not panic");
}

#[test]
fn a_deadline_is_no_error_and_a_past_one_means_not_to_wait() {
    let (mut stream, server) = connect(&[&TLS13], |mut server| {
        // The server sends bytes only when it gets some.
        while let Ok(1) = server.read(&mut [0]) {
            server.write_all(b"pong").expect("the client reads");
        }
    });
    let cancel = Cancel::new();
    let mut bytes = Vec::new();
    let mut until = |stream: &mut TlsStream, limit: Duration| {
        let deadline = Instant::now() + limit;
        let received = stream.receive_until(deadline, &cancel, &mut |piece| {
            bytes.extend_from_slice(piece);
        });
        received.expect("the connection is well")
    };
    assert_eq!(until(&mut stream, Duration::ZERO), None);
    let begun = Instant::now();
    assert_eq!(until(&mut stream, Duration::from_millis(300)), None);
    assert!(begun.elapsed() >= Duration::from_millis(290));
    stream.send(b"!", wait(&cancel)).expect("the server reads");
    assert_eq!(
        until(&mut stream, Duration::from_secs(20)),
        Some(Received::Data)
    );
    assert_eq!(until(&mut stream, Duration::ZERO), None);
    assert_eq!(bytes, b"pong");
    // The server sees a proper end of the connection.
    drop(stream);
    server.join().expect("it does not panic");
}

#[test]
fn new_keys_are_taken_and_confirmed() {
    let (mut stream, server) = connect(&[&TLS13], |mut server| {
        shake_hands(&mut server);
        for _ in 0..3 {
            server
                .conn
                .refresh_traffic_keys()
                .expect("the handshake is done");
            server.write_all(&[7; 1000]).expect("the client reads");
            server
                .read_exact(&mut [0])
                .expect("the client answers under its new keys");
        }
    });
    let cancel = Cancel::new();
    for _ in 0..3 {
        let mut count = 0;
        while count < 1000 {
            let received = receive(&mut stream, &cancel, &mut |piece| count += piece.len());
            assert_eq!(received.expect("the keys are right"), Received::Data);
        }
        stream.send(b"!", wait(&cancel)).expect("the server reads");
    }
    server.join().expect("it does not panic");
}

#[test]
fn what_comes_with_the_handshake_is_not_lost() {
    // A server of TLS 1.3 may send data before the client has finished its handshake.
    let (mut stream, server) = connect(&[&TLS13], |mut server| {
        (server.conn.writer().write_all(b"welcome")).expect("it is kept until then");
        shake_hands(&mut server);
        server.conn.send_close_notify();
        server.flush().expect("the client reads");
    });
    server.join().expect("it does not panic");
    assert_eq!(
        receive_all(&mut stream).expect("it ends properly"),
        b"welcome"
    );
}

#[test]
fn a_peer_that_does_not_read_is_given_up() {
    let (release, released) = crossbeam_channel::bounded::<()>(0);
    let (mut stream, server) = connect(&[&TLS13], move |mut server| {
        shake_hands(&mut server);
        let _ = released.recv();
        drop(server);
    });
    let cancel = Cancel::new();
    let limit = Duration::from_millis(300);
    let what = "room";
    let endless = vec![0; 64 << 20];
    let error = stream
        .send(
            &endless,
            Wait {
                cancel: &cancel,
                limit,
                what,
            },
        )
        .expect_err("nobody reads");
    assert!(matches!(error, FetchError::Unreachable(_)), "{error:?}");
    drop(release);
    server.join().expect("it does not panic");
}
