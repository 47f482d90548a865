//! A reader session over HTTP/2, framed and encrypted by one task as PBS does it. Knows nothing of how it was opened.

use std::collections::HashSet;
use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use h2::server::{Builder, SendResponse};
use h2::{Reason, SendStream};
use http::{HeaderMap, Method, Request, Response};
use tokio::io::AsyncReadExt as _;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::{sleep, timeout};

use super::Pbs;
use super::login::refuse;
use super::rest::{deflated, parameters, wants_deflate};
use super::tally::{SessionEnd, Tally};
use super::watched::{Watch, Watched};
use crate::index::{DYNAMIC_MAGIC, FIXED_MAGIC, HEADER};
use crate::key::hex;
use crate::server::listen::Open;
use crate::server::lock;
use crate::server::play::{self, FLUSH, Play, Step};
use crate::server::source::read;
use crate::server::url::parse_digest;
use crate::server::wire::Stream;

/// What a session may do, and has done.
#[derive(Debug)]
pub(crate) struct Session {
    /// Where the snapshot is in the datastore.
    path: String,
    pub(crate) other_index: Option<Bytes>,
    pub(crate) chunks_before_cut: Option<u64>,
    chunks: AtomicU64,
    allowed: Mutex<HashSet<[u8; 32]>>,
}

impl Session {
    pub(crate) fn new(path: String) -> Session {
        Session {
            path,
            other_index: None,
            chunks_before_cut: None,
            chunks: AtomicU64::new(0),
            allowed: Mutex::default(),
        }
    }
}

/// What an answer does to the whole connection.
#[derive(Clone, Copy, Debug)]
enum Command {
    Close,
    Reset,
    GoAway,
    GoAwayNow(u32),
}

/// PBS's windows; it is the client's that matter.
const WINDOW: u32 = 32 << 20;
const MAX_FRAME: u32 = 4 << 20;

/// Serves a session until it ends.
pub(crate) async fn run(pbs: Arc<Pbs>, session: Session, stream: Stream, start: Bytes) {
    Tally::add(&pbs.tally.sessions, 1);
    let _open = Open::new(&pbs.tally.open_sessions);
    let (watched, watch, back) = Watched::new(Arc::clone(&pbs), stream, start);
    let command = talk(&pbs, session, watched, &watch).await;
    let Ok(mut watched) = back.await else { return };
    let read_rest = async {
        let mut rest = [0; 4096];
        while let Ok(1..) = watched.read(&mut rest).await {}
    };
    match command {
        Some(Command::Close) => {
            if let Some(stream) = watched.into_stream() {
                stream.cut().await;
            }
        }
        Some(Command::Reset) => {
            if let Some(mut stream) = watched.into_stream() {
                stream.wire().control().reset();
            }
        }
        // What the client says last may not have come yet.
        None if watch.end().is_some() => {}
        _ => drop(timeout(Duration::from_secs(1), read_rest).await),
    }
    let end = watch.end().filter(|_| command.is_none());
    pbs.tally.ended(end.unwrap_or(SessionEnd::ByServer));
}

/// Answers requests; gives the command that ended the connection, if it was one.
async fn talk(pbs: &Arc<Pbs>, session: Session, stream: Watched, watch: &Watch) -> Option<Command> {
    let mut builder = Builder::new();
    builder
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(MAX_FRAME);
    if let Some(streams) = pbs.options.max_streams {
        builder.max_concurrent_streams(streams);
    }
    if pbs.options.is_version4 {
        builder.max_header_list_size(16_384);
    }
    let mut connection = builder.handshake::<_, Bytes>(stream).await.ok()?;
    let session = Arc::new(session);
    let (commands, mut commanded) = unbounded_channel();
    let mut answers = FuturesUnordered::new();
    let mut goes_away = None;
    loop {
        // The connection comes first: so every request that has arrived is looked at before any answer begins.
        tokio::select! {
            biased;
            request = connection.accept() => {
                let Some(Ok((request, respond))) = request else { return goes_away };
                let request = request.map(drop);
                let is_allowed = session.allows(&request);
                answers.push(Answer {
                    pbs: Arc::clone(pbs),
                    session: Arc::clone(&session),
                    commands: commands.clone(),
                    is_allowed,
                }.run(request, respond));
            }
            Some(command) = commanded.recv() => match command {
                Command::GoAway => connection.graceful_shutdown(),
                Command::GoAwayNow(code) => {
                    connection.abrupt_shutdown(Reason::from(code));
                    goes_away = Some(command);
                }
                command => return Some(command),
            },
            () = storm(watch), if goes_away.is_none() => {
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                goes_away = Some(Command::GoAwayNow(Reason::ENHANCE_YOUR_CALM.into()));
            }
            Some(()) = answers.next(), if !answers.is_empty() => watch.calm(),
        }
    }
}

