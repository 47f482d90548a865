//! What a process took. Knows nothing of what it did.

use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};
use std::fs;
use std::time::Instant;

use crate::cells::{GIB, MIB};

/// What one run took, its process's start and end aside.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) seconds: f64,
    pub(crate) cpu: f64,
    /// Bytes that were restored.
    pub(crate) logical: f64,
    /// Bytes of the blobs that came.
    pub(crate) fetched: f64,
    pub(crate) chunks: f64,
    pub(crate) faults: f64,
    /// Page faults for each chunk of the second half, when all memory was in use once.
    pub(crate) late_faults: f64,
    pub(crate) switches: f64,
    /// The most memory that the process had, in bytes.
    pub(crate) peak: f64,
    /// How far the flow of a while is off at the most, as a share of what it should be.
    pub(crate) uneven: f64,
    /// How long reads took, in seconds: the median, and the 99th percentile.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Dirty pages of the machine at most, beyond those before, in MiB.
    pub(crate) dirty: f64,
    /// By how much the page cache of the machine grew, in MiB.
    pub(crate) cached: f64,
}

impl Figures {
    pub(crate) fn to_json(self) -> Value {
        json!([
            self.seconds,
            self.cpu,
            self.logical,
            self.fetched,
            self.chunks,
            self.faults,
            self.late_faults,
            self.switches,
            self.peak,
            self.uneven,
            self.p50,
            self.p99,
            self.dirty,
            self.cached,
        ])
    }

    pub(crate) fn from_json(value: &Value) -> Figures {
        let at = |at: usize| value[at].as_f64().unwrap_or(f64::NAN);
        Figures {
            seconds: at(0),
            cpu: at(1),
            logical: at(2),
            fetched: at(3),
            chunks: at(4),
            faults: at(5),
            late_faults: at(6),
            switches: at(7),
            peak: at(8),
            uneven: at(9),
            p50: at(10),
            p99: at(11),
            dirty: at(12),
            cached: at(13),
        }
    }

    /// MiB a second.
    pub(crate) fn speed(&self) -> f64 {
        self.logical / MIB as f64 / self.seconds
    }

    /// Fetched MiB a second.
    pub(crate) fn fetched_speed(&self) -> f64 {
        self.fetched / MIB as f64 / self.seconds
    }

    /// CPU-seconds for each GiB that was restored.
    pub(crate) fn cost(&self) -> f64 {
        self.cpu / (self.logical / GIB as f64)
    }

    /// Cores that were busy.
    pub(crate) fn cores(&self) -> f64 {
        self.cpu / self.seconds
    }

    pub(crate) fn faults_per_chunk(&self) -> f64 {
        self.faults / self.chunks
    }

    pub(crate) fn switches_per_chunk(&self) -> f64 {
        self.switches / self.chunks
    }

    pub(crate) fn peak_mib(&self) -> f64 {
        self.peak / MIB as f64
    }
}

/// What this process has used so far, threads that have ended included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    at: Instant,
    pub(crate) cpu: f64,
    pub(crate) faults: f64,
    switches: f64,
}

impl Used {
    pub(crate) fn now() -> Used {
        let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own usage");
        let seconds = |time: nix::sys::time::TimeVal| {
            time.tv_sec() as f64 + time.tv_usec() as f64 / 1_000_000.0
        };
        Used {
            at: Instant::now(),
            cpu: seconds(usage.user_time()) + seconds(usage.system_time()),
            faults: (usage.minor_page_faults() + usage.major_page_faults()) as f64,
            switches: (usage.voluntary_context_switches() + usage.involuntary_context_switches())
                as f64,
        }
    }

    /// What it has used since then.
    pub(crate) fn figures(self) -> Figures {
        let now = Used::now();
        Figures {
            seconds: (now.at - self.at).as_secs_f64(),
            cpu: now.cpu - self.cpu,
            faults: now.faults - self.faults,
            switches: now.switches - self.switches,
            peak: peak(),
            ..Figures::default()
        }
    }
}

/// Unlike that of getrusage it is this program's alone, and not that of the one that started it.
fn peak() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"));
    let kib: Option<f64> = line.and_then(|kib| kib.trim().parse().ok());
    kib.map_or(f64::NAN, |kib| kib * 1024.0)
}
