//! The process that is measured: it does one thing, and says what that took. Knows nothing of other runs.

use std::env;
use std::fs;
use std::process::exit;

use chunk_restore::target::Target;
use chunk_restore::{
    Archive, Cancel, Event, FileTarget, Key, OpenOptions, Report, Restore, StreamTarget,
};
use serde_json::Value;
use testkit::{PbsServer, S3Server, TestKey};

use crate::file;
use crate::floors;
use crate::flow;
use crate::late;
use crate::limits;
use crate::measure::{Figures, Used};
use crate::reads;
use crate::support::null::Null;
use crate::together;

/// The argument that makes this program a child.
pub(crate) const ASKED: &str = "whole-child";

/// The disk's name in every snapshot.
pub(crate) const DISK: &str = "disk.img";

/// What a child is to do.
#[derive(Clone, Debug)]
pub(crate) struct Task(pub(crate) Value);

impl Task {
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0[name].as_str().unwrap_or_default()
    }

    pub(crate) fn number(&self, name: &str) -> u64 {
        self.0[name].as_u64().unwrap_or(0)
    }

    pub(crate) fn key(&self) -> Option<TestKey> {
        (self.text("content") == "encrypted").then(test_key)
    }

    fn options(&self) -> OpenOptions {
        match self.key() {
            Some(key) => OpenOptions::new().key(Key::from_bytes(*key.enc_key())),
            None => OpenOptions::new(),
        }
    }

    /// The archive in its folder.
    pub(crate) fn local(&self) -> Archive {
        self.archive(self.options(), &format!("dir:{}", self.text("folder")))
    }

    fn archive(&self, options: OpenOptions, place: &str) -> Archive {
        let datastore = options.open(place);
        let snapshot = datastore.and_then(|datastore| datastore.snapshot(self.text("snapshot")));
        let archive = snapshot.and_then(|snapshot| snapshot.archive(DISK));
        archive.expect("the testkit makes sound datastores")
    }

    /// The archive where the task has it.
    pub(crate) fn remote(&self) -> Archive {
        let address = self.text("address");
        let options = || {
            let fingerprint = self.text("fingerprint").parse();
            self.options()
                .fingerprint(fingerprint.expect("the server says its fingerprint"))
        };
        let options = match self.text("place") {
            "directory" => return self.local(),
            "pbs" => options().password(PbsServer::SECRET),
            "s3" => options()
                .s3_endpoint(format!("https://{address}"))
                .s3_credentials(S3Server::ACCESS_KEY, S3Server::SECRET_KEY, None),
            _ => options(),
        };
        self.archive(options, self.text("url"))
    }

    pub(crate) fn restore(&self) -> Restore {
        let restore = Restore::new()
            .in_flight(self.number("in_flight") as usize)
            .threads(self.number("threads") as usize)
            .rate(self.number("rate"));
        match self.number("memory") {
            0 => restore,
            memory => restore.memory(memory),
        }
    }
}

/// The key of encrypted disks.
pub(crate) fn test_key() -> TestKey {
    TestKey::from_seed(1)
}

/// Does its task and exits, if this program was started as a child; else does nothing.
pub(crate) fn work_if_asked() {
    let mut arguments = env::args().skip(1);
    if arguments.next().as_deref() != Some(ASKED) {
        return;
    }
    let task = arguments.next().expect("a child has a task");
    let task = Task(serde_json::from_str(&task).expect("a task is JSON"));
    // Threads that are started later inherit it.
    limits::keep_to_cores(task.number("cores") as usize);
    let figures = match task.text("work") {
        "restore" => restore(&task),
        "file" => file::filed(&task),
        "disk" => file::disk(&task),
        "even" => flow::even(&task),
        "together" => together::together(&task),
        "apart" => together::apart(&task),
        "row" => reads::row(&task, false),
        "backwards" => reads::row(&task, true),
        "mixed" => reads::mixed(&task),
        "random" => reads::random(&task),
        "filled" => reads::filled(&task),
        "first" => reads::first(&task),
        "cached" => reads::cached(&task),
        "ordered" => late::ordered(&task),
        "unordered" => late::unordered(&task),
        part => floors::run(&task, part),
    };
    let json = figures.to_json().to_string();
    fs::write(task.text("result"), json).expect("there is room for a line");
    exit(0);
}

fn restore(task: &Task) -> Figures {
    let archive = task.remote();
    match task.text("sink") {
        "file" => {
            // The disk of zeros is larger than what is free, and takes no room.
            let target = FileTarget::create(task.text("output")).expect("the folder is there");
            measure(&task.restore(), &archive, &mut target.check_space(false))
        }
        "stream" => {
            let mut target = StreamTarget::stdout(&Cancel::new()).expect("stdout is a pipe");
            measure(&task.restore(), &archive, &mut target)
        }
        _ => measure(&task.restore(), &archive, &mut Null),
    }
}

/// Measures a restore.
pub(crate) fn measure(restore: &Restore, archive: &Archive, target: &mut dyn Target) -> Figures {
    let half = restore.plan(archive).chunks_to_fetch() as u64 / 2;
    let mut middle = None;
    let used = Used::now();
    let report = restore.run_with(archive, target, |event| {
        if let Event::Progress(report) = event
            && middle.is_none()
            && report.chunks >= half
        {
            middle = Some((Used::now().faults, report.chunks));
        }
    });
    let mut figures = used.figures();
    let end = Used::now().faults;
    let report: Report = report.expect("the place is sound");
    figures.logical = report.committed as f64;
    figures.fetched = report.fetched as f64;
    figures.chunks = report.chunks as f64;
    if let Some((faults, chunks)) = middle {
        figures.late_faults = (end - faults) / (report.chunks - chunks) as f64;
    }
    figures
}
