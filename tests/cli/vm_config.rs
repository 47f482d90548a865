//! `restore vm --config`: what boots the disks of a restored guest.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::{Folder, SnapshotBuilder, SnapshotInfo};

use crate::home::{Home, events};
use crate::running::skip;
use crate::vm::of;

/// A guest with small disks on all buses.
fn guest(home: &Home, configuration: &str) -> SnapshotInfo {
    let mut snapshot = SnapshotBuilder::new("vm/100/2026-11-01T00:00:00Z").chunk_size(64 << 10);
    for name in ["ide0", "sata0", "scsi0", "scsi9", "virtio0"] {
        snapshot = snapshot.image(&format!("drive-{name}.img"), vec![1; 64 << 10]);
    }
    let folder = Folder::new(home.path("store"));
    snapshot
        .image("drive-efidisk0.img", vec![0xff; 528 << 10])
        .blob("qemu-server.conf", configuration.as_bytes())
        .write_to(&folder)
}

#[test]
fn what_is_left_out_of_a_configuration_is_named() {
    let home = Home::new();
    let configuration =
        "args: -x\nscsi0: a:b,iothread=1\nscsi5: a:b\nname: x\u{1b}[31m\nhostpci0: 1\n";
    guest(&home, configuration);
    let vm = "vm vm/100 --dir out --config libvirt --repository ./store";
    let told = home.run(&format!("{vm} --output-format json")).expect(0);
    let told = events(&told.text());
    let config = of("config", &told)[0];
    let left_out = ["args", "scsi0: iothread", "name", "hostpci0"];
    assert_eq!(config["left_out"], Value::from(left_out.to_vec()));
    assert_eq!(config["drives_without_disk"], Value::from(vec!["scsi5"]));
    assert_eq!(config["disks_without_drive"].as_array().unwrap().len(), 5);
    let domain = fs::read_to_string(home.path("out/vm-100.xml")).unwrap();
    assert!(domain.contains("<name>vm-100</name>"), "{domain}");
    assert!(domain.contains("/work/out/drive-scsi0.img'/>"), "{domain}");
    let text = home.run(vm).expect(0).text();
    let says = "  left out of the configuration: args, scsi0: iothread, name, hostpci0\n";
    assert!(text.contains(says), "{text}");
    // Another file in the place of what would be written is not replaced.
    home.write("work/out/vm-100.xml", "mine");
    home.run(vm).expect(8).says("vm-100.xml exists already");
    let overwrite = format!("{vm} --overwrite");
    home.run(&overwrite).expect(0);
    // A folder can't be replaced, which is found before the disks are restored again.
    fs::remove_file(home.path("out/vm-100.xml")).unwrap();
    fs::create_dir(home.path("out/vm-100.xml")).unwrap();
    let run = home.run(&overwrite).expect(8).says("vm-100.xml is no file");
    assert_eq!(run.text(), "");
}

#[test]
fn a_guest_that_can_not_be_written_is_refused_before_its_disks_are() {
    let home = Home::new();
    guest(&home, "arch: aarch64\n");
    home.run("vm vm/100 --dir out --config qemu --repository ./store")
        .expect(2)
        .says("only x86_64 is written");
    assert_eq!(home.names_in(""), ["store"]);
    home.run("vm vm/100 --dir out --repository ./store")
        .expect(0);
    SnapshotBuilder::new("vm/101/2026-11-01T00:00:00Z")
        .image("drive-scsi0.img", vec![1; 4096])
        .write_to(&Folder::new(home.path("store")));
    home.run("vm vm/101 --dir none --config qemu --repository ./store")
        .expect(5)
        .says("no archive qemu-server.conf in vm/101");
    assert_eq!(home.names_in(""), ["out", "store"]);
}

#[test]
fn qemu_takes_the_script_of_each_machine_and_controller() {
    let qemu = Path::new("/usr/bin/qemu-system-x86_64");
    if !qemu.exists() || !Path::new("/usr/share/OVMF/OVMF_CODE_4M.fd").exists() {
        let why = "qemu-system-x86 and ovmf are not installed";
        skip(why);
        return;
    }
    let controllers = [
        "lsi",
        "lsi53c810",
        "megasas",
        "pvscsi",
        "virtio-scsi-pci",
        "virtio-scsi-single",
    ];
    for (number, controller) in controllers.into_iter().enumerate() {
        let home = Home::new();
        let (machine, bios) = match number % 2 {
            0 => ("q35", "ovmf"),
            _ => ("pc", "seabios"),
        };
        let drive = "store:disk,discard=on,ssd=1,serial=S-1";
        guest(
            &home,
            &format!(
                "bios: {bios}\nmachine: {machine}\nscsihw: {controller}\nmemory: 64\nvga: std\n\
             ide0: {drive}\nsata0: {drive}\nscsi0: {drive},wwn=0x500000e111111111\nscsi9: {drive}\nvirtio0: {drive}\n\
             efidisk0: store:efi,efitype=4m\nnet0: virtio=BC:24:11:00:00:01,bridge=x\nnet1: e1000=BC:24:11:00:00:02\n\
             net2: rtl8139\nnet3: vmxnet3\nnet4: e1000e\nboot: order=scsi0;net0\nvmgenid: 1\nlocaltime: 1\n\
             smbios1: uuid=8d2f9d1e-2f3b-4d6a-9a55-0c4f3e2d1b0a\nsockets: 2\n"
            ),
        );
        home.run("vm vm/100 --dir out --config qemu --repository ./store")
            .expect(0);
        let mut command = Command::new(home.path("out/start-vm-100.sh"));
        let quit = home.path("quit");
        fs::write(&quit, "quit\n").unwrap();
        command.args([
            "-machine",
            "accel=tcg",
            "-display",
            "none",
            "-S",
            "-monitor",
            "stdio",
        ]);
        let output = command
            .stdin(fs::File::open(quit).unwrap())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{controller}: {errors}");
        let is_known =
            |line: &str| line.contains("has no peer") || line.contains("TCG doesn't support");
        assert!(errors.lines().all(is_known), "{controller}: {errors}");
    }
}
