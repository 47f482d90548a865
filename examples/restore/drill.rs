//! What a drill looks at and what it found: the facts for its reports.

use chunk_restore::format::Namespace;
use chunk_restore::{Damage, Event, Report, Sample, Snapshot};
use jiff::Timestamp;
use nix::unistd::{Uid, User};
use serde_json::Value;

use crate::damage;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::verified_table::Counts;

/// The most lost chunks of an archive that reports name; the others are counted.
pub(crate) const DAMAGE_MAX: usize = 1000;

/// For how many bad chunks the chance is told that the drill met none of them.
pub(crate) const BAD_CHUNKS: [u64; 4] = [1, 10, 100, 1000];

/// A drill, from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Drill {
    pub(crate) began: Timestamp,
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) place: String,
    pub(crate) namespace: String,
    pub(crate) sample: Option<Sample>,
    /// With a record: how many days its entries count.
    pub(crate) max_age_days: Option<u16>,
    pub(crate) snapshots: Vec<Checked>,
    /// Groups without a finished snapshot.
    pub(crate) unfinished: Vec<String>,
    pub(crate) counts: Counts,
    pub(crate) seconds: f64,
    pub(crate) exit: Exit,
    /// What ended the drill early.
    pub(crate) failure: Option<Told>,
}

/// A snapshot that was to be verified.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) namespace: String,
    /// The name of its group.
    pub(crate) group: String,
    /// Its own name, unless it could not be opened.
    pub(crate) name: Option<String>,
    pub(crate) age_seconds: Option<i64>,
    /// `checked`, `not checked` (no key was at hand) or `none`.
    pub(crate) signature: &'static str,
    /// The fingerprint of its key.
    pub(crate) key: Option<String>,
    pub(crate) archives: Vec<Part>,
    /// Why it could not be opened.
    pub(crate) failure: Option<Told>,
}

/// An archive or small file of a snapshot, with what was found as far as the verification came.
#[derive(Debug, Default)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) len: u64,
    pub(crate) skipped: u64,
    pub(crate) zeros: u64,
    pub(crate) chunks: u64,
    /// The size of the blobs that were read. A small file has none.
    pub(crate) bytes_read: u64,
    pub(crate) seconds: f64,
    /// How many chunks are lost.
    pub(crate) lost: usize,
    /// The first lost chunks: those that reports name.
    pub(crate) damage: Vec<Damage>,
    /// Why it is not all right.
    pub(crate) failure: Option<Told>,
}

/// A failure, as it is told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) exit: Exit,
    pub(crate) text: String,
    pub(crate) facts: Value,
}

impl Told {
    pub(crate) fn of(failure: &Failure) -> Told {
        Told {
            exit: failure.exit(),
            text: failure.reason(),
            facts: failure.facts(),
        }
    }
}

impl Drill {
    pub(crate) fn begin(place: String, namespace: String) -> Drill {
        let uid = Uid::current();
        let user = User::from_uid(uid).ok().flatten();
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Drill {
            began: Timestamp::now(),
            user: user.map_or_else(|| uid.to_string(), |user| user.name),
            host: host.trim().to_owned(),
            place,
            namespace,
            sample: None,
            max_age_days: None,
            snapshots: Vec::new(),
            unfinished: Vec::new(),
            counts: Counts::default(),
            seconds: 0.0,
            exit: Exit::Done,
            failure: None,
        }
    }

    pub(crate) fn is_damaged(&self) -> bool {
        self.snapshots.iter().any(Checked::is_damaged)
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.snapshots.iter().map(Checked::bytes_read).sum()
    }

    /// The share of all chunks that this run or a late one looked at. It is not known of a drill that
    /// ended early, since other archives may have more chunks, nor where no chunk was met.
    pub(crate) fn share(&self) -> Option<f64> {
        let all = self.counts.all();
        let is_known = self.failure.is_none() && all > 0;
        is_known.then(|| self.counts.covered() as f64 / all as f64)
    }

