//! How file systems keep times: in which units, and how far they reach. A file system that can't keep
//! a time as it is keeps one that is near.

use std::os::fd::BorrowedFd;

use rustix::fs::{Stat, fstat, futimens};

use crate::files::extract::attributes::times;
use crate::files::extract::new_file::{Naming, NewFile};
use crate::files::omission::LeftOut;
use crate::files::pxar::Mtime;

const NANOS_PER_SEC: i128 = 1_000_000_000;

/// The units that file systems have, in nanoseconds: those of NTFS, of UDF, milliseconds, those of
/// exFAT, seconds, and those of FAT.
const UNITS_NANOS: [i128; 7] = [
    1,
    100,
    1_000,
    1_000_000,
    10_000_000,
    NANOS_PER_SEC,
    2 * NANOS_PER_SEC,
];

/// A time that no unit but the smallest divides.
const UNEVEN: Mtime = Mtime {
    secs: 1_000_000_001,
    nanos: 987_654_321,
};

/// Times that no file system but the largest reach, in seconds: some 35,000 years before and after
/// 1970.
const FAR_SECS: i64 = 1 << 40;

/// The times that a file system can keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    unit_nanos: i128,
    min_secs: i64,
    max_secs: i64,
}

impl Times {
    /// A file system that keeps all times as they are.
    pub(super) const ALL: Times = Times {
        unit_nanos: 1,
        min_secs: i64::MIN,
        max_secs: i64::MAX,
    };

    /// Tries what the file system of a folder keeps, with a file that is gone afterwards. Nothing
    /// else may have the name `temporary`.
    pub(super) fn of(folder: BorrowedFd<'_>, temporary: &str) -> Times {
        let tried = NewFile::create(folder, temporary, Naming::Descriptor).and_then(|file| {
            let keep = |mtime| {
                futimens(file.as_fd(), &times(mtime))?;
                fstat(file.as_fd()).map(|found| mtime_of(&found))
            };
            let far = |secs| keep(Mtime { secs, nanos: 0 });
            Ok(Times::by(keep(UNEVEN)?, far(-FAR_SECS)?, far(FAR_SECS)?))
        });
        tried.unwrap_or(Times::ALL)
    }

    /// What times a file system keeps that makes these three of an uneven time, and of very early
    /// and very late ones.
    fn by(uneven: Mtime, min: Mtime, max: Mtime) -> Times {
        let makes = |unit: &&i128| floor(nanos(UNEVEN), **unit) == nanos(uneven);
        let is_range = min.secs < UNEVEN.secs && max.secs > UNEVEN.secs;
        let limit = |found: i64, asked: i64, none| match is_range && found != asked {
            true => found,
            false => none,
        };
        Times {
            unit_nanos: *UNITS_NANOS.iter().find(makes).unwrap_or(&1),
            min_secs: limit(min.secs, -FAR_SECS, i64::MIN),
            max_secs: limit(max.secs, FAR_SECS, i64::MAX),
        }
    }

    /// The time that a file system keeps in place of another one.
    fn kept(self, mtime: Mtime) -> i128 {
        let (min, max) = (i128::from(self.min_secs), i128::from(self.max_secs));
        let time = nanos(mtime).clamp(min * NANOS_PER_SEC, max * NANOS_PER_SEC);
        floor(time, self.unit_nanos)
    }

    /// Whether a file or directory that is there has the time of the archive's, as far as its file
    /// system keeps times.
    pub(super) fn has_time(self, found: &Stat, mtime: Mtime) -> bool {
        let found = mtime_of(found);
        // Some programs restore whole seconds, and some FUSE file systems show the units of FAT only
        // when a file is looked at much later.
        let is_whole = found.nanos == 0 && [mtime.secs, mtime.secs & !1].contains(&found.secs);
        is_whole || nanos(found) == self.kept(mtime)
    }

    /// Notes it if a time can't be kept as it is.
    pub(super) fn note_loss(self, mtime: Mtime, left_out: &mut Vec<LeftOut>) {
        if !(self.min_secs..=self.max_secs).contains(&mtime.secs) {
            left_out.push(LeftOut::Time);
        } else if self.kept(mtime) != nanos(mtime) {
            left_out.push(LeftOut::ExactTime);
        }
    }
}

/// The time of the last change of a file that is there.
pub(super) fn mtime_of(found: &Stat) -> Mtime {
    Mtime {
        secs: found.st_mtime,
        nanos: u32::try_from(found.st_mtime_nsec).unwrap_or(0),
    }
}

fn nanos(mtime: Mtime) -> i128 {
    i128::from(mtime.secs) * NANOS_PER_SEC + i128::from(mtime.nanos)
}

fn floor(time: i128, unit: i128) -> i128 {
    time - time.rem_euclid(unit)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use rustix::io::Errno;

    use super::*;

    fn mtime(secs: i64, nanos: u32) -> Mtime {
        Mtime { secs, nanos }
    }

    #[test]
    fn a_file_system_is_known_by_what_it_makes_of_times() {
        let fat = Times::by(
            mtime(1_000_000_000, 0),
            mtime(315_532_800, 0),
            mtime(4_354_819_198, 0),
        );
        assert_eq!(
            fat.kept(mtime(1_500_000_001, 5)),
            1_500_000_000 * NANOS_PER_SEC
        );
        assert_eq!(fat.kept(mtime(-7, 5)), 315_532_800 * NANOS_PER_SEC);
        assert_eq!(fat.kept(mtime(1 << 33, 5)), 4_354_819_198 * NANOS_PER_SEC);
        let losses = |times: Times, mtime| {
            let mut left_out = Vec::new();
            times.note_loss(mtime, &mut left_out);
            left_out
        };
        assert_eq!(losses(fat, mtime(1_500_000_001, 0)), [LeftOut::ExactTime]);
        assert_eq!(losses(fat, mtime(0, 0)), [LeftOut::Time]);
        assert_eq!(losses(fat, mtime(1_500_000_000, 0)), []);

        let all = Times::by(UNEVEN, mtime(-FAR_SECS, 0), mtime(FAR_SECS, 0));
        assert_eq!(all, Times::ALL);
        assert_eq!(losses(all, mtime(-1, 999_999_999)), []);
        let ntfs = Times::by(
            mtime(1_000_000_001, 987_654_300),
            mtime(-FAR_SECS, 0),
            UNEVEN,
        );
        assert_eq!(ntfs.unit_nanos, 100);
    }

    #[test]
    fn the_file_system_of_a_folder_is_tried() -> Result<(), Errno> {
        let folder = tempfile::tempdir().map_err(|_| Errno::IO)?;
        let open = std::fs::File::open(folder.path()).map_err(|_| Errno::IO)?;
        let times = Times::of(open.as_fd(), "t");
        assert!(times.has_time(&fstat(&open)?, mtime_of(&fstat(&open)?)));
        let left = std::fs::read_dir(folder.path()).map(Iterator::count);
        assert_eq!(left.ok(), Some(0));
        Ok(())
    }
}
