//! Writes the shell script that boots a guest under QEMU.

use super::quote::{json, shell};
use super::{Bus, Disk, Display, Drive, EfiType, Guest, Machine, Nic, NicModel, ScsiModel};

/// Disks on each controller of the models that are no virtio.
const DISKS_A_CONTROLLER: u32 = 7;

/// PVE plugs its first network cards into these slots, after which guests name them (`ens18`).
const NIC_SLOT: u32 = 0x12;
const NICS_WITH_SLOT: u32 = 6;

/// The script that boots the guest from these disks.
pub(crate) fn script(guest: &Guest, disks: &[Disk]) -> String {
    let mut options = Vec::new();
    machine(guest, disks, &mut options);
    console(guest, &mut options);
    for nic in &guest.nics {
        options.push(format!("-device {}", shell(&card(guest, nic))));
    }
    controllers(guest, disks, &mut options);
    for (drive, disk) in guest.attached(disks) {
        if drive.bus != Bus::Efi {
            let node = block_node(&drive.name, drive.has_discard, disk, None);
            options.push(format!("-blockdev {node}"));
            options.push(format!("-device {}", shell(&disk_device(guest, drive))));
        }
    }
    let firmware = match guest.has_ovmf {
        true => find_firmware(guest.efi_type_of(guest.variables(disks))),
        false => String::new(),
    };
    format!(
        "#!/bin/sh\n\
         # Boots the restored disks. Written by chunk-restore. Its arguments are added to the options of QEMU.\n\
         set -eu\n\
         {firmware}\
         exec \"${{QEMU:-qemu-system-x86_64}}\" \\\n  \
         {} \\\n  \"$@\"\n",
        options.join(" \\\n  ")
    )
}

fn machine(guest: &Guest, disks: &[Disk], options: &mut Vec<String>) {
    let mut machine = format!("{},accel=kvm:tcg", guest.machine.name());
    if let Some(name) = &guest.name {
        options.push(format!("-name {}", shell(name)));
    }
    if guest.has_ovmf {
        machine += ",pflash0=firmware";
        let firmware = "driver=raw,node-name=firmware,read-only=on,file.driver=file";
        options.push(format!("-blockdev \"{firmware},file.filename=$OVMF_CODE\""));
        if let Some(disk) = guest.variables(disks) {
            machine += ",pflash1=variables";
            let len = guest.efi_type_of(Some(disk)).variables_len();
            let len = (disk.len > len).then_some(len);
            let node = block_node("variables", false, disk, len);
            options.push(format!("-blockdev {node}"));
        }
    }
    options.push(format!("-machine {}", shell(&machine)));
    options.push(format!("-cpu {}", shell(&guest.cpu)));
    let (sockets, cores) = (guest.sockets, guest.cores);
    options.push(format!(
        "-smp {},sockets={sockets},cores={cores}",
        u64::from(sockets) * u64::from(cores)
    ));
    options.push(format!("-m {}", guest.memory_mib));
    if let Some(uuid) = &guest.uuid {
        options.push(format!("-uuid {uuid}"));
    }
    if guest.has_generation_id {
        options.push("-device vmgenid,guid=auto".to_owned());
    }
    if guest.is_clock_local {
        options.push("-rtc base=localtime".to_owned());
    }
    // Only the devices that follow.
    options.push("-nodefaults".to_owned());
}

fn console(guest: &Guest, options: &mut Vec<String>) {
    match guest.display {
        Display::Std => options.push("-vga std".to_owned()),
        Display::Cirrus => options.push("-vga cirrus".to_owned()),
        Display::Vmware => options.push("-vga vmware".to_owned()),
        Display::Virtio => options.push("-vga virtio".to_owned()),
        Display::None => options.push("-display none".to_owned()),
    }
    if guest.has_serial {
        options.push("-serial mon:stdio".to_owned());
    }
}

/// A network card that no cable is plugged into.
fn card(guest: &Guest, nic: &Nic) -> String {
    let model = match nic.model {
        NicModel::Virtio => "virtio-net-pci",
        NicModel::E1000 => "e1000",
        NicModel::E1000e => "e1000e",
        NicModel::Rtl8139 => "rtl8139",
        NicModel::Vmxnet3 => "vmxnet3",
    };
    let name = format!("net{}", nic.number);
    // There is no network to boot from, and the files for that may not be installed.
    let mut device = format!("{model},id={name},romfile=");
    if let Some(mac) = &nic.mac {
        device += &format!(",mac={mac}");
    }
    if guest.machine == Machine::Pc && nic.number < NICS_WITH_SLOT {
        device += &format!(",bus=pci.0,addr={:#x}", NIC_SLOT + nic.number);
    }
    device + &boot_index(guest, &name)
}

