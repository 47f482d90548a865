//! Reads a configuration line by line. What is not on the list of harmless settings is left out.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use super::value;
use super::{Bus, Display, Drive, EfiType, Guest, Machine, Nic, Refusal, ScsiModel};

/// The longest configuration that is read, in bytes. PVE's own file system holds no longer files.
pub(super) const TEXT_MAX: usize = 1 << 20;

/// Names of settings are shown up to this length, in characters.
const SHOWN_MAX: usize = 60;

const MEMORY_MIB_DEFAULT: u64 = 512;
const NIC_NUMBER_MAX: u32 = 31;

/// Settings that say nothing about what a guest is made of.
const WITHOUT_EFFECT: [&str; 10] = [
    "balloon",
    "description",
    "digest",
    "meta",
    "onboot",
    "protection",
    "shares",
    "startup",
    "tablet",
    "tags",
];

/// Options of a drive that say nothing about a restored disk.
const DRIVE_WITHOUT_EFFECT: [&str; 4] = ["backup", "format", "replicate", "size"];

const BUSES: [(&str, Bus, RangeInclusive<u32>); 5] = [
    ("scsi", Bus::Scsi, 0..=30),
    ("virtio", Bus::Virtio, 0..=15),
    ("sata", Bus::Sata, 0..=5),
    ("ide", Bus::Ide, 0..=3),
    ("efidisk", Bus::Efi, 0..=0),
];

pub(super) fn parse(text: &[u8]) -> Result<Guest, Refusal> {
    if text.len() > TEXT_MAX {
        return Err(Refusal::TooLong(text.len()));
    }
    let text = String::from_utf8_lossy(text);
    let mut reading = Reading::default();
    for line in text.lines().map(str::trim_end) {
        // Sections hold other states of the guest: its snapshots, and changes that wait.
        if line.starts_with('[') {
            reading.leave_out(line);
            break;
        }
        match line.strip_prefix('#') {
            Some(comment) => reading.comment(comment),
            None if line.is_empty() => {}
            None => reading.line(line)?,
        }
    }
    Ok(reading.finish())
}

struct Reading {
    guest: Guest,
    /// The settings that were read.
    seen: HashSet<String>,
    /// The device of each drive, by the comments that the backup added.
    devices: HashMap<String, String>,
    boot_disk: Option<String>,
}

impl Default for Reading {
    fn default() -> Reading {
        Reading {
            guest: Guest {
                name: None,
                uuid: None,
                has_generation_id: false,
                memory_mib: MEMORY_MIB_DEFAULT,
                sockets: 1,
                cores: 1,
                cpu: value::CPU_DEFAULT.to_owned(),
                machine: Machine::Pc,
                has_ovmf: false,
                efi_type: EfiType::Small,
                scsi: ScsiModel::Lsi,
                display: Display::Std,
                has_serial: false,
                is_clock_local: false,
                drives: Vec::new(),
                nics: Vec::new(),
                boot: Vec::new(),
                left_out: Vec::new(),
            },
            seen: HashSet::new(),
            devices: HashMap::new(),
            boot_disk: None,
        }
    }
}

impl Reading {
    fn leave_out(&mut self, what: &str) {
        self.guest
            .left_out
            .push(what.chars().take(SHOWN_MAX).collect());
    }

    /// A comment such as `#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:`.
    fn comment(&mut self, comment: &str) {
        let Some(map) = comment.strip_prefix("qmdump#map:") else {
            return;
        };
        let mut parts = map.split(':');
        if let (Some(drive), Some(device)) = (parts.next(), parts.next()) {
            self.devices
                .entry(drive.to_owned())
                .or_insert_with(|| device.to_owned());
        }
    }

    fn line(&mut self, line: &str) -> Result<(), Refusal> {
        let Some((key, value)) = line.split_once(':') else {
            self.leave_out(line);
            return Ok(());
        };
        let value = value.trim();
        if key == "arch" && value != "x86_64" {
            let shown = value.chars().take(SHOWN_MAX).collect();
            return Err(Refusal::Architecture(shown));
        }
        // Of a setting that stands twice, the first counts.
        if !self.seen.insert(key.to_owned()) || !self.take(key, value) {
            self.leave_out(key);
        }
        Ok(())
    }

