//! What is measured, as data. Knows nothing of how.

use std::fmt;

pub(crate) const KIB: u64 = 1 << 10;
pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const GIB: u64 = 1 << 30;
pub(crate) const TIB: u64 = 1 << 40;

/// Where a datastore is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    Directory,
    Https,
    Pbs,
    S3,
}

/// What is on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Content {
    Typical,
    Zstd,
    Incompressible,
    /// A typical one, encrypted.
    Encrypted,
    Zeros,
    Repeats,
}

/// A disk's image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    pub(crate) content: Content,
    pub(crate) len: u64,
    pub(crate) chunk: u64,
}

/// Where restored bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sink {
    Null,
    File,
    /// A pipe that another process reads.
    Stream,
}

/// One restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cell {
    pub(crate) place: Place,
    pub(crate) disk: Disk,
    /// By how many milliseconds each request is late.
    pub(crate) latency: u64,
    /// 0 is the default; on a directory it is the number of threads.
    pub(crate) in_flight: usize,
    /// 0 is the default.
    pub(crate) threads: usize,
    /// That the process may use; 0 is all there are.
    pub(crate) cores: usize,
    /// Whether the process keeps to the first core, and the server to the last one.
    pub(crate) is_pinned: bool,
    /// In bytes a second; 0 is without a limit.
    pub(crate) rate: u64,
    pub(crate) sink: Sink,
    /// In bytes; 0 is the default.
    pub(crate) memory: u64,
}

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// Bytes of a disk.
    pub(crate) len: u64,
    /// Bytes of the disk of zeros that goes to a sparse file.
    pub(crate) sparse: u64,
    /// Bytes of the disk of zeros that has more chunks than any.
    pub(crate) huge: u64,
    /// Chunks for each that is in flight, where latency is all.
    pub(crate) laps: u64,
    /// Bytes a second where the rate has a limit: half a minute for a disk.
    pub(crate) rate: u64,
    /// How often each cell is measured.
    pub(crate) rounds: usize,
    /// Pairs behind each ratio.
    pub(crate) pairs: usize,
}

impl Scale {
    pub(crate) const FULL: Scale = Scale {
        len: GIB,
        sparse: 64 * GIB,
        huge: 16 * TIB,
        laps: 30,
        rate: GIB / 30,
        rounds: 5,
        pairs: 9,
    };

    /// Only to see that all of it runs.
    pub(crate) const TRIAL: Scale = Scale {
        len: 16 * MIB,
        sparse: GIB,
        huge: 64 * GIB,
        laps: 2,
        rate: 128 * MIB,
        rounds: 1,
        pairs: 1,
    };
}

impl Disk {
    pub(crate) fn new(content: Content, len: u64) -> Disk {
        let chunk = 4 * MIB;
        Disk {
            content,
            len,
            chunk,
        }
    }

    /// Small random chunks, so that latency is all.
    pub(crate) fn small(len: u64) -> Disk {
        Disk {
            content: Content::Incompressible,
            len,
            chunk: 64 * KIB,
        }
    }

    /// The same, as many for each that is in flight.
    pub(crate) fn laps(in_flight: usize, scale: Scale) -> Disk {
        Disk::small(scale.laps * in_flight as u64 * 64 * KIB)
    }
}

impl Cell {
    pub(crate) fn new(place: Place, disk: Disk, latency: u64, in_flight: usize) -> Cell {
        Cell {
            place,
            disk,
            latency,
            in_flight,
            threads: 0,
            cores: 0,
            is_pinned: false,
            rate: 0,
            sink: Sink::Null,
            memory: 0,
        }
    }

    pub(crate) fn into(self, sink: Sink) -> Cell {
        Cell { sink, ..self }
    }

    /// With so many threads, one chunk in flight for each.
    pub(crate) fn threads(self, threads: usize) -> Cell {
        Cell {
            threads,
            in_flight: threads,
            ..self
        }
    }

    pub(crate) fn cores(self, cores: usize) -> Cell {
        Cell { cores, ..self }
    }

    /// With a core for the process and one for the server, so that neither is in the other's caches.
    pub(crate) fn pinned(self) -> Cell {
        Cell {
            cores: 1,
            is_pinned: true,
            ..self
        }
    }

