//! The way to the server: connecting, other protocols, a proxy.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use chunk_restore::{Cancel, Error, ErrorKind, OpenOptions};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with};

use crate::server::Server;
use crate::{Identity, SNAPSHOT, chain, pinned, within};

const LIMIT: Duration = Duration::from_secs(60);

fn listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has ports");
    let port = listener.local_addr().expect("it is bound").port();
    (listener, port)
}

fn open(options: OpenOptions, port: u16) -> Result<(), Error> {
    let datastore = options
        .attempts(1)
        .open(&format!("https://localhost:{port}/store"))?;
    datastore.snapshot(SNAPSHOT).map(|_| ())
}

#[test]
fn a_plain_http_server_is_recognized() {
    within(LIMIT, || {
        let (listener, port) = listener();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody comes");
            stream.read_exact(&mut [0; 64]).expect("it says something");
            let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).expect("it listens");
            // Until the client has read that and gone: an earlier close would reset the connection.
            std::io::copy(&mut stream, &mut std::io::sink()).ok();
        });
        let error = open(OpenOptions::new(), port).expect_err("that is no TLS");
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(chain(&error).contains("plain HTTP"), "{error:?}");
        server.join().expect("it does not panic");
    });
}

#[test]
fn a_handshake_that_stalls_times_out_and_can_be_cancelled() {
    within(LIMIT, || {
        let (listener, port) = listener();
        let options = OpenOptions::new().tls_timeout(Duration::from_millis(300));
        let error = open(options, port).expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(
            chain(&error).contains("waited 300ms for the TLS handshake"),
            "{error:?}"
        );
        drop(listener.accept());

        let cancel = Cancel::new();
        let options = OpenOptions::new().cancel(&cancel);
        let waiting = thread::spawn(move || open(options, port));
        let (mut stream, _) = listener.accept().expect("somebody comes");
        // The first message is there, so it is the answer that is waited for.
        stream.read_exact(&mut [0; 64]).expect("it comes at once");
        let cancelled = Instant::now();
        cancel.cancel();
        let error = waiting
            .join()
            .expect("it does not panic")
            .expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
        assert!(cancelled.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn a_handshake_that_is_cut_is_tried_again() {
    within(LIMIT, || {
        let identity = Identity::new();
        let server = Server::start(&identity, |_| None);
        let (listener, port) = listener();
        let to = server.port;
        // Hangs up on the first, passes on the second.
        thread::spawn(move || {
            drop(listener.accept());
            let (stream, _) = listener.accept().expect("it is tried again");
            join(
                stream,
                TcpStream::connect(("127.0.0.1", to)).expect("the server lives"),
            );
        });
        let options = pinned(&identity).attempts(2);
        let datastore = options
            .open(&format!("https://localhost:{port}/"))
            .expect("it is a URL");
        datastore.snapshot(SNAPSHOT).expect("the second try works");
    });
}

#[test]
fn a_connect_that_nobody_answers_times_out_and_can_be_cancelled() {
    within(LIMIT, || {
        // A listener that accepts nobody, with its queue full: the kernel drops whoever comes next.
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)
            .expect("a socket can be made");
        bind(&socket, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("loopback has ports");
        listen(&socket, 0).expect("it is bound");
        let address = SocketAddr::try_from(getsockname(&socket).expect("it is bound"))
            .expect("it is an IP address");
        let mut queue = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            queue.push(stream);
        }
        let place = format!("https://{address}/");
        let options = OpenOptions::new().connect_timeout(Duration::from_millis(300));
        let datastore = options.attempts(1).open(&place).expect("it is a URL");
        let error = datastore.snapshot(SNAPSHOT).expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(
            chain(&error).contains("cannot connect to 127.0.0.1"),
            "{error:?}"
        );

        let cancel = Cancel::new();
        let datastore = OpenOptions::new()
            .cancel(&cancel)
            .open(&place)
            .expect("it is a URL");
        let waiting = thread::spawn(move || datastore.snapshot(SNAPSHOT).map(|_| ()));
        let cancelled = Instant::now();
        cancel.cancel();
        let error = waiting
            .join()
            .expect("it does not panic")
            .expect_err("nobody answers");
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error:?}");
        assert!(cancelled.elapsed() < Duration::from_secs(1));
    });
}

#[test]
fn a_refused_connection_and_an_unknown_host_are_said() {
    within(LIMIT, || {
        let (listener, port) = listener();
        drop(listener);
        let error = open(OpenOptions::new(), port).expect_err("nobody listens");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        let options = OpenOptions::new().attempts(1);
        let datastore = options
            .open("https://no-such-host.invalid/")
            .expect("it is a URL");
        let error = datastore
            .snapshot(SNAPSHOT)
            .expect_err("there is no such host");
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(chain(&error).contains("no-such-host.invalid"), "{error:?}");
    });
}

#[test]
fn a_proxy_is_asked_to_connect() {
    within(LIMIT, || {
        let identity = Identity::new();
        let server = Server::start(&identity, |_| None);
        let to = server.port;
        let (listener, port) = listener();
        let proxy = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("somebody comes");
            let request = read_head(&mut stream);
            stream
                .write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .expect("it listens");
            join(
                stream,
                TcpStream::connect(("127.0.0.1", to)).expect("the server lives"),
            );
            request
        });
        let options = pinned(&identity).proxy(format!("http://me:s3cret@127.0.0.1:{port}"));
        assert!(!format!("{options:?}").contains("s3cret"), "{options:?}");
        let datastore = options.open(&server.url()).expect("it is a URL");
        datastore
            .snapshot(SNAPSHOT)
            .expect("the proxy passes it on");
        drop(datastore);
        let request = proxy.join().expect("it does not panic");
        let line = format!("CONNECT localhost:{to} HTTP/1.1\r\n");
        assert!(request.starts_with(&line), "{request}");
        assert!(
            request.contains("Proxy-Authorization: Basic bWU6czNjcmV0\r\n"),
            "{request}"
        );
    });
}

