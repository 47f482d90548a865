//! A guest as its configuration (`qemu-server.conf`) describes it, and the command line or domain that
//! boots it from restored disks.
//!
//! The configuration may come from a snapshot that nobody signed. So only settings from a list of
//! harmless ones are taken, each checked for its form, and the names of all others are kept in
//! [`Guest::left_out`]. Nothing here does I/O.

mod config;
mod libvirt;
mod qemu;
mod quote;
mod value;

use std::fmt;

pub(crate) use libvirt::{Firmware, domain};
pub(crate) use qemu::script;
pub(crate) use quote::is_plain_path;

/// What a guest is made of, as far as its configuration says so in settings that are harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    pub(crate) name: Option<String>,
    pub(crate) uuid: Option<String>,
    /// Whether the guest has a generation ID, which changes with each restore.
    pub(crate) has_generation_id: bool,
    pub(crate) memory_mib: u64,
    pub(crate) sockets: u32,
    pub(crate) cores: u32,
    pub(crate) cpu: String,
    pub(crate) machine: Machine,
    pub(crate) has_ovmf: bool,
    pub(crate) efi_type: EfiType,
    pub(crate) scsi: ScsiModel,
    pub(crate) display: Display,
    pub(crate) has_serial: bool,
    pub(crate) is_clock_local: bool,
    pub(crate) drives: Vec<Drive>,
    pub(crate) nics: Vec<Nic>,
    /// The names of drives and network cards to boot from, the first one first.
    pub(crate) boot: Vec<String>,
    /// What the configuration says and is not taken, such as `args` or `scsi0: iothread`.
    pub(crate) left_out: Vec<String>,
}

/// Why no guest can be made of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The configuration has so many bytes.
    TooLong(usize),
    /// The guest has a processor of another architecture.
    Architecture(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::TooLong(len) => write!(
                f,
                "the configuration has {len} bytes, and at most {} are read",
                config::TEXT_MAX
            ),
            Refusal::Architecture(name) => write!(
                f,
                "the guest has a processor of the architecture {name}, and only x86_64 is written"
            ),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Machine {
    Pc,
    Q35,
}

impl Machine {
    fn name(self) -> &'static str {
        match self {
            Machine::Pc => "pc",
            Machine::Q35 => "q35",
        }
    }
}

/// The layout of the firmware's variables, which the firmware itself must fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EfiType {
    Small,
    Large,
}

impl EfiType {
    /// How many bytes the variables have. The restored disk may be longer.
    pub(crate) fn variables_len(self) -> u64 {
        match self {
            EfiType::Small => 128 << 10,
            EfiType::Large => 528 << 10,
        }
    }

    /// Where distributions put the firmware, Debian and PVE first.
    pub(crate) fn firmware(self) -> &'static [&'static str] {
        match self {
            EfiType::Small => &[
                "/usr/share/OVMF/OVMF_CODE.fd",
                "/usr/share/pve-edk2-firmware/OVMF_CODE.fd",
                "/usr/share/edk2/ovmf/OVMF_CODE.fd",
                "/usr/share/qemu/ovmf-x86_64-code.bin",
            ],
            EfiType::Large => &[
                "/usr/share/OVMF/OVMF_CODE_4M.fd",
                "/usr/share/pve-edk2-firmware/OVMF_CODE_4M.fd",
                "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
                "/usr/share/qemu/ovmf-x86_64-4m-code.bin",
            ],
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ScsiModel {
    Lsi,
    Lsi810,
    Megasas,
    Pvscsi,
    Virtio,
    /// A virtio controller for each disk.
    VirtioSingle,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Display {
    Std,
    Cirrus,
    Vmware,
    Virtio,
    None,
}

/// Where a drive is plugged in. The order is that in which a guest without a boot order tries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bus {
    Scsi,
    Virtio,
    Sata,
    Ide,
    /// The variables of the firmware.
    Efi,
}

/// A drive that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Drive {
    pub(crate) bus: Bus,
    pub(crate) number: u32,
    /// The name in the configuration, such as `scsi0`.
    pub(crate) name: String,
    /// The name of its archive in a snapshot, without `.img`, such as `drive-scsi0`.
    pub(crate) device: String,
    pub(crate) has_discard: bool,
    pub(crate) is_ssd: bool,
    pub(crate) serial: Option<String>,
    pub(crate) wwn: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nic {
    pub(crate) number: u32,
    pub(crate) model: NicModel,
    pub(crate) mac: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NicModel {
    Virtio,
    E1000,
    E1000e,
    Rtl8139,
    Vmxnet3,
}

/// A restored disk that a guest may be given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Disk {
    /// The name of the archive without `.img`, such as `drive-scsi0`.
    pub(crate) device: String,
    /// A path that [`is_plain_path`] allows.
    pub(crate) path: String,
    pub(crate) len: u64,
    pub(crate) is_block_device: bool,
}

impl Guest {
    /// Reads a configuration.
    ///
    /// # Errors
    /// The configuration is too long, or that of another kind of processor. Anything else that can't be
    /// understood is left out.
    pub(crate) fn parse(text: &[u8]) -> Result<Guest, Refusal> {
        config::parse(text)
    }

    /// The drives whose disks were restored, each with its disk.
    fn attached<'a>(&'a self, disks: &'a [Disk]) -> impl Iterator<Item = (&'a Drive, &'a Disk)> {
        self.drives.iter().filter_map(|drive| {
            let disk = disks.iter().find(|disk| disk.device == drive.device)?;
            Some((drive, disk))
        })
    }

    /// The names of drives that no restored disk belongs to.
    pub(crate) fn empty_drives(&self, disks: &[Disk]) -> Vec<&str> {
        let is_there = |drive: &&Drive| disks.iter().any(|disk| disk.device == drive.device);
        let empty = self.drives.iter().filter(|drive| !is_there(drive));
        empty.map(|drive| drive.name.as_str()).collect()
    }

    /// The restored disks that no drive of the configuration belongs to.
    pub(crate) fn spare_disks<'a>(&self, disks: &'a [Disk]) -> Vec<&'a str> {
        let is_used = |disk: &&Disk| {
            let mut drives = self.drives.iter();
            drives.any(|drive| {
                drive.device == disk.device && (drive.bus != Bus::Efi || self.has_ovmf)
            })
        };
        let spare = disks.iter().filter(|disk| !is_used(disk));
        spare.map(|disk| disk.device.as_str()).collect()
    }

    /// The layout of the firmware's variables, which their length tells better than a default does.
    pub(crate) fn efi_type_of(&self, variables: Option<&Disk>) -> EfiType {
        match variables {
            Some(disk) if disk.len == EfiType::Large.variables_len() => EfiType::Large,
            Some(disk) if disk.len == EfiType::Small.variables_len() => EfiType::Small,
            _ => self.efi_type,
        }
    }

    /// The restored disk with the firmware's variables, if the guest uses them.
    pub(crate) fn variables<'a>(&'a self, disks: &'a [Disk]) -> Option<&'a Disk> {
        let mut attached = self.attached(disks).filter(|_| self.has_ovmf);
        let found = attached.find(|(drive, _)| drive.bus == Bus::Efi);
        found.map(|(_, disk)| disk)
    }

    /// The place of a device in the boot order, from 1.
    fn boot_place(&self, name: &str) -> Option<usize> {
        let place = self.boot.iter().position(|device| device == name);
        place.map(|place| place + 1)
    }
}