    /// Takes a setting, unless it is not harmless.
    fn take(&mut self, key: &str, value: &str) -> bool {
        let guest = &mut self.guest;
        match key {
            "arch" => true,
            "bios" => {
                guest.has_ovmf = value == "ovmf";
                matches!(value, "ovmf" | "seabios")
            }
            "boot" => self.boot(value),
            "bootdisk" => set(&mut self.boot_disk, value::name(value).map(Some)),
            "cores" => set(&mut guest.cores, value::processors(value)),
            "localtime" => set(&mut guest.is_clock_local, value::switch(value)),
            "memory" => set(&mut guest.memory_mib, value::memory_mib(value)),
            "name" => set(&mut guest.name, value::name(value).map(Some)),
            "ostype" => {
                // Windows takes the clock for local time.
                let is_windows = ["w2k", "win", "wxp", "wvista"];
                let is_windows = is_windows.iter().any(|kind| value.starts_with(kind));
                guest.is_clock_local |= is_windows && !self.seen.contains("localtime");
                true
            }
            "scsihw" => set(&mut guest.scsi, value::scsi(value)),
            "serial0" => {
                // Anything but a socket is a device of the host.
                guest.has_serial = value == "socket";
                guest.has_serial
            }
            "sockets" => set(&mut guest.sockets, value::processors(value)),
            "vmgenid" => {
                guest.has_generation_id = value != "0";
                true
            }
            "cpu" | "machine" | "smbios1" | "vga" => {
                self.options(key, value);
                true
            }
            _ if WITHOUT_EFFECT.contains(&key) => true,
            _ => self.device(key, value),
        }
    }

    /// A setting of which one option is taken. The others are left out by their own names.
    fn options(&mut self, key: &str, value: &str) {
        for (number, option) in value.split(',').enumerate() {
            let (name, value) = option.split_once('=').unwrap_or(("", option));
            let is_taken = match (key, name) {
                ("cpu", "" | "cputype") if number == 0 => {
                    set(&mut self.guest.cpu, value::cpu(value))
                }
                ("machine", "" | "type") if number == 0 => {
                    set(&mut self.guest.machine, value::machine(value))
                }
                ("vga", "" | "type") if number == 0 => {
                    set(&mut self.guest.display, value::display(value))
                }
                ("smbios1", "uuid") => set(&mut self.guest.uuid, value::uuid(value).map(Some)),
                ("smbios1", "base64") => true,
                _ => false,
            };
            match (is_taken, name) {
                (true, _) => {}
                (false, "") => self.leave_out(&format!("{key}: {value}")),
                (false, _) => self.leave_out(&format!("{key}: {name}")),
            }
        }
    }

    /// `order=scsi0;net0`, or the older form, whose letters say nothing without `bootdisk`.
    fn boot(&mut self, value: &str) -> bool {
        let Some(order) = value.strip_prefix("order=") else {
            return value.bytes().all(|byte| b"acdn".contains(&byte));
        };
        let devices = order.split(';').map(value::name);
        set(&mut self.guest.boot, devices.collect())
    }

    fn device(&mut self, key: &str, value: &str) -> bool {
        let digits = key.trim_start_matches(|c: char| !c.is_ascii_digit());
        let (kind, digits) = key.split_at(key.len() - digits.len());
        let Some(number) = value::number(digits) else {
            return false;
        };
        if kind == "net" && number <= NIC_NUMBER_MAX {
            return self.nic(key, number, value);
        }
        let bus = BUSES.iter().find(|(name, _, _)| *name == kind);
        match bus.filter(|(_, _, numbers)| numbers.contains(&number)) {
            Some((_, bus, _)) => self.drive(key, *bus, number, value),
            None => false,
        }
    }

