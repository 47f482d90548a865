//! Which disk goes where, and whether two of them would be written to the same place.

use std::collections::HashMap;
use std::fs::{self, Metadata};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use chunk_restore::Snapshot;

use crate::content::{self, Content};
use crate::destination::SIDE_FILES;
use crate::disks::is_disk;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::program;
use crate::vm::arguments::Vm;

/// The most disks that are restored at the same time: each takes a thread, an open file, and room for
/// a chunk. A guest of Proxmox VE has 31 SCSI, 16 virtio, 6 SATA and 4 IDE disks at the most, and two
/// for its firmware and its TPM.
const DISKS_MAX: usize = 59;

/// The ending of the names of disks, which may be left out.
pub(super) const IMAGE: &str = ".img";

/// A disk of the snapshot, and where it goes.
#[derive(Debug)]
pub(super) struct Assigned {
    /// The server's name of the disk.
    pub(super) file: String,
    pub(super) path: PathBuf,
}

/// Finds a target for each disk of the snapshot that is not left out.
///
/// # Errors
/// A disk that is named is not there, or is named twice; a disk has no target; the snapshot has no
/// disks, or too many.
pub(super) fn assign(snapshot: &Snapshot, vm: &Vm) -> Result<Vec<Assigned>, Failure> {
    let files = snapshot.manifest().files().iter();
    let disks: Vec<&str> = (files.map(|file| file.name()))
        .filter(|name| is_disk(name))
        .collect();
    if disks.is_empty() {
        let (program, name) = (program::name(), snapshot.name());
        return Err(
            Failure::usage(format!("{name} has no disks, and is no guest's backup")).advises(
                format!("`{program} get` restores everything, `{program} files` files"),
            ),
        );
    }
    let mut named: HashMap<&str, Option<&Path>> = HashMap::new();
    let maps = (vm.maps.iter()).map(|map| (&map.disk, Some(&*map.target)));
    for (name, target) in maps.chain(vm.skipped.iter().map(|name| (name, None))) {
        let file = find(snapshot, &disks, name)?;
        if named.insert(file, target).is_some() {
            let name = content::name_of(snapshot, file);
            return Err(Failure::usage(format!(
                "{name} is named twice: a disk has one target, or is left out by --skip"
            )));
        }
    }
    let mut assigned = Vec::new();
    for file in disks {
        let archive = content::name_of(snapshot, file);
        let path = match (named.get(file), &vm.dir) {
            (Some(None), _) => continue,
            (Some(Some(target)), _) => target.to_path_buf(),
            (None, Some(folder)) => folder.join(archive),
            (None, None) => {
                return Err(Failure::usage(format!("{archive} has no target")).advises(format!(
                    "give one by --map {archive}=TARGET, or a folder for all others by --dir, or leave it out by --skip {archive}"
                )));
            }
        };
        let file = file.to_owned();
        assigned.push(Assigned { file, path });
    }
    match assigned.len() {
        0 => Err(Failure::usage("all disks are left out")),
        1..=DISKS_MAX => Ok(assigned),
        count => Err(Failure::usage(format!(
            "{count} disks are too many: at most {DISKS_MAX} are restored at the same time, as many as a guest of Proxmox VE can have"
        ))
        .advises("leave disks out by --skip, or restore one after the other by `restore get`")),
    }
}

/// The server's name of a disk that is named with or without `.img`.
fn find<'a>(snapshot: &Snapshot, disks: &[&'a str], name: &str) -> Result<&'a str, Failure> {
    let is_named = |file: &&&str| {
        let archive = content::name_of(snapshot, file);
        [**file, archive].contains(&name) || archive.strip_suffix(IMAGE) == Some(name)
    };
    match disks.iter().find(is_named) {
        Some(file) => Ok(file),
        None => {
            let names: Vec<&str> = disks
                .iter()
                .map(|file| content::name_of(snapshot, file))
                .collect();
            let (snapshot, names) = (snapshot.name(), names.join(", "));
            let message = format!("{snapshot} has no disk {name}, but {names}");
            Err(Failure::usage(message).with_exit(Exit::NotFound))
        }
    }
}

/// Refuses two disks, or a disk and another `file`, that would be written to the same place, whatever
/// names the place has. `is_salvage` says that lists of damage may be written.
pub(super) fn check_apart(
    disks: &[(Content, PathBuf)],
    files: &[PathBuf],
    is_salvage: bool,
) -> Result<(), Failure> {
    let mut places: HashMap<Spot, (&str, &Path)> = HashMap::new();
    let disks = (disks.iter()).map(|(content, path)| (content.name(), &**path));
    let files = files
        .iter()
        .map(|path| ("what is written beside the disks", &**path));
    for (what, path) in disks.chain(files) {
        for spot in spots(path, is_salvage) {
            if let Some((other, there)) = places.insert(spot, (what, path))
                && (other, there) != (what, path)
            {
                let (path, there) = (path.display(), there.display());
                return Err(Failure::usage(
                    match path.to_string() == there.to_string() {
                        true => format!("{other} and {what} have the same target {path}"),
                        false => format!(
                            "{other} and {what} have the same target, or one would be in the way of the other: {there} and {path}"
                        ),
                    },
                ));
            }
        }
    }
    Ok(())
}

/// What a place that is written to is known by.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Spot {
    /// A device by its number: it may have several names.
    Device(u64),
    /// A file that exists.
    File(u64, u64),
    /// A name in a folder that exists.
    Name(u64, u64, Vec<u8>),
    /// A path that leads nowhere.
    Path(PathBuf),
}

/// The places that are written to, or may be, where `path` is a target.
fn spots(path: &Path, is_salvage: bool) -> Vec<Spot> {
    let found = path.metadata().ok();
    if let Some(device) = found
        .as_ref()
        .filter(|found| found.file_type().is_block_device())
    {
        let mut spots = vec![Spot::Device(device.rdev())];
        if is_salvage {
            // The list of its damage lies in the current folder.
            let map = named(
                Path::new(path.file_name().unwrap_or_default()),
                SIDE_FILES[2],
            );
            spots.push(spot_of(&map));
        }
        return spots;
    }
    let file = |found: Metadata| Spot::File(found.dev(), found.ino());
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut spots: Vec<Spot> = found.map(file).into_iter().collect();
    for suffix in ["", SIDE_FILES[0], SIDE_FILES[1], SIDE_FILES[2]] {
        let path = named(&real, suffix);
        spots.push(spot_of(&path));
        spots.extend(path.symlink_metadata().ok().map(file));
    }
    spots
}

/// The path with a suffix.
fn named(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A name in its folder.
fn spot_of(path: &Path) -> Spot {
    let folder = match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => Path::new("/"),
    };
    let name = path.file_name().unwrap_or_default().to_owned();
    match folder.metadata() {
        Ok(found) => Spot::Name(found.dev(), found.ino(), name.into_encoded_bytes()),
        Err(_) => Spot::Path(folder.join(name)),
    }
}