#[test]
fn a_proxy_that_refuses_is_told_apart_from_one_that_fails() {
    for (answer, kind) in [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
            ErrorKind::Denied,
        ),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", ErrorKind::Unavailable),
        (
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nnot there",
            ErrorKind::Denied,
        ),
        (
            "HTTP/1.1 407 Sign In\r\nContent-Length: 900\r\n\r\n<html>half a page",
            ErrorKind::Denied,
        ),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n", ErrorKind::Unavailable),
        ("", ErrorKind::Unavailable),
    ] {
        within(LIMIT, move || {
            let (listener, port) = listener();
            let proxy = thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("somebody comes");
                read_head(&mut stream);
                stream.write_all(answer.as_bytes()).expect("it listens");
            });
            let options = OpenOptions::new().proxy(format!("me:s3cret@127.0.0.1:{port}"));
            let error = open(options, 1).expect_err("it does not pass us on");
            assert_eq!(error.kind(), kind, "{error:?}");
            let text = chain(&error);
            assert!(text.contains("the proxy 127.0.0.1"), "{text}");
            if answer.contains("not there") {
                assert!(
                    text.contains("403 (Forbidden) for localhost:1: not there"),
                    "{text}"
                );
            }
            assert!(!text.contains("half"), "{text}");
            assert!(!text.contains("s3cret"), "{text}");
            proxy.join().expect("it does not panic");
        });
    }
    let error = open(OpenOptions::new().proxy("socks5://me:s3cret@host"), 1).expect_err("not HTTP");
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!chain(&error).contains("s3cret"), "{error:?}");
}

fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream
            .read_exact(&mut byte)
            .expect("the request comes whole");
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("a request is text")
}

/// Passes bytes both ways until both have ended.
fn join(left: TcpStream, right: TcpStream) {
    let copy = |from: &TcpStream, to: &TcpStream| {
        let (mut from, mut to) = (
            from.try_clone().expect("it is open"),
            to.try_clone().expect("it is open"),
        );
        thread::spawn(move || {
            std::io::copy(&mut from, &mut to).ok();
            to.shutdown(std::net::Shutdown::Write).ok();
        })
    };
    let there = copy(&left, &right);
    copy(&right, &left).join().expect("copying does not panic");
    there.join().expect("copying does not panic");
}
