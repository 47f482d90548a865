//! A `storage.cfg` never makes anything panic, and what is found in it can be written and found again.
#![no_main]

use chunk_restore::Place;
use chunk_restore::pve::Storages;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let storages = Storages::parse(text);
    for storage in storages.iter().flatten() {
        let again = storages.get(storage.name());
        assert_eq!(again.ok().as_ref(), Some(&storage));
        let place = Place::Pve(storage.name().clone());
        assert_eq!(place.to_string().parse().ok(), Some(place));
        let repository = storage.repository();
        // The longest name of a repository is shorter than the longest server and datastore together.
        if repository.to_string().len() <= 256 {
            assert_eq!(
                repository.to_string().parse().ok().as_ref(),
                Some(repository)
            );
        }
    }
});
