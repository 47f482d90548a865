//! A web server on a thread: it serves a folder over TLS, and does wrong what it is told to. Knows nothing of the crate.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::identity::Identity;

/// What is done wrong with one answer.
pub(crate) enum Fault {
    /// This status and these header lines, each with its line end; the body says `no`.
    Status(&'static str, &'static str),
    /// No content length: the body comes in chunks.
    Chunked,
    /// No content length: the body ends with the connection.
    Unframed,
    /// So many bytes more in the body than there should be.
    Longer(usize),
    /// The answer ends after so many bytes, with a proper close of TLS.
    CloseAt(usize),
    /// The connection ends after so many bytes.
    CutAt(usize),
    /// No content length, and the connection ends in the middle of the body.
    UnframedCut,
    /// Nothing comes after so many bytes.
    StallAt(usize),
    /// After so many bytes they come one by one, until the client has enough of it.
    TrickleAt(usize),
    /// This text and nothing of the file.
    Say(String),
    /// This beginning of an answer, and then this piece again and again with so long a pause, until the client has enough
    /// of it.
    Endless(&'static str, String, Duration),
}

/// A request as the server saw it.
pub(crate) struct Call {
    pub(crate) path: String,
    /// How often the path was asked for, this time included.
    pub(crate) nth: usize,
    pub(crate) authorization: Option<String>,
}

type Script = dyn Fn(&Call) -> Option<Fault> + Send + Sync;

pub(crate) struct Server {
    pub(crate) port: u16,
    state: Arc<State>,
    /// Gets a message whenever the server begins to stall.
    pub(crate) stalled: Receiver<()>,
    // Dropped with the server, which lets the stalling threads go.
    _release: Sender<()>,
}

struct State {
    root: PathBuf,
    tls: Arc<ServerConfig>,
    script: Box<Script>,
    accepted: AtomicUsize,
    /// Bytes of endless answers.
    flooded: AtomicUsize,
    calls: Mutex<HashMap<String, usize>>,
    stop: AtomicBool,
    stalled: Sender<()>,
    released: Receiver<()>,
}

impl Server {
    pub(crate) fn start(
        identity: &Identity,
        script: impl Fn(&Call) -> Option<Fault> + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("loopback has ports");
        let port = listener.local_addr().expect("it is bound").port();
        let (stalled_sender, stalled) = unbounded();
        let (release, released) = unbounded();
        let state = Arc::new(State {
            root: Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/datastore"),
            tls: identity.server_config(),
            script: Box::new(script),
            accepted: AtomicUsize::new(0),
            flooded: AtomicUsize::new(0),
            calls: Mutex::default(),
            stop: AtomicBool::new(false),
            stalled: stalled_sender,
            released,
        });
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                shared.accepted.fetch_add(1, Ordering::SeqCst);
                let state = Arc::clone(&shared);
                // A client may go away at any time.
                thread::spawn(move || state.serve(stream).ok());
            }
        });
        Server {
            port,
            state,
            stalled,
            _release: release,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}/", self.port)
    }

    /// How many connections were made.
    pub(crate) fn accepted(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// How many bytes of endless answers the system took.
    pub(crate) fn flooded(&self) -> usize {
        self.state.flooded.load(Ordering::SeqCst)
    }

    /// How many requests were made.
    pub(crate) fn calls(&self) -> usize {
        let calls = self.state.calls.lock().expect("no thread panics with it");
        calls.values().sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl State {
    fn serve(&self, socket: TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let tls = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(tls, socket);
        while let Some(call) = self.read_call(&mut stream)? {
            let fault = (self.script)(&call);
            if !self.answer(&mut stream, &call, fault)? {
                break;
            }
        }
        stream.conn.send_close_notify();
        stream.flush()?;
        stream.sock.shutdown(Shutdown::Write)
    }

    fn read_call(&self, stream: &mut impl Read) -> io::Result<Option<Call>> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if stream.read(&mut byte)? == 0 {
                return Ok(None);
            }
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).map_err(io::Error::other)?;
        let mut lines = head.lines();
        let path = lines.next().and_then(|line| line.split(' ').nth(1));
        let path = path.ok_or(io::ErrorKind::InvalidData)?.to_owned();
        let authorization = lines
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))
            .map(|(_, value)| value.to_owned());
        let mut calls = self.calls.lock().expect("no thread panics with it");
        let nth = calls.entry(path.clone()).or_default();
        *nth += 1;
        Ok(Some(Call {
            path,
            nth: *nth,
            authorization,
        }))
    }

    /// Says whether the connection can go on.
    fn answer(
        &self,
        stream: &mut StreamOwned<ServerConnection, TcpStream>,
        call: &Call,
        fault: Option<Fault>,
    ) -> io::Result<bool> {
        if let Some(Fault::Endless(start, piece, pause)) = &fault {
            return self.flood(stream, start, piece, *pause);
        }
        let (status, mut body) = match fs::read(self.root.join(&call.path[1..])) {
            Ok(body) => ("200 OK", body),
            Err(_) => ("404 Not Found", b"no".to_vec()),
        };
        if let Some(Fault::Longer(more)) = fault {
            body.resize(body.len() + more, 0);
        }
        let len = body.len();
        let mut bytes = match fault {
            Some(Fault::Status(status, headers)) => {
                format!("HTTP/1.1 {status}\r\n{headers}Content-Length: 2\r\n\r\nno").into_bytes()
            }
            Some(Fault::Say(ref text)) => {
                let len = text.len();
                format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\n\r\n{text}").into_bytes()
            }
            Some(Fault::Unframed | Fault::UnframedCut) => {
                format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n").into_bytes()
            }
            Some(Fault::Chunked) => {
                format!("HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n").into_bytes()
            }
            _ => format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\n\r\n").into_bytes(),
        };
        match fault {
            Some(Fault::Status(..) | Fault::Say(_)) => {}
            Some(Fault::Chunked) => {
                for piece in body.chunks(10_000) {
                    bytes.extend(format!("{:x}\r\n", piece.len()).bytes());
                    bytes.extend(piece);
                    bytes.extend(b"\r\n");
                }
                bytes.extend(b"0\r\n\r\n");
            }
            _ => bytes.append(&mut body),
        }
        let end = match fault {
            Some(
                Fault::CloseAt(end)
                | Fault::CutAt(end)
                | Fault::StallAt(end)
                | Fault::TrickleAt(end),
            ) => end,
            Some(Fault::UnframedCut) => bytes.len() - 10,
            _ => bytes.len(),
        };
        let is_whole = end >= bytes.len();
        assert!(!is_whole || !matches!(fault, Some(Fault::StallAt(_) | Fault::CutAt(_))));
        stream.write_all(&bytes[..end.min(bytes.len())])?;
        stream.flush()?;
        match fault {
            Some(Fault::CutAt(_) | Fault::UnframedCut) => {
                stream.sock.shutdown(Shutdown::Both)?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Some(Fault::StallAt(_)) => {
                let _ = self.stalled.send(());
                let _ = self.released.recv();
                Ok(false)
            }
            Some(Fault::TrickleAt(end)) => {
                // The pause is the fault itself: a byte each tenth of the limit is no progress.
                for byte in &bytes[end..] {
                    thread::sleep(Duration::from_millis(60));
                    stream.write_all(&[*byte])?;
                    stream.flush()?;
                }
                Ok(false)
            }
            Some(Fault::CloseAt(_) | Fault::Unframed) => Ok(false),
            _ => Ok(true),
        }
    }

    fn flood(
        &self,
        stream: &mut StreamOwned<ServerConnection, TcpStream>,
        start: &str,
        piece: &str,
        pause: Duration,
    ) -> io::Result<bool> {
        stream.write_all(start.as_bytes())?;
        stream.flush()?;
        let _ = self.stalled.send(());
        loop {
            stream.write_all(piece.as_bytes())?;
            stream.flush()?;
            self.flooded.fetch_add(piece.len(), Ordering::SeqCst);
            // The pause is the fault itself, where there is one.
            thread::sleep(pause);
        }
    }
}
