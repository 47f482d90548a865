//! A PBS as its clients see it. Knows nothing of backups: it only lets them be read.

mod catalog;
mod login;
pub mod raw;
mod rest;
mod session;
mod tally;
mod watched;

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use self::login::Accounts;
use self::tally::Tally;
pub use self::tally::{Counts, SessionEnd};
use super::certificate::Identity;
use super::fault::{ConnectionFault, Fault, Faults, SessionFault, When};
use super::listen::{Door, Listening};
use super::lock;
use super::source::Source;

/// A PBS on a port of 127.0.0.1, served by threads of its own until it is dropped.
#[derive(Debug)]
pub struct PbsServer {
    fingerprint: String,
    pbs: Arc<Pbs>,
    listening: Listening,
}

/// How a PBS is set up; what is not set is as PBS 3 has it, without its delays.
#[derive(Debug)]
pub struct PbsOptions {
    store: String,
    accounts: Accounts,
    latency: Duration,
    rate: Option<u64>,
    refusal_delay: Duration,
    hello_limit: Duration,
    is_version4: bool,
    has_host_cookie: bool,
    lists_in_pieces: bool,
    max_streams: Option<u32>,
    identity: Option<Identity>,
    port: u16,
    only_tls12: bool,
    threads: usize,
}

/// What all connections share.
pub(crate) struct Pbs {
    options: PbsOptions,
    source: Arc<dyn Source>,
    /// In microseconds: it may be changed while it is served.
    latency: AtomicU64,
    tickets: Mutex<HashMap<String, String>>,
    tickets_made: AtomicU64,
    chunks: Faults<[u8; 32], Fault>,
    any_chunk: Faults<(), Fault>,
    files: Faults<String, Fault>,
    logins: Faults<(), Fault>,
    lists: Faults<(), Fault>,
    sessions: Faults<(), SessionFault>,
    door: Arc<Door>,
    tally: Tally,
}

impl PbsServer {
    /// A user that always exists.
    pub const USER: &str = "restore@pbs";
    /// The user's password.
    pub const PASSWORD: &str = "pass word/+=%";
    /// An API token that always exists.
    pub const TOKEN: &str = "restore@pbs!ci";
    /// The token's secret.
    pub const SECRET: &str = "a2b8c1d0-3f3e-4d5c-8b7a-6e5f4d3c2b1a";

    /// Serves a datastore under the name `store1`.
    pub fn start(source: Arc<impl Source>) -> PbsServer {
        PbsOptions::new().start(source)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listening.address()
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.address().port()
    }

    /// SHA-256 of its certificate, as PBS writes it: `aa:bb:..`.
    pub fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    /// The repository string of this store for the token [`TOKEN`](PbsServer::TOKEN).
    pub fn repository(&self, store: &str) -> String {
        format!("{}@{}:{store}", PbsServer::TOKEN, self.address())
    }

    /// The repository string of this store for the user [`USER`](PbsServer::USER).
    pub fn user_repository(&self, store: &str) -> String {
        format!("{}@{}:{store}", PbsServer::USER, self.address())
    }

    /// From now on no ticket that was given out is accepted.
    pub fn expire_tickets(&self) {
        lock(&self.pbs.tickets).clear();
    }

    /// How long every chunk request takes from now on.
    pub fn set_latency(&self, latency: Duration) {
        self.pbs.set_latency(latency);
    }

    /// Plans a fault for requests of this chunk.
    pub fn on_chunk(&self, digest: &[u8; 32], when: When, fault: Fault) {
        self.pbs.chunks.add(*digest, when, fault);
    }

    /// Plans a fault for chunk requests, whatever they ask for. A fault of the chunk itself goes before it.
    pub fn on_any_chunk(&self, when: When, fault: Fault) {
        self.pbs.any_chunk.add((), when, fault);
    }

    /// Plans a fault for downloads of files with this name.
    pub fn on_file(&self, name: &str, when: When, fault: Fault) {
        self.pbs.files.add(name.to_owned(), when, fault);
    }

