//! A datastore as PBS 4 keeps it in an S3 bucket: presigned GETs, whose signatures are checked, and listings. Knows
//! nothing of what is in the objects.

mod listing;
mod options;
mod signature;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use http::header::HOST;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;

use self::listing::Query;
pub use self::options::S3Options;
use self::signature::pairs;
use super::certificate::Identity;
use super::fault::{Fault, Faults, When};
use super::http1::{PlayBody, respond};
use super::listen::{Door, Listening, Open};
use super::lock;
use super::play::Play;
use super::source::{Source, read};
use super::url::{parse_digest, percent_decoded};
use super::wire::{Control, Stream};
use crate::key::hex;

/// An S3 server on a port of 127.0.0.1, with one bucket and in it one datastore.
#[derive(Debug)]
pub struct S3Server {
    endpoint: String,
    fingerprint: String,
    s3: Arc<S3>,
    listening: Listening,
}

/// What an S3 server does instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum S3Fault {
    /// What any web server may do.
    Web(Fault),
    /// A refusal in S3's own form.
    Refusal {
        /// The status.
        status: u16,
        /// Such as `SlowDown`.
        code: &'static str,
        /// The seconds of Retry-After.
        retry_after: Option<u64>,
    },
}

/// What an S3 server has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct S3Counts {
    /// TCP connections.
    pub connections: u64,
    /// Requests.
    pub requests: u64,
    /// Requests whose signature was refused.
    pub denied: u64,
    /// Requests that were refused since there were too many at once.
    pub slowed: u64,
}

struct S3 {
    options: S3Options,
    source: Arc<dyn Source>,
    objects: Faults<String, S3Fault>,
    any: Faults<(), S3Fault>,
    door: Arc<Door>,
    waiting: AtomicU64,
    denied: AtomicU64,
    slowed: AtomicU64,
    signatures: Mutex<Vec<String>>,
}

impl S3Server {
    /// The bucket.
    pub const BUCKET: &str = "backups";
    /// The datastore's name, which all keys in the bucket begin with.
    pub const STORE: &str = "store1";
    /// The place as a user names it.
    pub const PLACE: &str = "s3://backups/store1";
    /// The access key's ID.
    pub const ACCESS_KEY: &str = "AKIDTESTKIT";
    /// The access key's secret.
    pub const SECRET_KEY: &str = "secret+key/Aeng4oow";

    /// Where it is, without a `/` at the end.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// SHA-256 of its certificate, as PBS writes it: `aa:bb:..`; empty without TLS.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// From now on wants this session token with the key: the one before has expired.
    pub fn set_token(&self, token: &str) {
        *lock(&self.s3.options.verifier.token) = Some(token.to_owned());
    }

    /// Plans a fault for requests of the object with this key below the datastore, such as `.cnt/vm/1/..`.
    pub fn on_object(&self, key: &str, when: When, fault: S3Fault) {
        self.s3.objects.add(key.to_owned(), when, fault);
    }

    /// Plans a fault for requests of this chunk.
    pub fn on_chunk(&self, digest: &[u8; 32], when: When, fault: S3Fault) {
        let name = hex(digest);
        self.on_object(&format!(".chunks/{}/{name}", &name[..4]), when, fault);
    }

    /// Plans a fault for requests, whatever they ask for.
    pub fn on_any(&self, when: When, fault: S3Fault) {
        self.s3.any.add((), when, fault);
    }

    /// The signatures of all requests so far, right and wrong ones.
    pub fn signatures(&self) -> Vec<String> {
        lock(&self.s3.signatures).clone()
    }

    /// What has happened so far.
    pub fn counts(&self) -> S3Counts {
        S3Counts {
            connections: self.s3.door.faults.count(&()),
            requests: self.s3.any.count(&()),
            denied: self.s3.denied.load(Ordering::Relaxed),
            slowed: self.s3.slowed.load(Ordering::Relaxed),
        }
    }
}

impl S3Server {
    fn start(options: S3Options, source: Arc<dyn Source>, identity: Option<Identity>) -> S3Server {
        let tls = (identity.as_ref()).map(|identity| identity.server_config(false));
        let scheme = if tls.is_some() { "https" } else { "http" };
        let door = Arc::new(Door::new(tls, None));
        let s3 = Arc::new(S3 {
            options,
            source,
            objects: Faults::new(),
            any: Faults::new(),
            door: Arc::clone(&door),
            waiting: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            slowed: AtomicU64::new(0),
            signatures: Mutex::default(),
        });
        let serving = Arc::clone(&s3);
        let serve = move |stream, control| -> Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(serve(Arc::clone(&serving), stream, control))
        };
        let listening = Listening::start(2, door, Arc::new(serve));
        S3Server {
            endpoint: format!("{scheme}://{}", listening.address()),
            fingerprint: identity.map_or_else(String::new, |identity| identity.fingerprint()),
            s3,
            listening,
        }
    }
}

impl fmt::Debug for S3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3").finish_non_exhaustive()
    }
}

