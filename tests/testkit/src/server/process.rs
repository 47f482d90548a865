//! Servers in a process of their own, so that a measurement sees the client alone. Knows nothing of what is measured.

use std::env;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio, exit};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::fault::{Fault, When};
use super::pbs::{PbsOptions, PbsServer};
use super::s3::{S3Options, S3Server};
use super::url::parse_digest;
use super::web::StaticOptions;
use crate::store::Folder;

/// The argument that makes a program serve.
const ASKED: &str = "testkit-server";

const USAGE: &str = "--folder PATH [--https | --s3] [--store NAME] [--latency-ms N] [--rate BYTES_PER_SECOND] \
    [--user ID=PASSWORD] [--token ID=SECRET] [--v4] [--threads N] [--late CHUNK=MILLISECONDS]";

/// Serves and exits, if [`ServerProcess`] started this program; else does nothing. It must be the first thing in `main`.
pub fn serve_if_asked() {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() == Some(ASKED) {
        let arguments: Vec<String> = arguments.collect();
        if let Err(message) = serve(&arguments) {
            eprintln!("{message}");
            exit(2);
        }
        exit(0);
    }
}

/// Serves as the arguments say until the standard input ends. Prints a line of JSON when it is ready: `address`,
/// `fingerprint`, and `place`, a repository, a URL or a bucket's datastore.
///
/// # Errors
/// The arguments are wrong; the text says how.
pub fn serve(arguments: &[String]) -> Result<(), String> {
    let mut folder = None;
    let (mut over_https, mut as_bucket) = (false, false);
    let mut store = "store1".to_owned();
    let mut pbs = PbsOptions::new();
    let mut web = StaticOptions::new();
    let mut bucket = S3Options::new();
    let mut late = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(name) = arguments.next() {
        match name.as_str() {
            "--https" => {
                over_https = true;
                continue;
            }
            "--s3" => {
                as_bucket = true;
                continue;
            }
            "--v4" => {
                pbs = pbs.version4();
                continue;
            }
            _ => {}
        }
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} has no value; usage: {USAGE}"))?;
        let number = || {
            value
                .parse::<u64>()
                .map_err(|_| format!("{name} {value} is no number"))
        };
        let pair = || {
            value
                .split_once('=')
                .ok_or_else(|| format!("{name} {value} has no ="))
        };
        match name.as_str() {
            "--folder" => folder = Some(value),
            "--store" => {
                pbs = pbs.store(value);
                store.clone_from(value);
            }
            "--latency-ms" => {
                let latency = Duration::from_millis(number()?);
                (pbs, web) = (pbs.latency(latency), web.latency(latency));
                bucket = bucket.latency(latency);
            }
            "--rate" => (pbs, web) = (pbs.rate(number()?), web.rate(number()?)),
            "--threads" => {
                let threads = number()? as usize;
                (pbs, web) = (pbs.threads(threads), web.threads(threads));
            }
            "--user" => {
                let (id, password) = pair()?;
                (pbs, web) = (pbs.user(id, password), web.basic(id, password));
            }
            "--token" => {
                let (id, secret) = pair()?;
                (pbs, web) = (pbs.token(id, secret), web.bearer(secret));
            }
            // Only the first time that it is asked for.
            "--late" => {
                let (digest, delay) = pair()?;
                let digest =
                    parse_digest(digest).ok_or_else(|| format!("{digest} names no chunk"))?;
                let delay = delay.parse().map_err(|_| format!("{delay} is no number"))?;
                late.push((digest, Duration::from_millis(delay)));
            }
            _ => return Err(format!("{name} is unknown; usage: {USAGE}")),
        }
    }
    let folder = folder.ok_or_else(|| format!("there is no --folder; usage: {USAGE}"))?;
    let folder = Arc::new(Folder::new(folder));
    if as_bucket {
        let server = bucket.https(folder);
        wait(server.address(), server.fingerprint(), S3Server::PLACE);
    } else if over_https {
        let server = web.https(folder);
        for (digest, delay) in late {
            server.on_chunk(&digest, When::Nth(1), Fault::Delay(delay));
        }
        wait(server.address(), &server.fingerprint(), server.url());
    } else {
        let server = pbs.start(folder);
        for (digest, delay) in late {
            server.on_chunk(&digest, When::Nth(1), Fault::Delay(delay));
        }
        let repository = server.repository(&store);
        wait(server.address(), &server.fingerprint(), &repository);
    }
    Ok(())
}

fn wait(address: SocketAddr, fingerprint: &str, place: &str) {
    let line =
        json!({ "address": address.to_string(), "fingerprint": fingerprint, "place": place });
    let mut output = io::stdout().lock();
    // Whoever does not read it has gone, and the input ends at once.
    drop(writeln!(output, "{line}").and_then(|()| output.flush()));
    drop(output);
    drop(io::stdin().lock().read_to_end(&mut Vec::new()));
}

/// A server that is this very program, run once more; it ends when this is dropped.
///
/// The program must call [`serve_if_asked`] first. A PBS has the account [`PbsServer::TOKEN`].
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    ready: Value,
    is_frozen: bool,
}

impl ServerProcess {
    /// Starts it with the arguments of the program `pbs-server`.
    ///
    /// # Panics
    /// It does not start; it has then said why.
    pub fn start(arguments: &[&str]) -> ServerProcess {
        let program = env::current_exe().expect("a program knows itself");
        let mut child = Command::new(program)
            .arg(ASKED)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a program can be run again");
        let output = child.stdout.take().expect("it is piped");
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        let ready = read.ok().and_then(|_| serde_json::from_str(&line).ok());
        ServerProcess {
            child,
            ready: ready.expect("the server says where it is"),
            is_frozen: false,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        let address = self.text("address").parse();
        address.expect("the server prints an address")
    }

    /// SHA-256 of its certificate, as PBS writes it.
    pub fn fingerprint(&self) -> &str {
        self.text("fingerprint")
    }

    /// The repository, the URL, or the datastore in its bucket, whose endpoint is `https://` and the address.
    pub fn place(&self) -> &str {
        self.text("place")
    }

    /// The secret of the token in [`place`](ServerProcess::place), if that is a repository.
    pub fn secret(&self) -> &'static str {
        PbsServer::SECRET
    }

    /// The number of the process, to look at its CPU time.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it in the midst of what it does: its connections stay, and nothing more comes over them.
    ///
    /// # Panics
    /// The system has no shell.
    pub fn freeze(&mut self) {
        self.is_frozen = true;
        let status = Command::new("sh")
            .args(["-c", &format!("kill -STOP {}", self.id())])
            .status();
        assert!(status.is_ok_and(|status| status.success()));
    }

    /// Ends it at once, as a loss of power does.
    ///
    /// # Panics
    /// It has ended already.
    pub fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it is ours to wait for");
    }

    fn text(&self, name: &str) -> &str {
        self.ready[name].as_str().expect("the server prints it")
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // It ends when its input does; waiting lets it leave nothing behind. One that was frozen sees no end.
        drop(self.child.stdin.take());
        if self.is_frozen {
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}