    /// For some numbers of bad chunks, the chance that the drill met none of them, if the share is
    /// known.
    pub(crate) fn chances(&self) -> impl Iterator<Item = (u64, f64)> {
        let (all, covered) = (self.counts.all(), self.counts.covered());
        let most = self.share().map_or(0, |_| all);
        let numbers = BAD_CHUNKS.into_iter().filter(move |bad| *bad <= most);
        numbers.map(move |bad| (bad, chance_to_miss(all, covered, bad)))
    }
}

/// The chance that `bad` of `all` chunks, at random, are all among those that were not looked at:
/// C(all - covered, bad) / C(all, bad), by the hypergeometric distribution.
fn chance_to_miss(all: u64, covered: u64, bad: u64) -> f64 {
    let unseen = all.saturating_sub(covered);
    if bad > unseen {
        return 0.0;
    }
    (0..bad)
        .map(|n| (unseen - n) as f64 / (all - n) as f64)
        .product()
}

impl Checked {
    pub(crate) fn unopened(namespace: &Namespace, group: &str) -> Checked {
        Checked {
            namespace: namespace.to_string(),
            group: group.to_owned(),
            name: None,
            age_seconds: None,
            signature: "none",
            key: None,
            archives: Vec::new(),
            failure: None,
        }
    }

    pub(crate) fn open(&mut self, snapshot: &Snapshot, has_keys: bool, now: Timestamp) {
        let manifest = snapshot.manifest();
        self.group = snapshot.name().group().to_string();
        self.name = Some(snapshot.name().to_string());
        self.age_seconds = Some(now.as_second().saturating_sub(snapshot.name().time()));
        self.signature = match (manifest.is_signed(), has_keys) {
            (false, _) => "none",
            (true, false) => "not checked",
            (true, true) => "checked",
        };
        self.key = manifest.key_fingerprint().map(|key| key.to_string());
    }

    /// The snapshot's name, or that of its group where it could not be opened.
    pub(crate) fn label(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.group)
    }

    /// The label, with the namespace before it.
    pub(crate) fn full_name(&self) -> String {
        match self.namespace.is_empty() {
            true => self.label().to_owned(),
            false => format!("{}: {}", self.namespace, self.label()),
        }
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.archives.iter().map(|part| part.bytes_read).sum()
    }

    pub(crate) fn lost(&self) -> usize {
        self.archives.iter().map(|part| part.lost).sum()
    }

    /// Whether any of its stored data is damaged, missing or unreadable.
    fn is_damaged(&self) -> bool {
        let told = self.archives.iter().map(|part| &part.failure);
        let mut told = told.chain([&self.failure]).flatten();
        self.lost() > 0 || told.any(|told| told.exit == Exit::Integrity)
    }

    pub(crate) fn is_right(&self) -> bool {
        self.failure.is_none() && self.archives.iter().all(|part| part.failure.is_none())
    }
}

impl Part {
    pub(crate) fn named(name: &str) -> Part {
        Part {
            name: name.to_owned(),
            ..Part::default()
        }
    }

    pub(crate) fn observe(&mut self, event: &Event<'_>) {
        match event {
            Event::Progress(report) => self.take(report),
            Event::Lost(damage) => {
                self.lost += 1;
                if self.damage.len() < DAMAGE_MAX {
                    self.damage.push((*damage).clone());
                }
            }
            _ => {}
        }
    }

    /// Takes the figures of a report; its damage was told by events.
    pub(crate) fn take(&mut self, report: &Report) {
        (self.len, self.skipped, self.zeros) = (report.len, report.skipped, report.zeros);
        (self.chunks, self.bytes_read) = (report.chunks, report.fetched);
        self.seconds = report.elapsed.as_secs_f64();
    }

    /// A line for each lost chunk that is named, and one for the others.
    pub(crate) fn damage_lines(&self) -> String {
        let mut text: String = (self.damage.iter())
            .map(|damage| damage::text(damage) + "\n")
            .collect();
        let more = self.lost - self.damage.len();
        if more > 0 {
            text += &format!("and {more} more\n");
        }
        text
    }
}
