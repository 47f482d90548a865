//! Does a round: restores once, and checks what comes of it. A round that is done leaves nothing but its file.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use chunk_restore::target::Target;
use chunk_restore::{
    Archive, Cancel, Datastore, ErrorKind, Event, FileTarget, Key, OpenOptions, Report, Restore,
    Result, StreamTarget,
};
use testkit::{PbsServer, Prng, S3Server};

use crate::check::Check;
use crate::peers::{Peer, Peers};
use crate::round::{Kind, Round, Sink};
use crate::store::{NAME, Store};
use crate::support::null::Null;

/// Shorter than the pauses of a trickle.
const PATIENCE: Duration = Duration::from_millis(800);

/// How a round ended that went as it may.
#[derive(Debug)]
pub(crate) enum End {
    Whole,
    /// All but what is damaged, as was asked for.
    Salvaged,
    /// As was asked for, or since something was wrong for good.
    Failed(ErrorKind),
}

/// What a round did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) end: End,
    pub(crate) retries: u64,
    pub(crate) fetched: u64,
}

/// Does a round.
///
/// # Panics
/// A byte is wrong, or it failed for a reason for which it may not.
pub(crate) fn restore(round: &Round, store: &Store) -> Outcome {
    let peers = Peers::start(round, &store.sound());
    let mut seen = Seen::default();
    let restored = open(round, store, &peers.peers)
        .and_then(|archive| into_sink(round, store, &archive, &mut seen));
    let end = match restored {
        Ok(report) if report.damage.is_empty() => End::Whole,
        Ok(_) if round.salvage && !round.is_sound() => End::Salvaged,
        Ok(report) => panic!("{:?}: {round}", report.damage),
        Err(error) => {
            let kind = error.kind();
            let is_expected = match kind {
                ErrorKind::Cancelled => round.cancelled_at.is_some(),
                ErrorKind::Missing
                | ErrorKind::Corrupt
                | ErrorKind::Unavailable
                | ErrorKind::NotFound => !round.is_sound(),
                _ => false,
            };
            assert!(is_expected, "{error:?}: {round}");
            End::Failed(kind)
        }
    };
    Outcome {
        end,
        retries: seen.retries,
        fetched: seen.fetched,
    }
}

fn open(round: &Round, store: &Store, peers: &[Peer]) -> Result<Archive> {
    let places = (round.places.iter().zip(peers)).map(|(place, peer)| {
        let options = match round.disk.key() {
            Some(key) => OpenOptions::new().key(Key::from_bytes(*key.enc_key())),
            None => OpenOptions::new(),
        };
        let served = |options: OpenOptions| {
            let fingerprint = peer.fingerprint.parse();
            options
                .fingerprint(fingerprint.expect("the server says its fingerprint"))
                .progress_timeout(PATIENCE)
                .tls_timeout(PATIENCE)
        };
        match place.kind {
            Kind::Folder => options.open(&format!("dir:{}", store.sound().display())),
            Kind::DamagedFolder => options.open(&format!("dir:{}", store.damaged().display())),
            Kind::Pbs => served(options)
                .password(PbsServer::SECRET)
                .open(&peer.place),
            Kind::Https => served(options).open(&peer.place),
            Kind::S3 => served(options)
                .s3_endpoint(&peer.endpoint)
                .s3_credentials(S3Server::ACCESS_KEY, S3Server::SECRET_KEY, None)
                .open(&peer.place),
        }
    });
    let places: Vec<Datastore> = places.collect::<Result<_>>()?;
    let datastore = Datastore::any_of(places)?;
    datastore.snapshot(round.disk.snapshot())?.archive(NAME)
}

fn into_sink(round: &Round, store: &Store, archive: &Archive, seen: &mut Seen) -> Result<Report> {
    let right = store.bytes(round.disk);
    let path = store.output(round.disk);
    let check = Check::against(&right, round.disk);
    let (report, check) = match round.sink {
        Sink::Null => return run(round, archive, &mut Null, seen),
        Sink::Stream => {
            let mut target = StreamTarget::new(check);
            let report = run(round, archive, &mut target, seen)?;
            (report, target.into_inner())
        }
        Sink::NewFile | Sink::ReplacedFile | Sink::ReusedFile => {
            let mut target = file(round, &path)?;
            let report = run(round, archive, &mut target, seen)?;
            let damaged = path.with_extension("raw.damaged");
            let restored = if report.damage.is_empty() {
                &path
            } else {
                &damaged
            };
            (report, check.of_file(restored))
        }
    };
    if let Err(what) = check.judge(round.disk, &report) {
        panic!("{what}: {round}");
    }
    Ok(report)
}

/// What was cut off before goes on, unless the file is to be a new one.
fn file(round: &Round, path: &Path) -> Result<FileTarget> {
    match round.sink {
        Sink::NewFile => {
            for extension in ["raw", "raw.partial", "raw.damaged"] {
                drop(fs::remove_file(path.with_extension(extension)));
            }
            FileTarget::create(path)
        }
        Sink::ReusedFile if !path.with_extension("raw.partial").exists() => {
            scribble(round, path);
            FileTarget::reuse(path)
        }
        _ => FileTarget::replace(path),
    }
}

/// Changes a byte here and there of a file, if there is one.
fn scribble(round: &Round, path: &Path) {
    let Ok(file) = File::options().write(true).open(path) else {
        return;
    };
    let mut dice = Prng::new(!round.seed);
    for _ in 0..dice.next_u64() % 8 {
        let offset = dice.next_u64() % round.disk.len();
        let written = file.write_all_at(&[dice.next_u64() as u8], offset);
        written.expect("the file can be written");
    }
}

/// What the observer saw, however it ended.
#[derive(Debug, Default)]
struct Seen {
    retries: u64,
    fetched: u64,
}

fn run(
    round: &Round,
    archive: &Archive,
    target: &mut dyn Target,
    seen: &mut Seen,
) -> Result<Report> {
    let cancel = Cancel::new();
    let mut restore = Restore::new()
        .race(round.race)
        .salvage(round.salvage)
        .threads(round.threads)
        .cancel(&cancel);
    if round.memory > 0 {
        restore = restore.memory(round.memory << 20);
    }
    let last = round.cancelled_at.map(|part| round.disk.len() * part / 100);
    restore.run_with(archive, target, |event| match event {
        Event::Retried(_) => seen.retries += 1,
        Event::Progress(report) => {
            seen.fetched = report.fetched;
            if last.is_some_and(|last| report.committed > last) {
                cancel.cancel();
            }
        }
        _ => {}
    })
}
