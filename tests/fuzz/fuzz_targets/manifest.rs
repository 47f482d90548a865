//! A manifest that parses can be asked for all that it says, and shown.
#![no_main]

use chunk_restore::Key;
use chunk_restore::format::Manifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    let Ok(manifest) = Manifest::parse(json) else {
        return;
    };
    for file in manifest.files() {
        assert_eq!(
            manifest.file(file.name()).map(|found| found.name()),
            Some(file.name())
        );
    }
    // Nobody can sign with a key that is random.
    assert!(
        manifest
            .verify_signature(&Key::from_bytes([7; 32]))
            .is_err()
    );
    let _ = (manifest.notes(), manifest.key_fingerprint());
    let _ = format!("{manifest:?}");
});