    /// `virtio=BC:24:11:00:00:01,bridge=vmbr0`: the card is taken, and its network is not.
    fn nic(&mut self, key: &str, number: u32, value: &str) -> bool {
        let mut nic: Option<Nic> = None;
        for option in value.split(',') {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let model = value::nic(if name == "model" { value } else { name });
            match (&mut nic, model) {
                (None, Some(model)) => {
                    let mac = value::mac(value);
                    if mac.is_none() && name != "model" && !value.is_empty() {
                        self.leave_out(&format!("{key}: {name}"));
                    }
                    nic = Some(Nic { number, model, mac });
                }
                (Some(nic), _) if name == "macaddr" && value::mac(value).is_some() => {
                    nic.mac = value::mac(value);
                }
                _ => self.leave_out(&format!("{key}: {name}")),
            }
        }
        let is_taken = nic.is_some();
        self.guest.nics.extend(nic);
        is_taken
    }

    /// `local-lvm:vm-100-disk-0,size=32G,ssd=1`: the volume is replaced by the restored disk.
    fn drive(&mut self, key: &str, bus: Bus, number: u32, value: &str) -> bool {
        let mut drive = Drive {
            bus,
            number,
            name: key.to_owned(),
            device: format!("drive-{key}"),
            has_discard: false,
            is_ssd: false,
            serial: None,
            wwn: None,
        };
        let options: Vec<&str> = value.split(',').collect();
        if options.contains(&"media=cdrom") || options[0] == "none" {
            return false;
        }
        for (place, option) in options.iter().enumerate() {
            let (name, value) = option.split_once('=').unwrap_or(("file", option));
            let is_taken = match name {
                "file" => place == 0,
                "discard" => set(&mut drive.has_discard, Some(value == "on")),
                "ssd" => set(&mut drive.is_ssd, value::switch(value)),
                "serial" => set(&mut drive.serial, value::serial(value).map(Some)),
                "wwn" => set(&mut drive.wwn, value::wwn(value).map(Some)),
                "media" => value == "disk",
                "efitype" => set(&mut self.guest.efi_type, value::efi_type(value)),
                "pre-enrolled-keys" => true,
                _ => DRIVE_WITHOUT_EFFECT.contains(&name),
            };
            if !is_taken {
                self.leave_out(&format!("{key}: {name}"));
            }
        }
        self.guest.drives.push(drive);
        true
    }

    fn finish(self) -> Guest {
        let mut guest = self.guest;
        let mut devices = HashSet::new();
        for drive in &mut guest.drives {
            if let Some(device) = self.devices.get(&drive.name) {
                drive.device.clone_from(device);
            }
        }
        // No two drives have the same disk.
        guest.drives.sort_by_key(|drive| (drive.bus, drive.number));
        let (drives, doubles) = (guest.drives.into_iter())
            .partition(|drive: &Drive| devices.insert(drive.device.clone()));
        guest.drives = drives;
        (guest.left_out).extend(doubles.into_iter().map(|drive: Drive| drive.name));
        guest.nics.sort_by_key(|nic| nic.number);
        if guest.boot.is_empty() {
            let first = guest.drives.first().map(|drive| drive.name.clone());
            guest.boot.extend(self.boot_disk.or(first));
        }
        let is_there = |name: &String| {
            let is_nic = |nic: &Nic| *name == format!("net{}", nic.number);
            let is_drive = |drive: &Drive| drive.bus != Bus::Efi && drive.name == *name;
            guest.drives.iter().any(is_drive) || guest.nics.iter().any(is_nic)
        };
        let mut named = HashSet::new();
        let boot = guest.boot.iter().filter(|name| is_there(name));
        guest.boot = boot
            .filter(|name| named.insert(name.as_str()))
            .cloned()
            .collect();
        guest
    }
}

/// Sets a field to a value that has the right form.
fn set<T>(field: &mut T, value: Option<T>) -> bool {
    match value {
        Some(value) => {
            *field = value;
            true
        }
        None => false,
    }
}
