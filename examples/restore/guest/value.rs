//! The forms that values of a configuration may have.

use super::{Display, EfiType, Machine, NicModel, ScsiModel};

const NAME_LEN_MAX: usize = 128;
const SERIAL_LEN_MAX: usize = 60;
const MEMORY_MIB: std::ops::RangeInclusive<u64> = 16..=64 << 20;
const PROCESSORS: std::ops::RangeInclusive<u32> = 1..=512;

/// The processor of a guest whose configuration names none.
pub(super) const CPU_DEFAULT: &str = "kvm64";

/// The processor where the configuration asks for that of the host: `max` is the same with KVM, and
/// works without it.
pub(super) const CPU_HOST: &str = "max";

/// A name of letters, digits, dots and hyphens.
pub(super) fn name(value: &str) -> Option<String> {
    let is_name = (1..=NAME_LEN_MAX).contains(&value.len())
        && value.starts_with(|c: char| c.is_ascii_alphanumeric())
        && (value.bytes()).all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    is_name.then(|| value.to_owned())
}

/// A number without a sign or leading zeros, so that one number has one spelling.
pub(super) fn number(value: &str) -> Option<u32> {
    let is_number = value.bytes().all(|byte| byte.is_ascii_digit())
        && (value == "0" || !value.starts_with('0'));
    value.parse().ok().filter(|_| is_number)
}

pub(super) fn processors(value: &str) -> Option<u32> {
    number(value).filter(|number| PROCESSORS.contains(number))
}

/// `2048`, or `current=2048`.
pub(super) fn memory_mib(value: &str) -> Option<u64> {
    let value = value.strip_prefix("current=").unwrap_or(value);
    number(value)
        .map(u64::from)
        .filter(|mib| MEMORY_MIB.contains(mib))
}

pub(super) fn switch(value: &str) -> Option<bool> {
    match value {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// The model of a processor as QEMU and libvirt name it. The levels of x86-64 stand for models that
/// have them, since only PVE has models of these names.
pub(super) fn cpu(value: &str) -> Option<String> {
    let model = match value {
        "host" | "max" => CPU_HOST,
        "x86-64-v2" => "Nehalem",
        "x86-64-v2-AES" => "Westmere",
        "x86-64-v3" => "Haswell-noTSX",
        "x86-64-v4" => "Skylake-Server-noTSX-IBRS",
        _ => value,
    };
    let is_model = name(model).is_some() || is_underscored(model);
    (is_model && !model.starts_with("custom-")).then(|| model.to_owned())
}

/// Models such as `Opteron_G5`.
fn is_underscored(model: &str) -> bool {
    name(&model.replacen('_', "-", 1)).is_some()
}

/// The type of a machine. Its version is dropped, since another QEMU may not have it.
pub(super) fn machine(value: &str) -> Option<Machine> {
    let is = |kind: &str| {
        let version = value.strip_prefix(kind);
        version.is_some_and(|version| version.is_empty() || version.starts_with('-'))
    };
    match value {
        "pc" => Some(Machine::Pc),
        "q35" => Some(Machine::Q35),
        _ if is("pc-i440fx") => Some(Machine::Pc),
        _ if is("pc-q35") => Some(Machine::Q35),
        _ => None,
    }
}

pub(super) fn efi_type(value: &str) -> Option<EfiType> {
    match value {
        "2m" => Some(EfiType::Small),
        "4m" => Some(EfiType::Large),
        _ => None,
    }
}

pub(super) fn scsi(value: &str) -> Option<ScsiModel> {
    Some(match value {
        "lsi" => ScsiModel::Lsi,
        "lsi53c810" => ScsiModel::Lsi810,
        "megasas" => ScsiModel::Megasas,
        "pvscsi" => ScsiModel::Pvscsi,
        "virtio-scsi-pci" => ScsiModel::Virtio,
        "virtio-scsi-single" => ScsiModel::VirtioSingle,
        _ => return None,
    })
}

/// The kind of a display; that of a serial console is none.
pub(super) fn display(value: &str) -> Option<Display> {
    Some(match value {
        "std" => Display::Std,
        "cirrus" => Display::Cirrus,
        "vmware" => Display::Vmware,
        "virtio" => Display::Virtio,
        "none" | "serial0" => Display::None,
        _ => return None,
    })
}

pub(super) fn nic(value: &str) -> Option<NicModel> {
    Some(match value {
        "virtio" => NicModel::Virtio,
        "e1000" => NicModel::E1000,
        "e1000e" => NicModel::E1000e,
        "rtl8139" => NicModel::Rtl8139,
        "vmxnet3" => NicModel::Vmxnet3,
        _ => return None,
    })
}

/// Six pairs of hexadecimal digits, in lower case.
pub(super) fn mac(value: &str) -> Option<String> {
    let is_pair = |pair: &str| pair.len() == 2 && is_hex(pair);
    let is_mac = value.split(':').count() == 6 && value.split(':').all(is_pair);
    is_mac.then(|| value.to_ascii_lowercase())
}

pub(super) fn uuid(value: &str) -> Option<String> {
    let lengths: Vec<usize> = value.split('-').map(str::len).collect();
    let is_uuid = lengths == [8, 4, 4, 4, 12] && value.split('-').all(is_hex);
    is_uuid.then(|| value.to_ascii_lowercase())
}

pub(super) fn wwn(value: &str) -> Option<String> {
    let digits = value.strip_prefix("0x")?;
    (digits.len() == 16 && is_hex(digits)).then(|| digits.to_ascii_lowercase())
}

pub(super) fn serial(value: &str) -> Option<String> {
    let is_serial = (1..=SERIAL_LEN_MAX).contains(&value.len())
        && (value.bytes()).all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    is_serial.then(|| value.to_owned())
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