    /// Plans a fault for logins.
    pub fn on_login(&self, when: When, fault: Fault) {
        self.pbs.logins.add((), when, fault);
    }

    /// Plans a fault for lists of snapshots, groups and namespaces.
    pub fn on_list(&self, when: When, fault: Fault) {
        self.pbs.lists.add((), when, fault);
    }

    /// Plans a fault for openings of a reader session, those that are refused for other reasons not counted.
    pub fn on_session(&self, when: When, fault: SessionFault) {
        self.pbs.sessions.add((), when, fault);
    }

    /// Plans a fault for TCP connections.
    pub fn on_connection(&self, when: When, fault: ConnectionFault) {
        self.pbs.door.faults.add((), when, fault);
    }

    /// Forgets all faults that are planned.
    pub fn clear_faults(&self) {
        let pbs = &self.pbs;
        pbs.chunks.clear();
        pbs.any_chunk.clear();
        for faults in [&pbs.logins, &pbs.lists] {
            faults.clear();
        }
        pbs.files.clear();
        pbs.sessions.clear();
        pbs.door.faults.clear();
    }

    /// What has happened so far.
    pub fn counts(&self) -> Counts {
        self.pbs.tally.counts(&self.pbs.door)
    }

    /// How often a reader session was asked for, those that were refused for other reasons than a fault not counted.
    pub fn session_requests(&self) -> u64 {
        self.pbs.sessions.count(&())
    }

    /// How often this chunk was asked for.
    pub fn requests(&self, digest: &[u8; 32]) -> u64 {
        self.pbs.chunks.count(digest)
    }

    /// How often a file of this name was asked for, in any snapshot.
    pub fn file_requests(&self, name: &str) -> u64 {
        self.pbs.files.count(&name.to_owned())
    }

    /// How often each chunk was asked for.
    pub fn requests_by_chunk(&self) -> HashMap<[u8; 32], u64> {
        self.pbs.chunks.counts()
    }

    /// How the sessions ended that have ended, in that order.
    pub fn session_ends(&self) -> Vec<SessionEnd> {
        self.pbs.tally.ends()
    }
}

impl PbsOptions {
    /// A PBS 3 with a store `store1`, and no accounts but those that always exist.
    pub fn new() -> PbsOptions {
        PbsOptions {
            store: "store1".to_owned(),
            accounts: Accounts::new(),
            latency: Duration::ZERO,
            rate: None,
            refusal_delay: Duration::ZERO,
            hello_limit: Duration::from_secs(1),
            is_version4: false,
            has_host_cookie: false,
            lists_in_pieces: false,
            max_streams: None,
            identity: None,
            port: 0,
            only_tls12: false,
            threads: 2,
        }
    }

    /// The name of the datastore.
    pub fn store(mut self, name: &str) -> PbsOptions {
        name.clone_into(&mut self.store);
        self
    }

    /// Adds a user, such as `restore@pbs`.
    pub fn user(mut self, id: &str, password: &str) -> PbsOptions {
        self.accounts.add(id, password).may_read = true;
        self
    }

    /// Adds a token, such as `restore@pbs!ci`.
    pub fn token(self, id: &str, secret: &str) -> PbsOptions {
        self.user(id, secret)
    }

    /// Adds a user, or a token, with a right to one namespace and those below it.
    pub fn only_in_namespace(mut self, id: &str, secret: &str, namespace: &str) -> PbsOptions {
        self.accounts.add(id, secret).only_in = Some(namespace.to_owned());
        self
    }

    /// Adds a user who may sign in and no more.
    pub fn user_without_rights(mut self, id: &str, password: &str) -> PbsOptions {
        self.accounts.add(id, password).may_read = false;
        self
    }

    /// Adds a token that may do nothing.
    pub fn token_without_rights(self, id: &str, secret: &str) -> PbsOptions {
        self.user_without_rights(id, secret)
    }

    /// Adds a user who needs a second factor.
    pub fn tfa_user(mut self, id: &str, password: &str) -> PbsOptions {
        self.accounts.add(id, password).has_second_factor = true;
        self
    }

