//! Configurations by somebody who means harm: no setting that is not harmless comes through.

use proptest::prelude::*;

use crate::guest::{Disk, Firmware, Guest, domain, script};
use crate::shell::words_of;
use crate::{disk, parse};

/// What nobody but an attacker writes, and must come out nowhere.
const HARM: [&str; 12] = [
    "$(touch HARM)",
    "`touch HARM`",
    "'; touch HARM; '",
    "\"; touch HARM; \"",
    "a,path=/etc/HARM",
    "/etc/HARM",
    "</name><HARM/>",
    "'/><HARM/>",
    "&HARM;",
    "--HARM=1",
    "%HARM",
    "x\u{1b}[31mHARM",
];

const KEYS: [&str; 26] = [
    "args",
    "audio0",
    "bios",
    "boot",
    "bootdisk",
    "cores",
    "cpu",
    "efidisk0",
    "hookscript",
    "hostpci0",
    "ide0",
    "machine",
    "memory",
    "name",
    "net0",
    "ostype",
    "parallel0",
    "rng0",
    "sata0",
    "scsi0",
    "scsihw",
    "serial0",
    "smbios1",
    "usb0",
    "vga",
    "virtio0",
];

fn all_disks() -> Vec<Disk> {
    let kinds = ["scsi0", "virtio0", "sata0", "ide0", "efidisk0"];
    kinds.map(|kind| disk(&format!("drive-{kind}"))).to_vec()
}

/// Fails if anything of an attacker is in what boots the guest, or a word that this program does not write.
fn check(guest: &Guest) {
    let disks = all_disks();
    let script = script(guest, &disks);
    assert!(!script.contains("HARM"), "{script}");
    let words = words_of(&script, &[]);
    let known = [
        "-name",
        "-blockdev",
        "-machine",
        "-cpu",
        "-smp",
        "-m",
        "-uuid",
        "-device",
        "-rtc",
        "-vga",
        "-display",
        "-serial",
    ];
    let mut words = words.iter();
    while let Some(option) = words.next() {
        if option == "-nodefaults" {
            continue;
        }
        assert!(known.contains(&option.as_str()), "{option}: {script}");
        let value = words.next().unwrap();
        assert!(!value.starts_with('-'), "{option} {value}");
        // Paths are those of the restored disks and of the firmware alone.
        for path in value.match_indices('/') {
            let path = &value[path.0..];
            let is_known = ["/srv/drive-", "/drive-", "/firmware"];
            assert!(
                is_known.iter().any(|known| path.starts_with(known)),
                "{value}"
            );
        }
    }
    let firmware = Firmware {
        code: "/firmware",
        variables: Some("/srv/drive-efidisk0.img"),
    };
    let xml = domain(guest, &disks, "vm-100", Some(firmware), true);
    assert!(!xml.contains("HARM"), "{xml}");
    assert!(
        !xml.contains(|c: char| c.is_control() && c != '\n'),
        "{xml}"
    );
    for element in ["hostdev", "filesystem", "qemu:", "emulator", "source dev"] {
        assert!(!xml.contains(element), "{xml}");
    }
    assert_eq!(
        xml.matches("<disk ").count(),
        xml.matches("</disk>").count()
    );
}

#[test]
fn no_setting_carries_harm_and_each_is_named_as_left_out() {
    for key in KEYS {
        for harm in HARM {
            let forms = [
                harm.to_owned(),
                format!("virtio={harm},bridge={harm}"),
                format!("uuid={harm}"),
                format!("store:disk,serial={harm},wwn={harm}"),
                format!("order={harm}"),
                format!("q35,{harm}"),
            ];
            for form in forms {
                let guest = parse(&format!("{key}: {form}\n"));
                check(&guest);
                let is_silent = ["ostype", "boot", "bootdisk"].contains(&key)
                    || form.starts_with("store:") && !is_drive(key);
                let is_volume = is_drive(key) && !form.starts_with("store:");
                if !is_silent && !is_volume {
                    assert!(!guest.left_out.is_empty(), "{key}: {form}");
                }
            }
        }
    }
}

fn is_drive(key: &str) -> bool {
    ["efidisk0", "ide0", "sata0", "scsi0", "virtio0"].contains(&key)
}

#[test]
fn devices_and_files_of_the_host_are_left_out() {
    let settings = [
        "args: -drive file=/etc/shadow",
        "audio0: device=ich9-intel-hda,driver=spice",
        "cicustom: user=local:snippets/x",
        "hookscript: local:snippets/x.pl",
        "hostpci0: 0000:01:00.0",
        "ivshmem: size=32,name=x",
        "keyboard: de",
        "parallel0: /dev/parport0",
        "rng0: source=/dev/urandom",
        "serial0: /dev/ttyS0",
        "serial1: socket",
        "spice_enhancements: foldersharing=1",
        "unused0: local-lvm:vm-100-disk-9",
        "usb0: host=1234:5678",
        "virtiofs0: dirid=x",
        "watchdog: model=i6300esb",
    ];
    for setting in settings {
        let guest = parse(setting);
        let key = setting.split(':').next().unwrap();
        assert_eq!(guest.left_out, [key]);
        let nothing = Guest {
            left_out: Vec::new(),
            ..guest
        };
        assert_eq!(nothing, parse(""), "{setting}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let guest = Guest::parse(&bytes).unwrap();
        let _ = (script(&guest, &all_disks()), domain(&guest, &all_disks(), "x", None, false));
        prop_assert!(guest.left_out.iter().all(|what| what.chars().count() <= 60));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Lines of known settings with parts of good values and bad ones.
    #[test]
    fn any_mixture_of_settings_boots_only_the_restored_disks(
        lines in proptest::collection::vec((any::<prop::sample::Index>(), value()), 0..12),
    ) {
        let line = |(key, value): &(prop::sample::Index, String)| format!("{}: {value}\n", key.get(&KEYS));
        let text: String = lines.iter().map(line).collect();
        check(&parse(&text));
    }
}

/// A value of several parts.
fn value() -> impl Strategy<Value = String> {
    const GOOD: [&str; 14] = [
        "ovmf",
        "q35",
        "store:disk",
        "ssd=1",
        "efitype=4m",
        "virtio=BC:24:11:00:00:01",
        "host",
        "2",
        "socket",
        "virtio-scsi-single",
        "std",
        "uuid=8d2f9d1e-2f3b-4d6a-9a55-0c4f3e2d1b0a",
        "order=scsi0;net0",
        "serial=x",
    ];
    let part = prop_oneof![
        4 => prop::sample::select(&GOOD[..]).prop_map(str::to_owned),
        2 => prop::sample::select(&HARM[..]).prop_map(str::to_owned),
        1 => (prop::sample::select(&["serial", "model", "type", "uuid", "file"][..]), prop::sample::select(&HARM[..]))
            .prop_map(|(name, harm)| format!("{name}={harm}")),
    ];
    proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join(","))
}