/// Ends when too many streams were reset. It is looked at whenever the connection has something new.
async fn storm(watch: &Watch) {
    poll_fn(|_| match watch.has_storm() {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

impl Session {
    /// Whether the session may have the chunk that is asked for at this moment.
    fn allows(&self, request: &Request<()>) -> bool {
        let digest = request.uri().query().and_then(digest_of);
        digest.is_some_and(|digest| lock(&self.allowed).contains(&digest))
    }

    fn allow(&self, index: &[u8]) {
        let len = if index.starts_with(&FIXED_MAGIC) {
            32
        } else {
            40
        };
        let entries = index.get(HEADER..).unwrap_or_default().chunks_exact(len);
        let digests = entries.filter_map(|entry| entry.last_chunk().copied());
        lock(&self.allowed).extend(digests);
    }
}

/// One answer in the making.
struct Answer {
    pbs: Arc<Pbs>,
    session: Arc<Session>,
    commands: UnboundedSender<Command>,
    is_allowed: bool,
}

impl Answer {
    async fn run(self, request: Request<()>, respond: SendResponse<Bytes>) {
        let query = request.uri().query();
        let play = match (request.method(), request.uri().path()) {
            (&Method::GET, "/chunk") => self.chunk(query, request.headers()).await,
            (&Method::GET, "/download") => self.download(query).await,
            (&Method::GET, "/speedtest") => Play::ok(Bytes::from(vec![b'A'; 1 << 20])),
            (_, path) => Play::text(404, format!("Path '{path}' not found.")),
        };
        // An error is a client that has gone, or that has reset the stream.
        drop(self.perform(play, respond).await);
    }

    async fn chunk(&self, query: Option<&str>, headers: &HeaderMap) -> Play {
        let pbs = &self.pbs;
        if let Err(text) = parameters(query, &["digest"], &[]) {
            return Play::text(400, text);
        }
        let Some(digest) = query.and_then(digest_of) else {
            let text =
                "parameter verification failed - 'digest': value does not match the regex pattern";
            return Play::text(400, text);
        };
        let tally = &pbs.tally;
        Tally::add(&tally.chunk_requests, 1);
        let _waiting = Open::new(&tally.streams);
        let waiting = tally.streams.load(Ordering::Relaxed);
        tally.max_streams.fetch_max(waiting, Ordering::Relaxed);
        let served = self.session.chunks.fetch_add(1, Ordering::Relaxed);
        if self
            .session
            .chunks_before_cut
            .is_some_and(|chunks| served >= chunks)
        {
            return self.command(Command::Close).await;
        }
        let any = pbs.any_chunk.next(&());
        let fault = pbs.chunks.next(&digest).or(any);
        let name = hex(&digest);
        let latency = pbs.latency();
        if !latency.is_zero() {
            sleep(latency).await;
        }
        if !self.is_allowed {
            return refuse(pbs, &format!("download chunk {name} not allowed")).await;
        }
        let blob = read(&pbs.source, move |source| source.chunk_bytes(&digest)).await;
        let play = match blob {
            Some(blob) => {
                Tally::add(&tally.chunk_bytes, blob.len() as u64);
                Play::ok(blob).header("content-type", "application/octet-stream")
            }
            None if pbs.options.is_version4 => {
                Play::text(400, format!("cannot find chunk with digest {name}"))
            }
            None => play::missing(&name),
        };
        if wants_deflate(headers) && play.status == 200 {
            return deflated(play).with(fault, &name);
        }
        play.with(fault, &name)
    }

    async fn download(&self, query: Option<&str>) -> Play {
        let parameters = match parameters(query, &["file-name"], &[]) {
            Ok(parameters) => parameters,
            Err(text) => return Play::text(400, text),
        };
        let name = parameters["file-name"].clone();
        let is_fixed = name.ends_with(".fidx");
        let is_index = is_fixed || name.ends_with(".didx");
        if name.contains('/') || !(is_index || name.ends_with(".blob")) {
            let text = "parameter verification failed - 'file-name': value does not match the regex pattern";
            return Play::text(400, text);
        }
        let path = format!("{}/{name}", self.session.path);
        let wanted = path.clone();
        let bytes = read(&self.pbs.source, move |source| source.file_bytes(&wanted)).await;
        let fault = self.pbs.files.next(&name);
        let kind = if is_fixed { "fixed" } else { "dynamic" };
        let bytes = match bytes {
            None if is_index => {
                let text = format!(
                    "Unable to open {kind} index \"{path}\" - No such file or directory (os error 2)"
                );
                return Play::text(400, text).with(fault, &name);
            }
            None => {
                let text = format!("open file \"{path}\" failed - not found");
                return Play::text(404, text).with(fault, &name);
            }
            Some(bytes) => match &self.session.other_index {
                Some(other) if is_index => other.clone(),
                _ => bytes,
            },
        };
        let magic = if is_fixed { FIXED_MAGIC } else { DYNAMIC_MAGIC };
        if is_index && !bytes.starts_with(&magic) {
            let text = format!("Unable to open {kind} index \"{path}\" - got unknown magic number");
            return Play::text(400, text).with(fault, &name);
        }
        let play = Play::ok(bytes.clone()).with(fault, &name);
        if is_index && play.status == 200 {
            self.session.allow(&bytes);
        }
        // PBS streams files in such pieces, and never says how long they are.
        play.in_pieces(8192)
    }

    /// Tells the connection what to do, and never comes back.
    async fn command<T>(&self, command: Command) -> T {
        // Where no one listens the connection has ended already.
        self.commands.send(command).ok();
        pending().await
    }

    async fn perform(&self, play: Play, mut respond: SendResponse<Bytes>) -> Result<(), h2::Error> {
        for step in play.before {
            match step {
                Step::Wait(time) => sleep(time).await,
                Step::Stall => pending().await,
                Step::RstStream(code) => {
                    respond.send_reset(Reason::from(code));
                    return Ok(());
                }
                Step::GoAway => {
                    self.commands.send(Command::GoAway).ok();
                }
                step => self.command(command_of(&step)).await,
            }
        }
        let mut response = Response::builder().status(play.status);
        if let Some(len) = play.content_length {
            response = response.header("content-length", len);
        }
        for (name, value) in play.headers {
            response = response.header(name, value);
        }
        let response = response
            .body(())
            .expect("the headers of an answer are valid");
        let mut body = respond.send_response(response, play.body.is_empty())?;
        let mut steps = play.body.into_iter().peekable();
        while let Some(step) = steps.next() {
            let is_last = steps.peek().is_none();
            self.send(step, is_last, &mut body).await?;
        }
        Ok(())
    }

    async fn send(
        &self,
        step: Step,
        is_last: bool,
        body: &mut SendStream<Bytes>,
    ) -> Result<(), h2::Error> {
        match step {
            // Nothing is reserved: the windows cut it into frames, and the chunk is in memory anyway, as with PBS.
            Step::Data(bytes) => return body.send_data(bytes, is_last),
            Step::Trickle(bytes) => {
                for position in 0..bytes.len() {
                    let is_last = is_last && position + 1 == bytes.len();
                    body.send_data(bytes.slice(position..=position), is_last)?;
                    sleep(Duration::from_secs(1)).await;
                }
            }
            Step::Wait(time) => sleep(time).await,
            Step::Stall => pending().await,
            Step::RstStream(code) => {
                sleep(FLUSH).await;
                body.send_reset(Reason::from(code));
            }
            step => {
                sleep(FLUSH).await;
                self.command::<()>(command_of(&step)).await;
            }
        }
        Ok(())
    }
}

fn command_of(step: &Step) -> Command {
    match step {
        Step::Close => Command::Close,
        Step::Reset => Command::Reset,
        Step::GoAway => Command::GoAway,
        Step::GoAwayNow(code) => Command::GoAwayNow(*code),
        step => panic!("{step:?} concerns one stream alone"),
    }
}

/// The digest that a query asks for.
fn digest_of(query: &str) -> Option<[u8; 32]> {
    parse_digest(query.strip_prefix("digest=")?)
}
