//! A datastore as a web server publishes it: a tree of files over HTTP/1.1. Knows nothing of what is in them.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::certificate::Identity;
use super::fault::{ConnectionFault, Fault, Faults, When};
use super::http1::{PlayBody, respond};
use super::listen::{Door, Listening, Open};
use super::play::Play;
use super::source::{Source, read};
use super::url::{parse_digest, percent_decoded};
use super::wire::{Control, Stream};
use crate::key::hex;

/// A web server on a port of 127.0.0.1, served by threads of its own until it is dropped.
#[derive(Debug)]
pub struct StaticServer {
    url: String,
    fingerprint: String,
    web: Arc<Web>,
    listening: Listening,
}

/// How a web server is set up.
#[derive(Debug)]
pub struct StaticOptions {
    authorization: Option<String>,
    latency: Duration,
    rate: Option<u64>,
    identity: Option<Identity>,
    requests_per_connection: Option<u64>,
    prefix: String,
    only_tls12: bool,
    threads: usize,
}

/// What a web server has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StaticCounts {
    /// TCP connections, those that failed too.
    pub connections: u64,
    /// TCP connections that are open now.
    pub open_connections: u64,
    /// Requests.
    pub requests: u64,
    /// The most requests that waited for their answer at once.
    pub max_requests: u64,
    /// Answers with 401, unless they are planned faults.
    pub refused: u64,
}

struct Web {
    options: StaticOptions,
    source: Arc<dyn Source>,
    paths: Faults<String, Fault>,
    any: Faults<(), Fault>,
    door: Arc<Door>,
    waiting: AtomicU64,
    max_waiting: AtomicU64,
    refused: AtomicU64,
}

impl StaticServer {
    /// Serves a datastore over TLS.
    pub fn https(source: Arc<impl Source>) -> StaticServer {
        StaticOptions::new().https(source)
    }

    /// Serves a datastore without TLS.
    pub fn http(source: Arc<impl Source>) -> StaticServer {
        StaticOptions::new().http(source)
    }

    /// Where the datastore is, with a `/` at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// SHA-256 of its certificate, as PBS writes it: `aa:bb:..`; empty without TLS.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    /// Plans a fault for requests of this path below the datastore.
    ///
    /// # Panics
    /// There is no such fault in HTTP/1.1.
    pub fn on_path(&self, path: &str, when: When, fault: Fault) {
        check(&fault);
        self.web.paths.add(path.to_owned(), when, fault);
    }

    /// Plans a fault for requests of this chunk.
    ///
    /// # Panics
    /// There is no such fault in HTTP/1.1.
    pub fn on_chunk(&self, digest: &[u8; 32], when: When, fault: Fault) {
        self.on_path(&chunk_path(digest), when, fault);
    }

    /// Plans a fault for requests, whatever they ask for. A fault of the path goes before it.
    ///
    /// # Panics
    /// There is no such fault in HTTP/1.1.
    pub fn on_any(&self, when: When, fault: Fault) {
        check(&fault);
        self.web.any.add((), when, fault);
    }

    /// Plans a fault for TCP connections.
    pub fn on_connection(&self, when: When, fault: ConnectionFault) {
        self.web.door.faults.add((), when, fault);
    }

    /// What has happened so far.
    pub fn counts(&self) -> StaticCounts {
        let web = &self.web;
        StaticCounts {
            connections: web.door.faults.count(&()),
            open_connections: web.door.open.load(Ordering::Relaxed),
            requests: web.any.count(&()),
            max_requests: web.max_waiting.load(Ordering::Relaxed),
            refused: web.refused.load(Ordering::Relaxed),
        }
    }

    /// How often this path was asked for.
    pub fn requests(&self, path: &str) -> u64 {
        self.web.paths.count(&path.to_owned())
    }
}

impl StaticOptions {
    /// A web server that lets everyone read.
    pub fn new() -> StaticOptions {
        StaticOptions {
            authorization: None,
            latency: Duration::ZERO,
            rate: None,
            identity: None,
            requests_per_connection: None,
            prefix: String::new(),
            only_tls12: false,
            threads: 2,
        }
    }

    /// Lets only this user read.
    pub fn basic(mut self, user: &str, password: &str) -> StaticOptions {
        let credentials = STANDARD.encode(format!("{user}:{password}"));
        self.authorization = Some(format!("Basic {credentials}"));
        self
    }

    /// Lets only the bearer of this token read.
    pub fn bearer(mut self, token: &str) -> StaticOptions {
        self.authorization = Some(format!("Bearer {token}"));
        self
    }

    /// How long every request takes.
    pub fn latency(mut self, latency: Duration) -> StaticOptions {
        self.latency = latency;
        self
    }

    /// How many bytes a second each connection may send.
    pub fn rate(mut self, bytes_per_second: u64) -> StaticOptions {
        self.rate = Some(bytes_per_second);
        self
    }

    /// The certificate, instead of a new one that signs itself.
    pub fn identity(mut self, identity: Identity) -> StaticOptions {
        self.identity = Some(identity);
        self
    }

    /// Closes a connection, and says so, after so many requests.
    pub fn requests_per_connection(mut self, requests: u64) -> StaticOptions {
        self.requests_per_connection = Some(requests);
        self
    }

