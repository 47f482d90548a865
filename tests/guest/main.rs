//! What `restore vm --config` makes of a guest's configuration, which may be anybody's.
#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for; also in what it calls"
)]
#![allow(
    dead_code,
    reason = "the program uses what the tests do not, and the other way round"
)]

#[path = "../../examples/restore/guest/mod.rs"]
mod guest;
mod hostile;
mod shell;

use guest::{Bus, Disk, Display, EfiType, Guest, Machine, NicModel, Refusal, ScsiModel};

const USUAL: &str = "\
#A database
agent: 1
balloon: 512
bios: ovmf
boot: order=scsi0;ide2;net0
cores: 4
cpu: x86-64-v2-AES,flags=+aes
efidisk0: local-lvm:vm-100-disk-0,efitype=4m,pre-enrolled-keys=1,size=4M
ide2: none,media=cdrom
machine: pc-q35-9.2+pve1
memory: 8192
name: db-1.example
net0: virtio=BC:24:11:AA:BB:CC,bridge=vmbr0,firewall=1
net10: model=e1000,macaddr=bc:24:11:00:00:10
onboot: 1
ostype: win11
scsi0: local-lvm:vm-100-disk-1,discard=on,iothread=1,serial=S-1,size=32G,ssd=1
scsi10: file=store:vm-100-disk-3,wwn=0x500000e111111111
scsihw: virtio-scsi-single
serial0: socket
smbios1: uuid=8D2F9D1E-2f3b-4d6a-9a55-0c4f3e2d1b0a
sockets: 2
tpmstate0: local-lvm:vm-100-disk-4,size=4M,version=v2.0
virtio1: store:100/vm-100-disk-2.raw,cache=writeback,size=1T
vga: virtio,memory=64
vmgenid: 0b7c1a61-6f6e-4a5c-9f1f-0d8b0f8b7f10
#qmdump#map:efidisk0:drive-efidisk0:local-lvm:raw:
#qmdump#map:scsi0:drive-scsi0:local-lvm:raw:
#qmdump#map:virtio1:drive-other:store:raw:

[before-update]
args: -snapshot
memory: 1
";

fn parse(text: &str) -> Guest {
    Guest::parse(text.as_bytes()).unwrap()
}

fn disk(device: &str) -> Disk {
    Disk {
        device: device.to_owned(),
        path: format!("/srv/{device}.img"),
        len: 1 << 20,
        is_block_device: false,
    }
}

#[test]
fn a_usual_configuration_is_understood() {
    let guest = parse(USUAL);
    assert_eq!(guest.name.as_deref(), Some("db-1.example"));
    let uuid = "8d2f9d1e-2f3b-4d6a-9a55-0c4f3e2d1b0a";
    assert_eq!(guest.uuid.as_deref(), Some(uuid));
    assert_eq!((guest.sockets, guest.cores), (2, 4));
    assert_eq!((guest.memory_mib, guest.cpu.as_str()), (8192, "Westmere"));
    assert_eq!(
        (guest.machine, guest.scsi),
        (Machine::Q35, ScsiModel::VirtioSingle)
    );
    assert_eq!((guest.has_ovmf, guest.efi_type), (true, EfiType::Large));
    assert_eq!((guest.display, guest.has_serial), (Display::Virtio, true));
    assert!(guest.is_clock_local && guest.has_generation_id);
    let drives: Vec<_> = (guest.drives.iter())
        .map(|drive| (drive.bus, drive.number, drive.device.as_str()))
        .collect();
    let expected = [
        (Bus::Scsi, 0, "drive-scsi0"),
        (Bus::Scsi, 10, "drive-scsi10"),
        (Bus::Virtio, 1, "drive-other"),
        (Bus::Efi, 0, "drive-efidisk0"),
    ];
    assert_eq!(drives, expected);
    let first = &guest.drives[0];
    assert!(first.has_discard && first.is_ssd);
    assert_eq!(first.serial.as_deref(), Some("S-1"));
    assert_eq!(guest.drives[1].wwn.as_deref(), Some("500000e111111111"));
    let nics: Vec<_> = (guest.nics.iter())
        .map(|nic| (nic.number, nic.model, nic.mac.as_deref()))
        .collect();
    let expected = [
        (0, NicModel::Virtio, Some("bc:24:11:aa:bb:cc")),
        (10, NicModel::E1000, Some("bc:24:11:00:00:10")),
    ];
    assert_eq!(nics, expected);
    assert_eq!(guest.boot, ["scsi0", "net0"]);
    let left_out = [
        "agent",
        "cpu: flags",
        "ide2",
        "net0: bridge",
        "net0: firewall",
        "scsi0: iothread",
        "tpmstate0",
        "virtio1: cache",
        "vga: memory",
        "[before-update]",
    ];
    assert_eq!(guest.left_out, left_out);
}

