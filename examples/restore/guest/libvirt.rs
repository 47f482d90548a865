//! Writes the domain that boots a guest under libvirt.

use std::fmt::Write;

use super::quote::xml;
use super::{Bus, Disk, Display, Drive, Guest, Machine, Nic, NicModel, ScsiModel, value};

/// Disks on each controller of the models that are no virtio.
const DISKS_A_CONTROLLER: u32 = 7;

/// The firmware of a guest with UEFI, as this machine has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Firmware<'a> {
    pub(crate) code: &'a str,
    /// The file of its variables, if a disk of them was restored.
    pub(crate) variables: Option<&'a str>,
}

/// The domain XML that boots the guest from these disks. `fallback_name` is the name of a guest whose
/// configuration names none.
pub(crate) fn domain(
    guest: &Guest,
    disks: &[Disk],
    fallback_name: &str,
    firmware: Option<Firmware<'_>>,
    has_kvm: bool,
) -> String {
    let name = guest.name.as_deref().unwrap_or(fallback_name);
    let mut text = format!(
        "<domain type='{}'>\n  <name>{}</name>\n",
        if has_kvm { "kvm" } else { "qemu" },
        xml(name)
    );
    if let Some(uuid) = &guest.uuid {
        line(&mut text, 2, &format!("<uuid>{uuid}</uuid>"));
    }
    if guest.has_generation_id {
        line(&mut text, 2, "<genid/>");
    }
    hardware(&mut text, guest, firmware);
    line(&mut text, 2, "<devices>");
    devices(&mut text, guest, disks);
    text + "  </devices>\n</domain>\n"
}

fn line(text: &mut String, indent: usize, content: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "{:indent$}{content}", "");
}

fn hardware(text: &mut String, guest: &Guest, firmware: Option<Firmware<'_>>) {
    let (sockets, cores) = (guest.sockets, guest.cores);
    let memory = format!("<memory unit='MiB'>{}</memory>", guest.memory_mib);
    let processors = u64::from(sockets) * u64::from(cores);
    line(text, 2, &memory);
    line(text, 2, &format!("<vcpu>{processors}</vcpu>"));
    line(text, 2, "<os>");
    let machine = guest.machine.name();
    let kind = format!("<type arch='x86_64' machine='{machine}'>hvm</type>");
    line(text, 4, &kind);
    if let Some(firmware) = firmware {
        let code = xml(firmware.code);
        let loader = format!("<loader readonly='yes' type='pflash'>{code}</loader>");
        line(text, 4, &loader);
        if let Some(variables) = firmware.variables {
            line(text, 4, &format!("<nvram>{}</nvram>", xml(variables)));
        }
    }
    line(text, 2, "</os>");
    line(text, 2, "<features><acpi/><apic/></features>");
    let topology = format!("<topology sockets='{sockets}' cores='{cores}' threads='1'/>");
    let cpu = match guest.cpu.as_str() {
        value::CPU_HOST => format!("<cpu mode='maximum'>{topology}</cpu>"),
        model => format!(
            "<cpu mode='custom' match='exact' check='none'><model fallback='allow'>{}</model>{topology}</cpu>",
            xml(model)
        ),
    };
    line(text, 2, &cpu);
    let clock = if guest.is_clock_local {
        "localtime"
    } else {
        "utc"
    };
    line(text, 2, &format!("<clock offset='{clock}'/>"));
}

fn devices(text: &mut String, guest: &Guest, disks: &[Disk]) {
    let (mut sd, mut vd, mut hd) = (0, 0, 0);
    let mut controllers = Vec::new();
    for (drive, disk) in guest.attached(disks) {
        // Libvirt has IDE for the older machine only.
        let (bus, prefix, count) = match (drive.bus, guest.machine) {
            (Bus::Efi, _) => continue,
            (Bus::Virtio, _) => ("virtio", "vd", &mut vd),
            (Bus::Scsi, _) => ("scsi", "sd", &mut sd),
            (Bus::Ide, Machine::Pc) => ("ide", "hd", &mut hd),
            (Bus::Sata, _) | (Bus::Ide, Machine::Q35) => ("sata", "sd", &mut sd),
        };
        let target = format!("{prefix}{}", letters(*count));
        *count += 1;
        if drive.bus == Bus::Scsi {
            let controller = scsi_controller(guest, drive);
            if !controllers.contains(&controller) {
                controllers.push(controller);
            }
        }
        disk_device(text, guest, drive, disk, bus, &target);
    }
    for controller in controllers {
        let model = match guest.scsi {
            ScsiModel::Lsi | ScsiModel::Lsi810 => "lsilogic",
            ScsiModel::Megasas => "lsisas1078",
            ScsiModel::Pvscsi => "vmpvscsi",
            ScsiModel::Virtio | ScsiModel::VirtioSingle => "virtio-scsi",
        };
        let scsi = format!("<controller type='scsi' index='{controller}' model='{model}'/>");
        line(text, 4, &scsi);
    }
    for nic in &guest.nics {
        card(text, guest, nic);
    }
    if guest.has_serial {
        line(text, 4, "<serial type='pty'/>");
        line(text, 4, "<console type='pty'/>");
    }
    let model = match guest.display {
        Display::Std => "vga",
        Display::Cirrus => "cirrus",
        Display::Vmware => "vmvga",
        Display::Virtio => "virtio",
        Display::None => "none",
    };
    if guest.display != Display::None {
        line(text, 4, "<graphics type='vnc'/>");
    }
    let video = format!("<video><model type='{model}'/></video>");
    line(text, 4, &video);
}

