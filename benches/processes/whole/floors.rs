//! The floor: what it costs at the least to read and decode the chunks that a restore fetches, in a bare loop on one
//! thread; and each part of that alone. Knows nothing of order and targets.

use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use chunk_restore::Digest;
use testkit::chunk_digest;

use crate::child::Task;
use crate::floor::Floor;
use crate::measure::{Figures, Used};
use crate::support::bare::Bare;

/// The largest blob is that of a random chunk; zstd's bound and the header are far below this on top.
const EXTRA: usize = 64 << 10;

/// The parts, each by its name.
pub(crate) const PARTS: [&str; 5] = ["TLS", "files", "AES-GCM", "zstd", "SHA-256"];

/// Runs the floor over `tls-floor` or `files-floor`, or one of the [`PARTS`].
pub(crate) fn run(task: &Task, part: &str) -> Figures {
    let largest = task.number("chunk") as usize;
    let chunks = chunks(task);
    let key = task.key();
    let mut figures = if part.to_ascii_lowercase().starts_with("tls") {
        let address = task.text("address").parse().expect("it is an address");
        let mut floor = Floor::connect(address, largest, key.as_ref());
        let paths: Vec<String> = chunks.iter().map(web_path).collect();
        let used = Used::now();
        let fetch = match part {
            "tls-floor" => Floor::fetch,
            _ => Floor::fetch_blob,
        };
        let fetched: usize = paths.iter().map(|path| fetch(&mut floor, path)).sum();
        Figures {
            fetched: fetched as f64,
            ..used.figures()
        }
    } else {
        files(task, part, &chunks, Bare::new(largest, key.as_ref()))
    };
    figures.chunks = chunks.len() as f64;
    figures.logical = task.number("len") as f64;
    figures
}

fn files(task: &Task, part: &str, chunks: &[Digest], mut bare: Bare) -> Figures {
    let folder = Path::new(task.text("folder"));
    let paths: Vec<PathBuf> = chunks
        .iter()
        .map(|digest| folder.join(&web_path(digest)[1..]))
        .collect();
    let mut memory = vec![0; task.number("chunk") as usize + EXTRA];
    // On a page, or the kernel's copy is slow, and the floor none.
    let start = memory.as_ptr().align_offset(4096);
    let (mut fetched, mut cpu) = (0, 0.0);
    let begun = Used::now();
    for path in paths {
        let read = cpu_of(&mut cpu, part == "files", || {
            read(&path, &mut memory[start..])
        });
        let blob = &mut memory[start..][..read];
        fetched += read;
        if part == "files-floor" {
            bare.decode(blob);
            continue;
        }
        cpu_of(&mut cpu, part == "AES-GCM", || bare.decrypt(blob));
        let (header, is_compressed) = bare.shape(blob);
        let payload = &blob[header..];
        if is_compressed {
            let len = cpu_of(&mut cpu, part == "zstd", || bare.decompress(payload));
            cpu_of(&mut cpu, part == "SHA-256", || bare.hash(bare.data(len)));
        } else {
            cpu_of(&mut cpu, part == "SHA-256", || bare.hash(payload));
        }
    }
    let mut figures = begun.figures();
    figures.fetched = fetched as f64;
    if part != "files-floor" {
        figures.cpu = cpu;
    }
    figures
}

/// Adds what a part takes, where it is asked for.
fn cpu_of<T>(cpu: &mut f64, is_asked: bool, work: impl FnOnce() -> T) -> T {
    if !is_asked {
        return work();
    }
    let before = Used::now().cpu;
    let result = work();
    *cpu += Used::now().cpu - before;
    result
}

fn read(path: &Path, space: &mut [u8]) -> usize {
    let mut file = File::open(path).expect("the chunk is there");
    let len = file.metadata().expect("it has a length").len() as usize;
    file.read_exact(&mut space[..len])
        .expect("the chunk is whole");
    len
}

/// The chunks that a restore fetches: all but zeros, each once, in the order of the index.
pub(crate) fn chunks(task: &Task) -> Vec<Digest> {
    let archive = task.local();
    let key = task.key();
    let zeros = vec![0; task.number("chunk") as usize];
    let zeros = Digest::from(chunk_digest(&zeros, key.as_ref()));
    let mut seen = HashSet::from([zeros]);
    let chunks = archive.index().chunks().map(|chunk| chunk.digest);
    chunks.filter(|digest| seen.insert(*digest)).collect()
}

/// Where a web server has a chunk.
pub(crate) fn web_path(digest: &Digest) -> String {
    let name = digest.to_string();
    format!("/.chunks/{}/{name}", &name[..4])
}
