//! Accepts connections in the background until it is dropped. Knows nothing of what they are for.

use std::fmt;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::fault::{ConnectionFault, Faults};
use super::wire::{Control, Limit, Stream, Wire};

/// How connections are accepted.
#[derive(Debug)]
pub(crate) struct Door {
    /// 0 for any that is free.
    pub(crate) port: u16,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// When the ClientHello must have come.
    pub(crate) hello_limit: Duration,
    /// Bytes a second that each connection may send.
    pub(crate) rate: Option<u64>,
    pub(crate) faults: Faults<(), ConnectionFault>,
    pub(crate) open: AtomicU64,
    pub(crate) late_hellos: AtomicU64,
}

impl Door {
    pub(crate) fn new(tls: Option<Arc<ServerConfig>>, rate: Option<u64>) -> Door {
        Door {
            port: 0,
            tls,
            hello_limit: Duration::from_secs(10),
            rate,
            faults: Faults::new(),
            open: AtomicU64::new(0),
            late_hellos: AtomicU64::new(0),
        }
    }
}

/// What is done with a connection.
pub(crate) type Serve =
    Arc<dyn Fn(Stream, Arc<Control>) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// A port of 127.0.0.1 and the threads that serve it.
pub(crate) struct Listening {
    address: SocketAddr,
    runtime: Option<Runtime>,
}

impl Listening {
    pub(crate) fn start(threads: usize, door: Arc<Door>, serve: Serve) -> Listening {
        let runtime = Builder::new_multi_thread()
            .worker_threads(threads)
            .thread_name("testkit-server")
            .enable_all()
            .build()
            .expect("the system has threads left");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, door.port)));
        let listener = listener.expect("the system has ports left");
        let address = listener.local_addr().expect("it is bound");
        runtime.spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    // The process has no file descriptors left; some will be closed.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                };
                let (door, serve) = (Arc::clone(&door), Arc::clone(&serve));
                tokio::spawn(async move {
                    let _open = Open::new(&door.open);
                    connection(stream, &door, serve).await;
                });
            }
        });
        Listening {
            address,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(2));
        }
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listening").field(&self.address).finish()
    }
}

/// Counts something while it is there.
#[derive(Debug)]
pub(crate) struct Open<'a>(&'a AtomicU64);

impl Open<'_> {
    pub(crate) fn new(count: &AtomicU64) -> Open<'_> {
        count.fetch_add(1, Ordering::Relaxed);
        Open(count)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn connection(stream: TcpStream, door: &Door, serve: Serve) {
    // Where that fails the connection is gone already.
    drop(stream.set_nodelay(true));
    let limit = match door.faults.next(&()) {
        None => None,
        Some(ConnectionFault::CutAfter(len)) => Some((len, Limit::Cut)),
        Some(ConnectionFault::ResetAfter(len)) => Some((len, Limit::Reset)),
        Some(ConnectionFault::StallAfter(len)) => Some((len, Limit::Stall)),
        Some(ConnectionFault::TrickleAfter(len)) => Some((len, Limit::Trickle)),
        Some(ConnectionFault::Close) => return,
        Some(ConnectionFault::Reset) => return drop(stream.set_zero_linger()),
        Some(ConnectionFault::StallInTls) => return read_to_end(stream).await,
        Some(ConnectionFault::PlainHttp) => return plain_http(stream).await,
        Some(ConnectionFault::Garbage) => return garbage(stream).await,
    };
    let Some(tls) = &door.tls else {
        let wire = Wire::new(stream, door.rate, limit);
        let control = wire.control();
        return serve(Stream::Plain(wire), control).await;
    };
    let mut first = [0];
    match timeout(door.hello_limit, stream.peek(&mut first)).await {
        Ok(Ok(1)) if first == [TLS_HANDSHAKE] => {}
        Ok(Ok(1)) => return plain_http(stream).await,
        Ok(_) => return,
        Err(_) => {
            door.late_hellos.fetch_add(1, Ordering::Relaxed);
            return plain_http(stream).await;
        }
    }
    let wire = Wire::new(stream, door.rate, limit);
    let control = wire.control();
    let accept = TlsAcceptor::from(Arc::clone(tls)).accept(wire);
    if let Ok(Ok(tls)) = timeout(Duration::from_secs(30), accept).await {
        serve(Stream::Tls(Box::new(tls)), control).await;
    }
}

/// The type of a record that begins a TLS connection.
const TLS_HANDSHAKE: u8 = 22;

async fn read_to_end(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}

/// Answers whatever comes, as a server that takes it for HTTP.
async fn plain_http(mut stream: TcpStream) {
    let mut buffer = [0; 4096];
    if let Ok(1..) = stream.read(&mut buffer).await {
        let answer = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
        drop(stream.write_all(answer).await);
        drop(stream.shutdown().await);
        read_to_end(stream).await;
    }
}

async fn garbage(mut stream: TcpStream) {
    drop(stream.write_all(&[0xa5; 512]).await);
    read_to_end(stream).await;
}
