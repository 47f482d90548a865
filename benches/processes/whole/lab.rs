//! Datastores, servers for them, and children that restore from those: each is made when it is first needed. Knows
//! nothing of what is compared.

use std::collections::HashMap;
use std::env;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::{
    CryptMode, FixedIndex, Folder, Image, Manifest, ManifestFile, ServerProcess, SnapshotBuilder,
    Store, Workload, sha256,
};

use crate::cells::{Cell, Content, Disk, Place, Sink};
use crate::child::{ASKED, DISK, test_key};
use crate::limits;
use crate::measure::Figures;

const TIME: &str = "2026-01-02T03:04:05Z";

/// One for all, so that an encrypted disk holds the same as a plain one.
const SEED: u64 = 1;

/// All that runs are made with. It is gone when this is dropped.
pub(crate) struct Lab {
    folder: TempDir,
    disks: Vec<Disk>,
    servers: HashMap<(Place, u64, bool), ServerProcess>,
}

impl Lab {
    pub(crate) fn new() -> Lab {
        let folder = TempDir::new().expect("there is room for a temporary folder");
        fs::create_dir(folder.path().join("out")).expect("the folder is new");
        Lab {
            folder,
            disks: Vec::new(),
            servers: HashMap::new(),
        }
    }

    /// Measures a restore.
    pub(crate) fn run(&mut self, cell: Cell) -> Figures {
        self.work("restore", cell)
    }

    /// Measures what a child does with a cell in another way.
    pub(crate) fn work(&mut self, work: &str, cell: Cell) -> Figures {
        let task = self.task(work, cell);
        self.child(task)
    }

    /// Measures the floor under a cell.
    pub(crate) fn floor(&mut self, cell: Cell) -> Figures {
        let part = match cell.place {
            Place::Directory => "files-floor",
            _ => "tls-floor",
        };
        let floor = Cell::new(Place::Https, cell.disk, 0, 1);
        match cell.is_pinned {
            true => self.work(part, floor.pinned()),
            false => self.work(part, floor),
        }
    }

    /// Measures a part of a floor.
    pub(crate) fn part(&mut self, part: &str, disk: Disk) -> Figures {
        self.work(part, Cell::new(Place::Https, disk, 0, 1))
    }

    /// Measures chunks that come late, by so many milliseconds all and by so many more some of them.
    pub(crate) fn late(&mut self, work: &str, cell: Cell, more: u64, races: bool) -> Figures {
        let cell = Cell {
            place: Place::Directory,
            ..cell
        };
        let mut task = self.task(work, cell);
        task["late"] = json!(more);
        task["race"] = json!(u64::from(races));
        self.child(task)
    }

    fn task(&mut self, work: &str, cell: Cell) -> Value {
        let snapshot = self.snapshot(cell.disk);
        let mut task = json!({
            "work": work,
            "place": cell.place.to_string(),
            "sink": match cell.sink {
                Sink::Null => "null",
                Sink::File => "file",
                Sink::Stream => "stream",
            },
            "content": cell.disk.content.to_string(),
            "len": cell.disk.len,
            "chunk": cell.disk.chunk,
            "latency": cell.latency,
            "in_flight": cell.in_flight,
            "threads": cell.threads,
            "cores": cell.cores,
            "rate": cell.rate,
            "memory": cell.memory,
            "folder": self.store().display().to_string(),
            "snapshot": snapshot,
            "output": self.path("out/disk.raw").display().to_string(),
            "result": self.path("out/result").display().to_string(),
        });
        if cell.place != Place::Directory {
            let server = self.server(cell);
            task["address"] = json!(server.address().to_string());
            task["fingerprint"] = json!(server.fingerprint());
            task["url"] = json!(server.place());
        }
        task
    }

    fn child(&self, task: Value) -> Figures {
        let output = self.path("out/disk.raw");
        let program = env::current_exe().expect("a program knows itself");
        let mut child = Command::new(program)
            .args([ASKED, &task.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a program can be run again");
        let mut stream = child.stdout.take().expect("it is piped");
        discard(&mut stream).expect("a pipe can be read");
        let status = child.wait().expect("it was started");
        assert!(status.success(), "{task} ended with {status}");
        let result =
            fs::read_to_string(self.path("out/result")).expect("a child that ends says it");
        // What one run leaves must not be in the way of the next.
        drop(fs::remove_file(output));
        let result = serde_json::from_str(&result).expect("a child writes JSON");
        Figures::from_json(&result)
    }

    fn server(&mut self, cell: Cell) -> &ServerProcess {
        let folder = self.store().display().to_string();
        let key = (cell.place, cell.latency, cell.is_pinned);
        self.servers.entry(key).or_insert_with(|| {
            let latency = cell.latency.to_string();
            let mut arguments = vec!["--folder", &folder, "--latency-ms", &latency];
            arguments.extend(match cell.place {
                Place::Https => Some("--https"),
                Place::S3 => Some("--s3"),
                Place::Pbs | Place::Directory => None,
            });
            let server = ServerProcess::start(&arguments);
            if cell.is_pinned {
                limits::keep_to_last_core(server.id());
            }
            server
        })
    }

    /// The snapshot with a disk.
    fn snapshot(&mut self, disk: Disk) -> String {
        let number = self.disks.iter().position(|made| *made == disk);
        let name = |number: usize| format!("vm/{}/{TIME}", 100 + number);
        if let Some(number) = number {
            return name(number);
        }
        let name = name(self.disks.len());
        let store = Folder::new(self.store());
        match disk.content {
            Content::Zeros => write_zeros(&name, disk, &store),
            _ => write(&name, disk, &store),
        }
        self.disks.push(disk);
        name
    }

    fn store(&self) -> PathBuf {
        self.path("store")
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn write(snapshot: &str, disk: Disk, store: &Folder) {
    let workload = match disk.content {
        Content::Typical | Content::Encrypted => Workload::Typical,
        Content::Zstd => Workload::Zstd,
        Content::Incompressible => Workload::Incompressible,
        Content::Zeros => Workload::Zeros,
        Content::Repeats => Workload::Repeats,
    };
    let mut builder = SnapshotBuilder::new(snapshot);
    if disk.content == Content::Encrypted {
        builder = builder.key(&test_key(), CryptMode::Encrypt);
    }
    let image = Image::new(workload, SEED, disk.len, disk.chunk);
    builder.image(DISK, image).write_to(store);
}

/// The index alone: a restore of zeros fetches nothing, and to hash them here would take longer than all else.
fn write_zeros(snapshot: &str, disk: Disk, store: &Folder) {
    let digest = sha256(&vec![0; disk.chunk as usize]);
    let digests = vec![digest; disk.len.div_ceil(disk.chunk) as usize];
    let index = FixedIndex::new(disk.len, disk.chunk, digests);
    let file = ManifestFile {
        name: format!("{DISK}.fidx"),
        crypt_mode: CryptMode::None,
        size: disk.len,
        csum: index.csum(),
    };
    store.put_file("", snapshot, &file.name, &index.bytes());
    let manifest = Manifest::new(snapshot).file(file).blob();
    store.put_file("", snapshot, "index.json.blob", &manifest);
}

fn discard(stream: &mut impl Read) -> io::Result<()> {
    let mut space = vec![0; 1 << 20];
    while stream.read(&mut space)? > 0 {}
    Ok(())
}
