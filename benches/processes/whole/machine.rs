//! Where and when it was measured: what a reader must know, and no names. Knows nothing of what was measured.

use std::fmt;
use std::fs;
use std::thread;

use jiff::Timestamp;

/// A machine at a time.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    cpu: String,
    cores: usize,
    memory: u64,
    kernel: String,
    date: String,
}

impl Machine {
    /// This one, now.
    pub(crate) fn here() -> Machine {
        let cpus = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kib = value(&memory, "MemTotal").and_then(|total| total.strip_suffix(" kB"));
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        // What follows the version says who built it.
        let kernel = release.trim().split('-').next().unwrap_or_default();
        Machine {
            cpu: value(&cpus, "model name")
                .unwrap_or("unknown CPU")
                .to_owned(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory: kib.and_then(|kib| kib.parse().ok()).unwrap_or(0) >> 20,
            kernel: kernel.to_owned(),
            date: Timestamp::now().strftime("%Y-%m-%d").to_string(),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Machine {
            cpu,
            cores,
            memory,
            kernel,
            date,
        } = self;
        write!(
            f,
            "{cpu}, {cores} cores, {memory} GiB, Linux {kernel}, {date}"
        )
    }
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}
