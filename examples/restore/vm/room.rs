//! Whether there is room for all disks together. Each target looks only for its own room.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::statvfs;

use crate::arguments::ZeroPolicy;
use crate::failure::Failure;
use crate::job::Job;
use crate::report_file::folder_of;
use crate::vm::Ready;

/// Refuses disks that are files, if one of their file systems has no room for all of those in it.
/// Where the system does not tell, each target finds out by itself.
pub(super) fn check(disks: &[Ready], job: &Job<'_>, zeros: ZeroPolicy) -> Result<(), Failure> {
    let mut needed: HashMap<u64, (u64, &Path)> = HashMap::new();
    for ready in disks {
        let Some(partial) = ready.destination.partial_path() else {
            continue;
        };
        // A file that is reused still has its own name.
        let found = partial.metadata();
        let Ok(found) = found.or_else(|_| ready.destination.path().metadata()) else {
            continue;
        };
        let (len, zero) = job.planned(&ready.content);
        let zero = if zeros == ZeroPolicy::Write { 0 } else { zero };
        let data = len.saturating_sub(zero);
        let missing = data.saturating_sub(found.blocks() * 512);
        let (sum, _) = needed.entry(found.dev()).or_insert((0, partial));
        *sum = sum.saturating_add(missing);
    }
    for (needed, partial) in needed.into_values() {
        let folder = folder_of(partial);
        let Ok(found) = statvfs(folder) else { continue };
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        // A file system without a limit reports no blocks.
        if found.f_blocks > 0 && needed > free {
            let (missing, folder) = (needed - free, folder.display());
            return Err(Failure::refused(format!(
                "the disks do not fit into {folder}: {needed} bytes are needed and {free} are free: {missing} are missing"
            ))
            .advises("make room first, or give disks another place by --map"));
        }
    }
    Ok(())
}
