//! An HTTP proxy that knows CONNECT alone, and nothing of what goes through it.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::TcpStream;

use super::listen::{Door, Listening};
use super::lock;
use super::wire::{Control, Stream};

/// A proxy on a port of 127.0.0.1, served by threads of its own until it is dropped.
#[derive(Debug)]
pub struct ProxyServer {
    proxy: Arc<Proxy>,
    listening: Listening,
}

#[derive(Debug, Default)]
struct Proxy {
    authorization: Option<String>,
    /// The status of every answer from now on, or 0.
    refusal: AtomicU16,
    targets: Mutex<Vec<String>>,
}

impl ProxyServer {
    /// A proxy for everyone.
    pub fn start() -> ProxyServer {
        ProxyServer::serve(Proxy::default())
    }

    /// A proxy for this user.
    pub fn with_password(user: &str, password: &str) -> ProxyServer {
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        ProxyServer::serve(Proxy {
            authorization: Some(format!("Basic {credentials}")),
            ..Proxy::default()
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// Its address as a URL, without credentials.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The places to which connections were asked for, refused ones too.
    pub fn connects(&self) -> Vec<String> {
        lock(&self.proxy.targets).clone()
    }

    /// Refuses everything from now on with this status.
    pub fn refuse(&self, status: u16) {
        self.proxy.refusal.store(status, Ordering::Relaxed);
    }

    fn serve(proxy: Proxy) -> ProxyServer {
        let proxy = Arc::new(proxy);
        let serving = Arc::clone(&proxy);
        let serve = move |stream, _: Arc<Control>| -> Pin<Box<dyn Future<Output = ()> + Send>> {
            let proxy = Arc::clone(&serving);
            Box::pin(async move {
                // None is a client or a target that has gone.
                connect(&proxy, stream).await;
            })
        };
        let door = Arc::new(Door::new(None, None));
        ProxyServer {
            proxy,
            listening: Listening::start(1, door, Arc::new(serve)),
        }
    }
}

async fn connect(proxy: &Proxy, mut client: Stream) -> Option<()> {
    let mut head = Vec::new();
    // A byte at a time: what follows the head is for the target.
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16_384 {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let target = lines.next()?.strip_prefix("CONNECT ")?.split(' ').next()?;
    lock(&proxy.targets).push(target.to_owned());
    let mut fields = lines.filter_map(|line| line.split_once(':'));
    let given = fields.find(|(name, _)| name.eq_ignore_ascii_case("proxy-authorization"));
    let refusal = proxy.refusal.load(Ordering::Relaxed);
    let status = match &proxy.authorization {
        _ if refusal != 0 => refusal,
        Some(wanted) if given.is_none_or(|(_, value)| value.trim() != wanted) => 407,
        _ => 200,
    };
    let server = match status {
        200 => TcpStream::connect(target).await,
        _ => Err(std::io::ErrorKind::ConnectionRefused.into()),
    };
    let Ok(mut server) = server else {
        let status = if status == 200 { 502 } else { status };
        let answer = format!("HTTP/1.1 {status} Refused\r\ncontent-length: 0\r\n\r\n");
        client.write_all(answer.as_bytes()).await.ok()?;
        return client.shutdown().await.ok();
    };
    drop(server.set_nodelay(true));
    let answer = b"HTTP/1.1 200 Connection established\r\n\r\n";
    client.write_all(answer).await.ok()?;
    copy_bidirectional(&mut client, &mut server).await.ok()?;
    Some(())
}
