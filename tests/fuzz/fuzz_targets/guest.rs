//! What boots a guest has nothing of its configuration in it but words that are harmless.
#![no_main]
#![allow(
    dead_code,
    unused_imports,
    reason = "the program uses more of the parser"
)]

use libfuzzer_sys::fuzz_target;

#[path = "../../../examples/restore/guest/mod.rs"]
mod guest;

use guest::{Disk, Guest};

fuzz_target!(|text: &[u8]| {
    let Ok(guest) = Guest::parse(text) else {
        return;
    };
    let disks: Vec<Disk> = (guest.drives.iter())
        .map(|drive| Disk {
            device: drive.device.clone(),
            path: "/disk".to_owned(),
            len: 1 << 20,
            is_block_device: false,
        })
        .collect();
    assert!(guest.empty_drives(&disks).is_empty());
    for text in [
        guest::script(&guest, &disks),
        guest::domain(&guest, &disks, "guest", None, true),
    ] {
        // The names in the configuration have none of these, and the program writes them in pairs.
        assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
        assert_eq!(text.matches('\'').count() % 2, 0);
        assert!(text.is_ascii());
    }
});