    /// The path of the datastore on the server, such as `/backup`.
    pub fn prefix(mut self, prefix: &str) -> StaticOptions {
        prefix.trim_end_matches('/').clone_into(&mut self.prefix);
        self
    }

    /// Offers no TLS 1.3.
    pub fn tls12_only(mut self) -> StaticOptions {
        self.only_tls12 = true;
        self
    }

    /// How many threads serve.
    pub fn threads(mut self, threads: usize) -> StaticOptions {
        self.threads = threads.max(1);
        self
    }

    /// Serves this datastore over TLS.
    pub fn https(mut self, source: Arc<impl Source>) -> StaticServer {
        let identity = self.identity.take().unwrap_or_else(Identity::self_signed);
        self.start(source, Some(identity))
    }

    /// Serves this datastore without TLS.
    pub fn http(self, source: Arc<impl Source>) -> StaticServer {
        self.start(source, None)
    }

    fn start(self, source: Arc<dyn Source>, identity: Option<Identity>) -> StaticServer {
        let tls = (identity.as_ref()).map(|identity| identity.server_config(self.only_tls12));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let door = Arc::new(Door::new(tls, self.rate));
        let threads = self.threads;
        let web = Arc::new(Web {
            options: self,
            source,
            paths: Faults::new(),
            any: Faults::new(),
            door: Arc::clone(&door),
            waiting: AtomicU64::new(0),
            max_waiting: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        });
        let serving = Arc::clone(&web);
        let serve = move |stream, control| -> Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(serve(Arc::clone(&serving), stream, control))
        };
        let listening = Listening::start(threads, door, Arc::new(serve));
        let (address, prefix) = (listening.address(), &web.options.prefix);
        StaticServer {
            url: format!("{scheme}://{address}{prefix}/"),
            fingerprint: identity.map_or_else(String::new, |identity| identity.fingerprint()),
            web,
            listening,
        }
    }
}

impl Default for StaticOptions {
    fn default() -> StaticOptions {
        StaticOptions::new()
    }
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Web").finish_non_exhaustive()
    }
}

fn check(fault: &Fault) {
    let is_other = matches!(
        fault,
        Fault::TooLong
            | Fault::RstStream(_)
            | Fault::RstInBody(_)
            | Fault::GoAway
            | Fault::GoAwayNow(_)
    );
    assert!(!is_other, "HTTP/1.1 has no {fault:?}");
}

fn chunk_path(digest: &[u8; 32]) -> String {
    let name = hex(digest);
    format!(".chunks/{}/{name}", &name[..4])
}

async fn serve(web: Arc<Web>, stream: Stream, control: Arc<Control>) {
    let requests = AtomicU64::new(0);
    let answer = service_fn(|request| answer(&web, request, &control, &requests));
    // An error is a client that went, or a fault.
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), answer)
            .await,
    );
}

async fn answer(
    web: &Arc<Web>,
    request: Request<Incoming>,
    control: &Arc<Control>,
    requests: &AtomicU64,
) -> io::Result<Response<PlayBody>> {
    let _waiting = Open::new(&web.waiting);
    let waiting = web.waiting.load(Ordering::Relaxed);
    web.max_waiting.fetch_max(waiting, Ordering::Relaxed);
    let any = web.any.next(&());
    if !web.options.latency.is_zero() {
        tokio::time::sleep(web.options.latency).await;
    }
    let mut play = find(web, &request, any).await;
    let count = requests.fetch_add(1, Ordering::Relaxed) + 1;
    if web
        .options
        .requests_per_connection
        .is_some_and(|limit| count >= limit)
    {
        play = play.header("connection", "close");
    }
    respond(play, control).await
}

async fn find(web: &Arc<Web>, request: &Request<Incoming>, any: Option<Fault>) -> Play {
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .map(|value| value.as_bytes());
    if let Some(wanted) = &web.options.authorization
        && given != Some(wanted.as_bytes())
    {
        web.refused.fetch_add(1, Ordering::Relaxed);
        let challenge = if wanted.starts_with("Basic") {
            "Basic realm=\"backup\""
        } else {
            "Bearer"
        };
        return Play::text(401, "unauthorized").header("www-authenticate", challenge);
    }
    if request.method() != Method::GET {
        return Play::text(405, "method not allowed");
    }
    let path = percent_decoded(request.uri().path());
    let path = path
        .strip_prefix(&web.options.prefix)
        .and_then(|path| path.strip_prefix('/'));
    let Some(path) = path.map(str::to_owned) else {
        return Play::text(404, "not found");
    };
    let fault = web.paths.next(&path).or(any);
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let bytes = read(&web.source, move |source| match chunk_digest(&path) {
        Some(digest) => source.chunk_bytes(&digest),
        None => source.file_bytes(&path),
    });
    let play = match bytes.await {
        Some(bytes) => Play::ok(bytes).header("content-type", "application/octet-stream"),
        None => Play::text(404, "not found"),
    };
    play.with(fault, &name)
}

/// The chunk that is at this path.
fn chunk_digest(path: &str) -> Option<[u8; 32]> {
    let (start, name) = path.strip_prefix(".chunks/")?.split_once('/')?;
    let digest = parse_digest(name)?;
    name.starts_with(start).then_some(digest)
}
