//! What the system lets a process have. Knows nothing of what it does with it.

use std::fs;

use rustix::process::{Pid, Resource, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// As many open files as can be had, for the processes that this one starts too: a server has a socket and a chunk's file
/// open for each of hundreds of connections.
pub(crate) fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where that is not allowed, what needs more will say so.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Keeps to the first so many of the cores that it may use; 0 leaves it all of them.
pub(crate) fn keep_to_cores(cores: usize) {
    if cores == 0 {
        return;
    }
    let kept = set_of(allowed().into_iter().take(cores));
    sched_setaffinity(None, &kept).expect("a process may do with fewer cores");
}

/// Keeps another process, with all threads that it has and will have, to the last of the cores that this one may use.
pub(crate) fn keep_to_last_core(process: u32) {
    let kept = set_of(allowed().into_iter().next_back());
    let threads = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    for thread in threads {
        let name = thread.expect("it runs").file_name();
        let id = name.to_str().and_then(|id| id.parse().ok());
        let id = id.and_then(Pid::from_raw).expect("threads have numbers");
        // A thread that has ended meanwhile needs no core.
        let _ = sched_setaffinity(Some(id), &kept);
    }
}

fn allowed() -> Vec<usize> {
    let allowed = sched_getaffinity(None).expect("a process may ask where it runs");
    let cores = 0..CpuSet::MAX_CPU;
    cores.filter(|core| allowed.is_set(*core)).collect()
}

fn set_of(cores: impl IntoIterator<Item = usize>) -> CpuSet {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(core);
    }
    set
}