#[test]
fn an_empty_configuration_is_the_default_guest_of_pve() {
    let guest = parse("");
    assert_eq!((guest.sockets, guest.cores, guest.memory_mib), (1, 1, 512));
    assert_eq!((guest.machine, guest.scsi), (Machine::Pc, ScsiModel::Lsi));
    assert_eq!((guest.cpu.as_str(), guest.has_ovmf), ("kvm64", false));
    assert!(guest.drives.is_empty() && guest.boot.is_empty() && guest.left_out.is_empty());
}

#[test]
fn a_guest_without_a_boot_order_boots_from_the_disk_that_is_named_or_else_from_its_first() {
    let drives = "virtio0: a:b\nscsi3: a:b\n";
    assert_eq!(parse(drives).boot, ["scsi3"]);
    let named = format!("{drives}boot: cdn\nbootdisk: virtio0\n");
    assert_eq!(parse(&named).boot, ["virtio0"]);
    let gone = format!("{drives}boot: order=scsi9;virtio0;virtio0;efidisk0\n");
    assert_eq!(parse(&gone).boot, ["virtio0"]);
}

#[test]
fn what_stands_twice_counts_once() {
    let guest = parse("memory: 1024\nmemory: 2048\nscsi0: a:b\nscsi0: c:d,ssd=1\n");
    assert_eq!(guest.memory_mib, 1024);
    assert!(guest.drives.len() == 1 && !guest.drives[0].is_ssd);
    assert_eq!(guest.left_out, ["memory", "scsi0"]);
    // One disk can't be two.
    let guest =
        parse("scsi0: a:b\nscsi1: a:b\n#qmdump#map:scsi0:x:s:raw:\n#qmdump#map:scsi1:x:s:raw:\n");
    assert_eq!(guest.drives.len(), 1);
    assert_eq!(guest.left_out, ["scsi1"]);
}

#[test]
fn an_address_of_a_network_card_that_is_none_is_named_and_the_card_stays() {
    let guest = parse("net0: virtio=BC:24:11,bridge=x\nnet1: e1000\nnet2: model=e1000\n");
    assert_eq!(guest.left_out, ["net0: virtio", "net0: bridge"]);
    assert_eq!(guest.nics.len(), 3);
    assert!(guest.nics.iter().all(|nic| nic.mac.is_none()));
}

#[test]
fn drives_and_disks_that_have_no_counterpart_are_named() {
    let guest = parse(USUAL);
    let disks = [disk("drive-scsi0"), disk("drive-tpmstate0-backup")];
    assert_eq!(
        guest.empty_drives(&disks),
        ["scsi10", "virtio1", "efidisk0"]
    );
    assert_eq!(guest.spare_disks(&disks), ["drive-tpmstate0-backup"]);
    // A guest without UEFI has no use for its variables.
    let guest = parse("efidisk0: a:b");
    let disks = [disk("drive-efidisk0")];
    assert_eq!(guest.spare_disks(&disks), ["drive-efidisk0"]);
}

#[test]
fn what_can_be_no_guest_is_refused() {
    let long = vec![b'#'; (1 << 20) + 1];
    assert_eq!(Guest::parse(&long), Err(Refusal::TooLong(long.len())));
    let refusal = Guest::parse(b"arch: aarch64\n").unwrap_err();
    assert!(refusal.to_string().contains("aarch64"), "{refusal}");
    assert!(Guest::parse(b"arch: x86_64\n").is_ok());
}