    pub(crate) fn rate(self, rate: u64) -> Cell {
        Cell { rate, ..self }
    }

    pub(crate) fn memory(self, memory: u64) -> Cell {
        Cell { memory, ..self }
    }

    /// The same with one chunk in flight.
    pub(crate) fn serial(self) -> Cell {
        Cell {
            in_flight: 1,
            ..self
        }
    }
}

/// Chunks in flight that the curves show.
pub(crate) const IN_FLIGHT: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Milliseconds that the curves show.
pub(crate) const LATENCIES: [u64; 3] = [0, 7, 50];

/// The cells of the curves: speed and cost against chunks in flight.
pub(crate) fn curve(scale: Scale, latency: u64) -> impl Iterator<Item = Cell> {
    let typical = Disk::new(Content::Typical, scale.len);
    IN_FLIGHT
        .into_iter()
        .map(move |in_flight| Cell::new(Place::Pbs, typical, latency, in_flight))
}

/// Every cell.
pub(crate) fn cells(scale: Scale) -> Vec<Cell> {
    use Content::{Encrypted, Incompressible, Repeats, Typical, Zeros, Zstd};
    use Place::{Directory, Https, Pbs, S3};
    let disk = |content| Disk::new(content, scale.len);
    let typical = disk(Typical);
    let mut cells: Vec<Cell> = LATENCIES
        .into_iter()
        .flat_map(|latency| curve(scale, latency))
        .collect();
    for content in [Zstd, Incompressible, Encrypted, Zeros, Repeats] {
        cells.push(Cell::new(Pbs, disk(content), 7, 16));
    }
    for in_flight in [1, 16, 64] {
        cells.push(Cell::new(Pbs, Disk::small(scale.len / 64), 50, in_flight));
    }
    for sink in [Sink::File, Sink::Stream] {
        cells.push(Cell::new(Pbs, typical, 7, 16).into(sink));
    }
    cells.push(Cell::new(Pbs, typical, 7, 0).memory(32 * MIB));
    for (place, latency, in_flight) in [
        (Https, 7, 16),
        (Https, 50, 1),
        (Https, 50, 16),
        (S3, 50, 1),
        (S3, 50, 16),
    ] {
        cells.push(Cell::new(place, typical, latency, in_flight));
    }
    for content in [Typical, Zstd, Incompressible, Encrypted, Zeros, Repeats] {
        cells.push(Cell::new(Directory, disk(content), 0, 0));
    }
    for sink in [Sink::File, Sink::Stream] {
        cells.push(Cell::new(Directory, typical, 0, 0).into(sink));
    }
    cells
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Place::Directory => "directory",
            Place::Https => "https",
            Place::Pbs => "pbs",
            Place::S3 => "s3",
        })
    }
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Content::Typical => "typical",
            Content::Zstd => "zstd",
            Content::Incompressible => "incompressible",
            Content::Encrypted => "encrypted",
            Content::Zeros => "zeros",
            Content::Repeats => "repeats",
        })
    }
}

impl fmt::Display for Cell {
    /// Its name: `pbs-typical-7ms-16`, then what is not as usual: `-512threads`, `-1core`, `-pinned`, `-64k`, `-file`, `-32MiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.place, self.disk.content)?;
        if self.place != Place::Directory {
            write!(f, "-{}ms", self.latency)?;
        }
        match self.in_flight {
            0 => f.write_str("-default")?,
            in_flight => write!(f, "-{in_flight}")?,
        }
        if self.threads > 0 {
            write!(f, "-{}threads", self.threads)?;
        }
        if self.is_pinned {
            f.write_str("-pinned")?;
        } else if self.cores > 0 {
            write!(f, "-{}core", self.cores)?;
        }
        if self.rate > 0 {
            write!(f, "-{}MiB/s", self.rate / MIB)?;
        }
        if self.disk.chunk < MIB {
            write!(f, "-{}k", self.disk.chunk / KIB)?;
        }
        match self.sink {
            Sink::Null => {}
            Sink::File => f.write_str("-file")?,
            Sink::Stream => f.write_str("-stream")?,
        }
        match self.memory {
            0 => Ok(()),
            memory => write!(f, "-{}MiB", memory / MIB),
        }
    }
}