/// The controllers that drives with a disk need, each once.
fn controllers(guest: &Guest, disks: &[Disk], options: &mut Vec<String>) {
    let mut made = Vec::new();
    for (drive, _) in guest.attached(disks) {
        let device = match drive.bus {
            Bus::Scsi => format!(
                "{},id={}",
                scsi_model(guest.scsi),
                scsi_controller(guest, drive)
            ),
            Bus::Sata => "ahci,id=ahci0".to_owned(),
            Bus::Virtio | Bus::Ide | Bus::Efi => continue,
        };
        if !made.contains(&device) {
            options.push(format!("-device {device}"));
            made.push(device);
        }
    }
}

fn scsi_model(model: ScsiModel) -> &'static str {
    match model {
        ScsiModel::Lsi => "lsi53c895a",
        ScsiModel::Lsi810 => "lsi53c810",
        ScsiModel::Megasas => "megasas",
        ScsiModel::Pvscsi => "pvscsi",
        ScsiModel::Virtio | ScsiModel::VirtioSingle => "virtio-scsi-pci",
    }
}

fn scsi_controller(guest: &Guest, drive: &Drive) -> String {
    match guest.scsi {
        ScsiModel::Virtio => "scsihw0".to_owned(),
        ScsiModel::VirtioSingle => format!("virtioscsi{}", drive.number),
        _ => format!("scsihw{}", drive.number / DISKS_A_CONTROLLER),
    }
}

/// The part of the guest's hardware that a disk is.
fn disk_device(guest: &Guest, drive: &Drive) -> String {
    let number = drive.number;
    let place = match (drive.bus, guest.machine) {
        (Bus::Virtio | Bus::Efi, _) => "virtio-blk-pci".to_owned(),
        (Bus::Sata, _) => format!("ide-hd,bus=ahci0.{number}"),
        (Bus::Ide, Machine::Pc) => {
            format!("ide-hd,bus=ide.{},unit={}", number / 2, number % 2)
        }
        (Bus::Ide, Machine::Q35) => format!("ide-hd,bus=ide.{number}"),
        (Bus::Scsi, _) => {
            let unit = match guest.scsi {
                ScsiModel::Virtio => format!("channel=0,scsi-id=0,lun={number}"),
                ScsiModel::VirtioSingle => "channel=0,scsi-id=0,lun=0".to_owned(),
                _ => format!("scsi-id={}", number % DISKS_A_CONTROLLER),
            };
            format!("scsi-hd,bus={}.0,{unit}", scsi_controller(guest, drive))
        }
    };
    let name = &drive.name;
    let mut device = format!("{place},drive=drive-{name},id={name}");
    if drive.is_ssd && drive.bus != Bus::Virtio {
        device += ",rotation_rate=1";
    }
    if let Some(serial) = &drive.serial {
        device += &format!(",serial={serial}");
    }
    if let Some(wwn) = drive.wwn.as_ref().filter(|_| drive.bus != Bus::Virtio) {
        device += &format!(",wwn=0x{wwn}");
    }
    device + &boot_index(guest, name)
}

fn boot_index(guest: &Guest, name: &str) -> String {
    let place = guest.boot_place(name);
    place.map_or_else(String::new, |place| format!(",bootindex={place}"))
}

/// A restored disk as QEMU opens it, as one word for the shell. The format is named, so that QEMU does
/// not guess it from what the guest has written.
fn block_node(name: &str, has_discard: bool, disk: &Disk, len: Option<u64>) -> String {
    let driver = match disk.is_block_device {
        true => "host_device",
        false => "file",
    };
    let name = match name {
        "variables" => name.to_owned(),
        name => format!("drive-{name}"),
    };
    let discard = if has_discard { "unmap" } else { "ignore" };
    let len = len.map_or_else(String::new, |len| format!(",\"size\":{len}"));
    shell(&format!(
        "{{\"driver\":\"raw\",\"node-name\":\"{name}\"{len},\"discard\":\"{discard}\",\
         \"file\":{{\"driver\":\"{driver}\",\"filename\":{},\"discard\":\"{discard}\"}}}}",
        json(&disk.path)
    ))
}

/// The lines that look for the firmware, unless OVMF_CODE names it.
fn find_firmware(kind: EfiType) -> String {
    format!(
        "if [ -z \"${{OVMF_CODE:-}}\" ]; then\n  \
           for file in {}; do\n    \
             if [ -r \"$file\" ]; then OVMF_CODE=$file; break; fi\n  \
           done\n\
         fi\n\
         if [ -z \"${{OVMF_CODE:-}}\" ]; then\n  \
           echo 'no UEFI firmware was found: install OVMF, or name its file by OVMF_CODE' >&2\n  \
           exit 1\n\
         fi\n",
        kind.firmware().join(" ")
    )
}
