//! The servers of a round, in a process of their own: what they take is no part of what the client takes, and what they
//! remember ends with the round.

use std::env;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio, exit};
use std::sync::Arc;

use testkit::{Folder, PbsServer, S3Fault, S3Options, S3Server, StaticServer};

use crate::round::{Kind, Place, Planned, Round};
use crate::store::{Disk, digests};

/// The argument that makes this program serve a round.
const ASKED: &str = "soak-peers";

/// A process that ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Peers {
    child: Child,
    /// One for each place.
    pub(crate) peers: Vec<Peer>,
}

/// What a client must know of a server.
#[derive(Debug)]
pub(crate) struct Peer {
    /// A repository, a URL, or a datastore in a bucket.
    pub(crate) place: String,
    pub(crate) fingerprint: String,
    pub(crate) endpoint: String,
}

impl Peers {
    pub(crate) fn start(round: &Round, folder: &Path) -> Peers {
        let program = env::current_exe().expect("a program knows itself");
        let mut child = Command::new(program)
            .arg(ASKED)
            .arg(round.seed.to_string())
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a program can be run again");
        let output = child.stdout.take().expect("it is piped");
        let lines = BufReader::new(output).lines().map_while(io::Result::ok);
        let peers: Vec<Peer> = lines
            .take(round.places.len())
            .map(|line| peer(&line))
            .collect();
        assert_eq!(
            peers.len(),
            round.places.len(),
            "the servers start: {round}"
        );
        Peers { child, peers }
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

fn peer(line: &str) -> Peer {
    let mut words = line.split('\t').map(str::to_owned);
    let mut word = || words.next().unwrap_or_default();
    Peer {
        place: word(),
        fingerprint: word(),
        endpoint: word(),
    }
}

/// Serves a round until the standard input ends and exits, if [`Peers`] started this program; else does nothing.
pub(crate) fn serve_if_asked() {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() != Some(ASKED) {
        return;
    }
    let seed = arguments.next().and_then(|seed| seed.parse().ok());
    let round = Round::new(seed.expect("a round has a seed"));
    let folder = arguments.next().expect("there is a datastore");
    let started = round
        .places
        .iter()
        .map(|place| Server::start(place, round.disk, &folder));
    let servers: Vec<Server> = started.collect();
    for server in &servers {
        println!("{}", server.line());
    }
    io::stdout().flush().expect("somebody listens");
    drop(io::stdin().lock().read_to_end(&mut Vec::new()));
    exit(0);
}

enum Server {
    /// A folder needs none.
    None,
    Pbs(PbsServer),
    Https(StaticServer),
    S3(S3Server),
}

impl Server {
    fn start(place: &Place, disk: Disk, folder: &str) -> Server {
        let source = Arc::new(Folder::new(folder));
        let server = match place.kind {
            Kind::Folder | Kind::DamagedFolder => Server::None,
            Kind::Pbs => Server::Pbs(PbsServer::start(source)),
            Kind::Https => Server::Https(StaticServer::https(source)),
            Kind::S3 => Server::S3(S3Options::new().https(source)),
        };
        let digests = digests(folder.as_ref(), disk);
        for planned in &place.faults {
            server.plan(planned.clone(), &digests);
        }
        server
    }

    fn plan(&self, planned: Planned, digests: &[[u8; 32]]) {
        match (self, planned) {
            (Server::Pbs(server), Planned::Chunk(position, when, fault)) => {
                server.on_chunk(&digests[position], when, fault);
            }
            (Server::Pbs(server), Planned::Any(when, fault)) => server.on_any_chunk(when, fault),
            (Server::Pbs(server), Planned::Session(when, fault)) => server.on_session(when, fault),
            (Server::Pbs(server), Planned::Connection(when, fault)) => {
                server.on_connection(when, fault);
            }
            (Server::Https(server), Planned::Chunk(position, when, fault)) => {
                server.on_chunk(&digests[position], when, fault);
            }
            (Server::Https(server), Planned::Any(when, fault)) => server.on_any(when, fault),
            (Server::Https(server), Planned::Connection(when, fault)) => {
                server.on_connection(when, fault);
            }
            (Server::S3(server), Planned::Chunk(position, when, fault)) => {
                server.on_chunk(&digests[position], when, S3Fault::Web(fault));
            }
            (Server::S3(server), Planned::Any(when, fault)) => {
                server.on_any(when, S3Fault::Web(fault));
            }
            (_, planned) => unreachable!("{planned:?} is planned only where it can be"),
        }
    }

    fn line(&self) -> String {
        match self {
            Server::None => String::new(),
            Server::Pbs(server) => {
                format!("{}\t{}", server.repository("store1"), server.fingerprint())
            }
            Server::Https(server) => format!("{}\t{}", server.url(), server.fingerprint()),
            Server::S3(server) => {
                format!(
                    "{}\t{}\t{}",
                    S3Server::PLACE,
                    server.fingerprint(),
                    server.endpoint()
                )
            }
        }
    }
}
