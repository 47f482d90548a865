//! Writes the script or domain that boots the restored disks.

use std::fs::{self, File};
use std::io::Read;
use std::iter;
use std::os::unix::fs::PermissionsExt;
use std::path::{self, Path, PathBuf};

use chunk_restore::{FileTarget, Snapshot};
use serde_json::json;

use crate::content::Content;
use crate::destination::{Destination, write_whole};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::guest::{self, Disk, Firmware, Guest, is_plain_path};
use crate::options::Options;
use crate::output::Output;
use crate::vm::arguments::{ConfigKind, Vm};
use crate::vm::sealed::{self, Comment};
use crate::vm::targets::IMAGE;

/// The small file that holds a guest's configuration.
pub(super) const CONFIGURATION: &str = "qemu-server.conf";

/// How many settings that are left out are named to people.
const NAMED_MAX: usize = 40;

impl ConfigKind {
    fn comment(self) -> Comment {
        match self {
            ConfigKind::Qemu => ("# ", ""),
            ConfigKind::Libvirt => ("<!-- ", " -->"),
        }
    }

    fn mode(self) -> u32 {
        match self {
            ConfigKind::Qemu => 0o700,
            ConfigKind::Libvirt => 0o600,
        }
    }
}

/// `vm-100`, for any snapshot of `vm/100`.
fn short_name(snapshot: &Snapshot) -> String {
    let name = snapshot.name().to_string();
    let parts: Vec<&str> = name.split('/').take(2).collect();
    parts.join("-")
}

/// The absolute path as text.
///
/// # Errors
/// A script or domain can't name the path.
fn plain(path: &Path) -> Result<String, Failure> {
    let absolute = path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match is_plain_path(&absolute) {
        Some(path) => Ok(path.to_owned()),
        None => Err(Failure::usage(format!(
            "the path {} is not UTF-8, or has control characters: --config can't write it",
            path.display()
        ))),
    }
}

/// What boots the guest, to be written once its disks are there.
pub(super) struct Start {
    kind: ConfigKind,
    guest: Guest,
    /// The name of a guest without a name.
    name: String,
    path: PathBuf,
    /// The file for the firmware's variables, where libvirt needs another one than the disk.
    variables: Option<String>,
    /// Whether the file is replaced even if somebody has changed it.
    overwrites: bool,
    replaces_variables: bool,
}

/// What the guest gets of a disk: the file or device that holds it, and the one that holds it if some
/// of it is lost.
pub(super) struct GuestDisk {
    whole: Disk,
    damaged: Disk,
}

impl GuestDisk {
    /// # Errors
    /// A path can't be written into a script or domain.
    pub(super) fn new(content: &Content, to: &Destination) -> Result<GuestDisk, Failure> {
        let name = content.name();
        let whole = Disk {
            device: name.strip_suffix(IMAGE).unwrap_or(name).to_owned(),
            path: plain(to.path())?,
            len: content.len(),
            is_block_device: to.device_len().is_some(),
        };
        let damaged = Disk {
            path: plain(to.damaged())?,
            ..whole.clone()
        };
        Ok(GuestDisk { whole, damaged })
    }

    /// The one of both that a restore with this exit code leaves.
    pub(super) fn after(self, exit: Exit) -> Disk {
        match exit {
            Exit::Damaged => self.damaged,
            _ => self.whole,
        }
    }
}

impl Start {
    /// Reads the guest's configuration, and checks that what boots the disks can be written into the
    /// folder.
    pub(super) fn new(
        kind: ConfigKind,
        configuration: &Content,
        snapshot: &Snapshot,
        folder: &Path,
        vm: &Vm,
        options: &Options,
    ) -> Result<Start, Failure> {
        let guest = match configuration {
            Content::Small { bytes, .. } => Guest::parse(bytes),
            Content::Archive { .. } => {
                let name = snapshot.name();
                return Err(Failure::usage(format!(
                    "{CONFIGURATION} of {name} is an archive, and no configuration"
                )));
            }
        };
        let guest = guest.map_err(|refusal| {
            Failure::usage(format!("{CONFIGURATION}: {refusal}"))
                .advises("without --config, the disks are restored")
        })?;
        let name = short_name(snapshot);
        let (path, variables) = match kind {
            ConfigKind::Qemu => (folder.join(format!("start-{name}.sh")), None),
            ConfigKind::Libvirt => {
                let variables = plain(&folder.join(format!("{name}-efivars.fd")))?;
                (folder.join(format!("{name}.xml")), Some(variables))
            }
        };
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Err(Failure::refused(format!("{} is no file", path.display())));
        }
        let start = Start {
            kind,
            guest,
            name,
            path,
            variables,
            overwrites: options.overwrite,
            replaces_variables: options.overwrite || vm.reuse,
        };
        start.check_unchanged()?;
        Ok(start)
    }

    fn check_unchanged(&self) -> Result<(), Failure> {
        match self.overwrites || sealed::is_unchanged(&self.path, self.kind.comment()) {
            true => Ok(()),
            false => Err(Failure::differs(&self.path)),
        }
    }

    /// The files that may be written.
    pub(super) fn files(&self) -> impl Iterator<Item = PathBuf> {
        let variables = self.variables.iter().map(PathBuf::from);
        iter::once(self.path.clone()).chain(variables)
    }

    fn text(&self, disks: &[Disk]) -> String {
        if self.kind == ConfigKind::Qemu {
            return guest::script(&self.guest, disks);
        }
        let variables = self.guest.variables(disks);
        let efi_type = self.guest.efi_type_of(variables);
        let files = efi_type.firmware();
        let code = files.iter().find(|file| Path::new(file).exists());
        let firmware = Firmware {
            code: code.unwrap_or(&files[0]),
            variables: match variables {
                Some(disk) if disk.len > efi_type.variables_len() => self.variables.as_deref(),
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
        // The disks took a while: somebody may have changed the file meanwhile.
        self.check_unchanged()?;
        self.copy_variables(disks)?;
        let text = sealed::seal(&self.text(disks), self.kind.comment());
        write_file(&self.path, text.as_bytes(), self.kind.mode())?;
        self.tell(disks, output);
        Ok(())
    }

    /// Libvirt gives the firmware a whole file, which must have the right length: that of a longer disk
    /// is copied from the disk. A copy that is there may have been changed by the guest, and is kept.
    fn copy_variables(&self, disks: &[Disk]) -> Result<(), Failure> {
        let variables = self.guest.variables(disks);
        let len = self.guest.efi_type_of(variables).variables_len();
        let disk = variables.filter(|disk| disk.len > len);
        let (Some(disk), Some(copy)) = (disk, self.variables.as_ref().map(Path::new)) else {
            return Ok(());
        };
        if copy.exists() && !self.replaces_variables {
            return Ok(());
        }
        let mut bytes = Vec::new();
        File::open(&disk.path)
            .and_then(|file| file.take(len).read_to_end(&mut bytes))
            .map_err(|error| Failure::target(format!("cannot read {}", disk.path), &error))?;
        write_file(copy, &bytes, 0o600)
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
    write_whole(&mut target, bytes).map_err(cannot)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(cannot)
}