    /// How long every chunk request takes.
    pub fn latency(mut self, latency: Duration) -> PbsOptions {
        self.latency = latency;
        self
    }

    /// How many bytes a second each connection may send.
    pub fn rate(mut self, bytes_per_second: u64) -> PbsOptions {
        self.rate = Some(bytes_per_second);
        self
    }

    /// How long a 401 takes: with PBS 3 s, here by default no time.
    pub fn refusal_delay(mut self, delay: Duration) -> PbsOptions {
        self.refusal_delay = delay;
        self
    }

    /// How soon after the connect a client must speak, lest it be taken for one without TLS: with PBS 3 in 1 s.
    pub fn hello_limit(mut self, limit: Duration) -> PbsOptions {
        self.hello_limit = limit;
        self
    }

    /// Behaves as PBS 4: 200 streams, headers of at most 16 KiB, 10 s for the ClientHello, other words for a missing chunk.
    pub fn version4(mut self) -> PbsOptions {
        self.is_version4 = true;
        self.max_streams = Some(200);
        self.hello_limit = Duration::from_secs(10);
        self
    }

    /// Gives out tickets only as the cookie `__Host-PBSAuthCookie`, as PBS 4 may.
    pub fn host_cookie(mut self) -> PbsOptions {
        self.has_host_cookie = true;
        self
    }

    /// How many streams a session may have open at once.
    pub fn max_streams(mut self, streams: u32) -> PbsOptions {
        self.max_streams = Some(streams);
        self
    }

    /// Sends lists with `transfer-encoding: chunked`, in small pieces.
    pub fn chunked_listing(mut self) -> PbsOptions {
        self.lists_in_pieces = true;
        self
    }

    /// The port of a server that has ended, to come back there.
    #[must_use]
    pub fn port(mut self, port: u16) -> PbsOptions {
        self.port = port;
        self
    }

    /// The certificate, instead of a new one that signs itself.
    pub fn identity(mut self, identity: Identity) -> PbsOptions {
        self.identity = Some(identity);
        self
    }

    /// Offers no TLS 1.3.
    pub fn tls12_only(mut self) -> PbsOptions {
        self.only_tls12 = true;
        self
    }

    /// How many threads serve.
    pub fn threads(mut self, threads: usize) -> PbsOptions {
        self.threads = threads.max(1);
        self
    }

    /// Serves this datastore.
    pub fn start(mut self, source: Arc<impl Source>) -> PbsServer {
        let identity = self.identity.take().unwrap_or_else(Identity::self_signed);
        let tls = identity.server_config(self.only_tls12);
        let mut door = Door::new(Some(tls), self.rate);
        door.hello_limit = self.hello_limit;
        door.port = self.port;
        let door = Arc::new(door);
        let (threads, latency) = (self.threads, self.latency);
        let pbs = Arc::new(Pbs {
            options: self,
            source,
            latency: AtomicU64::new(0),
            tickets: Mutex::default(),
            tickets_made: AtomicU64::new(0),
            chunks: Faults::new(),
            any_chunk: Faults::new(),
            files: Faults::new(),
            logins: Faults::new(),
            lists: Faults::new(),
            sessions: Faults::new(),
            door: Arc::clone(&door),
            tally: Tally::default(),
        });
        pbs.set_latency(latency);
        let serving = Arc::clone(&pbs);
        let serve = move |stream, control| -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> {
            Box::pin(rest::serve(Arc::clone(&serving), stream, control))
        };
        PbsServer {
            fingerprint: identity.fingerprint(),
            pbs,
            listening: Listening::start(threads, door, Arc::new(serve)),
        }
    }
}

impl Default for PbsOptions {
    fn default() -> PbsOptions {
        PbsOptions::new()
    }
}

impl Pbs {
    fn set_latency(&self, latency: Duration) {
        self.latency
            .store(latency.as_micros() as u64, Ordering::Relaxed);
    }

    fn latency(&self) -> Duration {
        Duration::from_micros(self.latency.load(Ordering::Relaxed))
    }
}

impl fmt::Debug for Pbs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pbs").finish_non_exhaustive()
    }
}
