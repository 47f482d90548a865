//! What a shell makes of the script, whatever the paths of the disks hold.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::guest::{Disk, Firmware, domain, is_plain_path, script};
use crate::{USUAL, parse};

/// The words that a script runs QEMU with, and these more.
pub(crate) fn words_of(script: &str, more: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let show = folder.path().join("show");
    fs::write(&show, "#!/bin/sh\nprintf '%s\\0' \"$@\"\n").unwrap();
    fs::set_permissions(&show, fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script, "script"]).args(more);
    command.env("QEMU", &show).env("OVMF_CODE", "/firmware");
    let output = command.current_dir(folder.path()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{script}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.split_terminator('\0').map(str::to_owned).collect()
}

#[test]
fn a_path_of_any_characters_stays_one_path() {
    let path = "/srv/it's $HOME `id` \"a\\b\", & <c>;é/disk.img";
    let disk = Disk {
        device: "drive-scsi0".to_owned(),
        path: path.to_owned(),
        len: 1 << 20,
        is_block_device: false,
    };
    let guest = parse("scsi0: a:b");
    let words = words_of(
        &script(&guest, std::slice::from_ref(&disk)),
        &["-display", "none"],
    );
    let place = words.iter().position(|word| word == "-blockdev").unwrap();
    let node: Value = serde_json::from_str(&words[place + 1]).unwrap();
    assert_eq!(node["file"]["filename"], path);
    assert_eq!(words[words.len() - 2..], ["-display", "none"]);
    let xml = domain(&guest, &[disk], "vm-100", None, true);
    let escaped = "/srv/it&apos;s $HOME `id` &quot;a\\b&quot;, &amp; &lt;c&gt;;é/disk.img";
    assert!(
        xml.contains(&format!("<source file='{escaped}'/>")),
        "{xml}"
    );
}

#[test]
fn a_path_with_control_characters_or_other_bytes_than_text_is_none() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    assert!(is_plain_path(Path::new("/srv/a b")).is_some());
    for path in [&b"/srv/a\nb"[..], b"/srv/\x1b[1m", b"/srv/\xff"] {
        assert_eq!(is_plain_path(Path::new(OsStr::from_bytes(path))), None);
    }
}

#[test]
fn the_variables_of_the_firmware_are_as_long_as_the_firmware_wants_them() {
    let guest = parse(USUAL);
    let variables = |len| Disk {
        device: "drive-efidisk0".to_owned(),
        path: "/dev/pve/vm-100-disk-0".to_owned(),
        len,
        is_block_device: true,
    };
    let long = script(&guest, &[variables(4 << 20)]);
    assert!(long.contains(r#""size":540672"#), "{long}");
    assert!(long.contains(r#""driver":"host_device""#), "{long}");
    let exact = script(&guest, &[variables(540_672)]);
    assert!(!exact.contains(r#""size""#) && exact.contains("pflash1=variables"));
    let none = script(&guest, &[]);
    assert!(!none.contains("pflash1") && none.contains("pflash0=firmware"));
    let firmware = Firmware {
        code: "/firmware",
        variables: Some("/vars"),
    };
    let xml = domain(&guest, &[], "x", Some(firmware), false);
    assert!(xml.contains("<nvram>/vars</nvram>") && xml.contains("<domain type='qemu'>"));
}