async fn serve(s3: Arc<S3>, stream: Stream, control: Arc<Control>) {
    let answer = service_fn(|request| answer(&s3, request, &control));
    // An error is a client that went, or a fault.
    drop(
        http1::Builder::new()
            .serve_connection(TokioIo::new(stream), answer)
            .await,
    );
}

async fn answer(
    s3: &Arc<S3>,
    request: Request<Incoming>,
    control: &Arc<Control>,
) -> io::Result<Response<PlayBody>> {
    let _waiting = Open::new(&s3.waiting);
    let is_too_many = s3.waiting.load(Ordering::Relaxed) > s3.options.most_at_once;
    let any = s3.any.next(&());
    if !s3.options.latency.is_zero() {
        tokio::time::sleep(s3.options.latency).await;
    }
    let play = find(s3, &request, any, is_too_many).await;
    let date = http_date(s3.options.verifier.now());
    respond(play.header("date", date), control).await
}

async fn find(
    s3: &Arc<S3>,
    request: &Request<Incoming>,
    any: Option<S3Fault>,
    is_too_many: bool,
) -> Play {
    if request.method() != Method::GET {
        return refusal(405, "MethodNotAllowed", "");
    }
    let host = request.headers().get(HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let uri = request.uri();
    let query = uri.query().unwrap_or_default();
    let signatures = pairs(query).into_iter();
    let signatures = signatures.filter(|(name, _)| name == "X-Amz-Signature");
    lock(&s3.signatures).extend(signatures.map(|(_, value)| value));
    if let Err(denial) = s3.options.verifier.check(uri.path(), query, host) {
        s3.denied.fetch_add(1, Ordering::Relaxed);
        let details = format!("<Message>{}</Message>{}", denial.message, denial.details);
        return refusal(denial.status, denial.code, &details);
    }
    let path = percent_decoded(uri.path());
    // The bucket is the first part of the host's name, where that is one of ours, or of the path.
    let in_path = match host.strip_prefix(S3Server::BUCKET) {
        Some(rest) if rest.starts_with('.') => Some(path.trim_start_matches('/')),
        _ => path
            .strip_prefix(&format!("/{}", S3Server::BUCKET))
            .and_then(|rest| rest.strip_prefix('/')),
    };
    let Some(key) = in_path else {
        return refusal(
            404,
            "NoSuchBucket",
            "<Message>The specified bucket does not exist</Message>",
        );
    };
    let prefix = format!("{}/", S3Server::STORE);
    let key = key.strip_prefix(&prefix).unwrap_or(key).to_owned();
    let fault = s3.objects.next(&key).or(any);
    let web = match fault {
        Some(S3Fault::Refusal {
            status,
            code,
            retry_after,
        }) => {
            let play = refusal(status, code, "");
            return match retry_after {
                Some(seconds) => play.header("retry-after", seconds.to_string()),
                None => play,
            };
        }
        Some(S3Fault::Web(fault)) => Some(fault),
        None => None,
    };
    if key.is_empty() {
        let pairs = pairs(query);
        let page = s3.options.page;
        let listing = read(&s3.source, move |source| {
            let paths = source.file_paths().into_iter();
            let mut keys: Vec<String> = paths.map(|path| format!("{prefix}.cnt/{path}")).collect();
            keys.sort();
            let query = Query {
                bucket: S3Server::BUCKET,
                pairs: &pairs,
                page,
            };
            query.page_of(&keys)
        });
        return Play::text(200, listing.await)
            .header("content-type", "application/xml")
            .with(web, "listing");
    }
    if is_too_many {
        s3.slowed.fetch_add(1, Ordering::Relaxed);
        return refusal(
            503,
            "SlowDown",
            "<Message>Please reduce your request rate.</Message>",
        )
        .header("retry-after", "0");
    }
    let name = key.rsplit('/').next().unwrap_or_default().to_owned();
    let bytes = read(&s3.source, move |source| {
        if let Some(chunk) = key.strip_prefix(".chunks/") {
            let (start, name) = chunk.split_once('/')?;
            let digest = parse_digest(name).filter(|_| start == &name[..4])?;
            return source.chunk_bytes(&digest);
        }
        source.file_bytes(key.strip_prefix(".cnt/")?)
    });
    let play = match bytes.await {
        Some(bytes) => Play::ok(bytes).header("content-type", "application/octet-stream"),
        None => refusal(
            404,
            "NoSuchKey",
            "<Message>The specified key does not exist.</Message>",
        ),
    };
    play.with(web, &name)
}

fn refusal(status: u16, code: &str, details: &str) -> Play {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>{details}<RequestId>1</RequestId></Error>"
    );
    // AWS does not say how long its refusals are.
    Play::text(status, text)
        .header("content-type", "application/xml")
        .in_pieces(1000)
}

/// As HTTP writes times.
fn http_date(seconds: i64) -> String {
    let time = Timestamp::from_second(seconds).expect("the year has four digits");
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