fn disk_device(
    text: &mut String,
    guest: &Guest,
    drive: &Drive,
    disk: &Disk,
    bus: &str,
    target: &str,
) {
    let (kind, attribute) = match disk.is_block_device {
        true => ("block", "dev"),
        false => ("file", "file"),
    };
    line(text, 4, &format!("<disk type='{kind}' device='disk'>"));
    let discard = if drive.has_discard { "unmap" } else { "ignore" };
    // The format is named, so that nobody guesses it from what the guest has written.
    let driver = format!("<driver name='qemu' type='raw' discard='{discard}'/>");
    line(text, 6, &driver);
    let source = format!("<source {attribute}='{}'/>", xml(&disk.path));
    line(text, 6, &source);
    let rotation = match drive.is_ssd && bus != "virtio" {
        true => " rotation_rate='1'",
        false => "",
    };
    let target = format!("<target dev='{target}' bus='{bus}'{rotation}/>");
    line(text, 6, &target);
    boot(text, guest, &drive.name);
    if let Some(serial) = &drive.serial {
        line(text, 6, &format!("<serial>{}</serial>", xml(serial)));
    }
    if let Some(wwn) = drive.wwn.as_ref().filter(|_| bus != "virtio") {
        line(text, 6, &format!("<wwn>{wwn}</wwn>"));
    }
    if drive.bus == Bus::Scsi {
        let controller = scsi_controller(guest, drive);
        let (target, unit) = match guest.scsi {
            ScsiModel::Virtio => (0, drive.number),
            ScsiModel::VirtioSingle => (0, 0),
            _ => (0, drive.number % DISKS_A_CONTROLLER),
        };
        let address = format!(
            "<address type='drive' controller='{controller}' bus='0' target='{target}' unit='{unit}'/>"
        );
        line(text, 6, &address);
    }
    line(text, 4, "</disk>");
}

fn scsi_controller(guest: &Guest, drive: &Drive) -> u32 {
    match guest.scsi {
        ScsiModel::Virtio => 0,
        ScsiModel::VirtioSingle => drive.number,
        _ => drive.number / DISKS_A_CONTROLLER,
    }
}

/// A network card whose cable is not plugged in: libvirt knows no card without a network.
fn card(text: &mut String, guest: &Guest, nic: &Nic) {
    let model = match nic.model {
        NicModel::Virtio => "virtio",
        NicModel::E1000 => "e1000",
        NicModel::E1000e => "e1000e",
        NicModel::Rtl8139 => "rtl8139",
        NicModel::Vmxnet3 => "vmxnet3",
    };
    line(text, 4, "<interface type='user'>");
    if let Some(mac) = &nic.mac {
        line(text, 6, &format!("<mac address='{mac}'/>"));
    }
    line(text, 6, &format!("<model type='{model}'/>"));
    line(text, 6, "<link state='down'/>");
    boot(text, guest, &format!("net{}", nic.number));
    line(text, 6, "<rom enabled='no'/>");
    line(text, 4, "</interface>");
}

fn boot(text: &mut String, guest: &Guest, name: &str) {
    if let Some(place) = guest.boot_place(name) {
        line(text, 6, &format!("<boot order='{place}'/>"));
    }
}

/// `a` to `z`, then `aa` and so on.
fn letters(number: u32) -> String {
    let letter = char::from(b'a' + (number % 26) as u8);
    match number / 26 {
        0 => letter.to_string(),
        more => letters(more - 1) + &letter.to_string(),
    }
}
