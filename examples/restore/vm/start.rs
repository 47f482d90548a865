//! Writes the script or domain that boots the restored disks.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{self, Path, PathBuf};

use chunk_restore::target::Target;
use chunk_restore::{FileTarget, Snapshot};
use serde_json::json;

use crate::content::Content;
use crate::failure::Failure;
use crate::guest::{self, Disk, Firmware, Guest, is_plain_path};
use crate::output::Output;
use crate::vm::arguments::ConfigKind;

/// The small file that holds a guest's configuration.
pub(super) const CONFIGURATION: &str = "qemu-server.conf";

/// How many settings that are left out are named to people.
const NAMED_MAX: usize = 40;

/// What boots the guest, to be written once its disks are there.
pub(super) struct Start {
    kind: ConfigKind,
    guest: Guest,
    /// The name of a guest without a name.
    name: String,
    path: PathBuf,
    /// The file for the firmware's variables, if libvirt needs another one than the disk.
    variables: PathBuf,
    overwrites: bool,
}

/// The files that are written for a guest.
pub(super) fn files(kind: ConfigKind, snapshot: &Snapshot, folder: &Path) -> Vec<PathBuf> {
    let name = short_name(snapshot);
    match kind {
        ConfigKind::Qemu => vec![folder.join(format!("start-{name}.sh"))],
        ConfigKind::Libvirt => vec![
            folder.join(format!("{name}.xml")),
            folder.join(format!("{name}-efivars.fd")),
        ],
    }
}

/// `vm-100`, for any snapshot of `vm/100`.
fn short_name(snapshot: &Snapshot) -> String {
    let name = snapshot.name().to_string();
    let parts: Vec<&str> = name.split('/').take(2).collect();
    parts.join("-")
}

/// Says where a disk lies, by its absolute path.
pub(super) fn put(disk: &mut Disk, path: &Path) {
    let path = path::absolute(path).unwrap_or_else(|_| path.to_owned());
    if let Some(path) = is_plain_path(&path) {
        disk.path = path.to_owned();
    }
}

impl Start {
    /// Reads the guest's configuration, and checks that what boots the disks can be written.
    pub(super) fn prepare<'a>(
        kind: ConfigKind,
        snapshot: &Snapshot,
        folder: &Path,
        disks: impl Iterator<Item = (&'a mut Disk, PathBuf)>,
        overwrites: bool,
    ) -> Result<Start, Failure> {
        let guest = match Content::open(snapshot, CONFIGURATION)? {
            Content::Small { bytes, .. } => Guest::parse(&bytes),
            Content::Archive { .. } => Guest::parse(b""),
        };
        let guest = guest.map_err(|refusal| {
            Failure::usage(format!("{CONFIGURATION}: {refusal}"))
                .advises("without --config, the disks are restored")
        })?;
        let mut placed = Vec::new();
        for (disk, path) in disks {
            put(disk, &path);
            if disk.path.is_empty() {
                let path = path.display();
                return Err(Failure::usage(format!(
                    "the path {path} is not UTF-8, or has control characters: --config can't write it"
                )));
            }
            placed.push(disk.clone());
        }
        let mut files = files(kind, snapshot, folder).into_iter();
        let start = Start {
            kind,
            guest,
            name: short_name(snapshot),
            path: files.next().unwrap_or_default(),
            variables: files.next().unwrap_or_default(),
            overwrites,
        };
        let there = fs::read(&start.path).ok();
        if there.is_some_and(|there| there != start.text(&placed).as_bytes()) && !overwrites {
            return Err(Failure::differs(&start.path));
        }
        Ok(start)
    }

    fn text(&self, disks: &[Disk]) -> String {
        if self.kind == ConfigKind::Qemu {
            return guest::script(&self.guest, disks);
        }
        let variables = self.guest.variables(disks);
        let efi_type = self.guest.efi_type_of(variables);
        let files = efi_type.firmware();
        let code = files.iter().find(|file| Path::new(file).exists());
        let copy = path::absolute(&self.variables).unwrap_or_default();
        let firmware = Firmware {
            code: code.unwrap_or(&files[0]),
            variables: match variables {
                Some(disk) if disk.len > efi_type.variables_len() => is_plain_path(&copy),
                Some(disk) => Some(&disk.path),
                None => None,
            },
        };
        guest::domain(
            &self.guest,
            disks,
            &self.name,
            self.guest.has_ovmf.then_some(firmware),
            Path::new("/dev/kvm").exists(),
        )
    }

    /// Writes what boots these disks, and says what of the configuration was not taken.
    pub(super) fn write(self, disks: &[Disk], output: &Output) -> Result<(), Failure> {
        self.copy_variables(disks)?;
        let mode = match self.kind {
            ConfigKind::Qemu => 0o700,
            ConfigKind::Libvirt => 0o600,
        };
        write_file(&self.path, self.text(disks).as_bytes(), mode)?;
        self.tell(disks, output);
        Ok(())
    }

    /// Libvirt gives the firmware a whole file, which must have the right length: that of a longer disk
    /// is copied from the disk. A copy that is there may have been changed by the guest, and is kept.
    fn copy_variables(&self, disks: &[Disk]) -> Result<(), Failure> {
        let variables = self.guest.variables(disks);
        let len = self.guest.efi_type_of(variables).variables_len();
        let Some(disk) = variables.filter(|disk| disk.len > len) else {
            return Ok(());
        };
        if self.kind != ConfigKind::Libvirt || (self.variables.exists() && !self.overwrites) {
            return Ok(());
        }
        let mut bytes = Vec::new();
        File::open(&disk.path)
            .and_then(|file| file.take(len).read_to_end(&mut bytes))
            .map_err(|error| Failure::target(format!("cannot read {}", disk.path), &error))?;
        write_file(&self.variables, &bytes, 0o600)
    }

    fn tell(&self, disks: &[Disk], output: &Output) {
        let path = self.path.display();
        let left_out = &self.guest.left_out;
        let (empty, spare) = (
            self.guest.empty_drives(disks),
            self.guest.spare_disks(disks),
        );
        let json = json!({
            "event": "config",
            "file": path.to_string(),
            "left_out": left_out,
            "drives_without_disk": empty,
            "disks_without_drive": spare,
        });
        let mut text = match self.kind {
            ConfigKind::Qemu => format!("{path}: boots the restored disks under QEMU"),
            ConfigKind::Libvirt => {
                format!("{path}: boots the restored disks, after virsh define {path}")
            }
        };
        let mut list = |what: &str, names: &[&str]| {
            if !names.is_empty() {
                let shown = &names[..names.len().min(NAMED_MAX)];
                text += &format!("\n  {what}: {}", shown.join(", "));
                if names.len() > shown.len() {
                    text += &format!(" and {} more", names.len() - shown.len());
                }
            }
        };
        let left_out: Vec<&str> = left_out.iter().map(String::as_str).collect();
        list("left out of the configuration", &left_out);
        list("drives without a restored disk", &empty);
        list("restored disks that no drive is for", &spare);
        output.report(text, &json);
    }
}

/// Writes a file that gets its name when it is whole, in place of an older one.
fn write_file(path: &Path, bytes: &[u8], mode: u32) -> Result<(), Failure> {
    let cannot = |error| Failure::target(format!("cannot write {}", path.display()), &error);
    let mut target = FileTarget::replace(path)?;
    let written = target
        .begin(bytes.len() as u64, 0)
        .and_then(|()| target.write(bytes))
        .and_then(|()| target.finish(false));
    written.map_err(cannot)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(cannot)
}
