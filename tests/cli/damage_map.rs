//! The list of damage: nothing but such a list is ever replaced or removed.

use std::fs;
use std::os::unix::fs::symlink;

use crate::home::{GOLDEN_RAW, Home, Run, chunk_file};

const IMAGE: &str = "image vm/200 drive-scsi0.img";

struct Store {
    home: Home,
    chunk: std::path::PathBuf,
    blob: Vec<u8>,
}

impl Store {
    /// A home with a datastore that lacks a chunk.
    fn new() -> Store {
        let home = Home::new();
        let chunk = chunk_file(&home.datastore(), 5);
        let blob = fs::read(&chunk).unwrap();
        fs::remove_file(&chunk).unwrap();
        Store { home, chunk, blob }
    }

    fn heal(&self) {
        fs::write(&self.chunk, &self.blob).unwrap();
    }

    fn run(&self, rest: &str) -> Run {
        let arguments = format!("{IMAGE} {rest} --repository dir:datastore");
        self.home.run(&arguments)
    }
}

#[test]
fn a_file_that_is_no_list_stays_whether_the_archive_is_whole_or_not() {
    let store = Store::new();
    let home = &store.home;
    let other = r#"{"namespace":"","snapshot":"","archive":"","len":1,"range":{},"target":"x.damaged","damage":[]}"#;
    for (name, content) in [
        ("notes", "precious"),
        ("empty", ""),
        ("object", "{}"),
        ("of-another-disk", other),
    ] {
        home.write(&format!("work/{name}"), content);
    }
    fs::create_dir(home.path("folder")).unwrap();
    symlink("notes", home.path("link")).unwrap();
    symlink("nowhere", home.path("dangling")).unwrap();
    let before = home.names_in("");
    for is_whole in [false, true] {
        if is_whole {
            store.heal();
        }
        for name in before.iter().filter(|name| *name != "datastore") {
            store
                .run(&format!("disk.raw --salvage --damage-map {name}"))
                .expect(8)
                .says(&format!(
                    "{name} is there, and is no list of the damage of disk.raw.damaged"
                ));
            store
                .run(&format!("- --salvage --damage-map {name}"))
                .expect(8);
        }
        assert_eq!(home.names_in(""), before);
        assert_eq!(fs::read(home.path("notes")).unwrap(), b"precious");
        assert_eq!(
            fs::read(home.path("of-another-disk")).unwrap(),
            other.as_bytes()
        );
    }
    // The same for the name that it has by itself.
    home.write("work/disk.raw.damaged.json", "precious");
    store.run("disk.raw --salvage").expect(8);
    store.run("disk.raw").expect(0);
    let list = home.path("disk.raw.damaged.json");
    assert_eq!(fs::read(list).unwrap(), b"precious");
}

#[test]
fn what_is_restored_is_no_place_for_the_list() {
    let store = Store::new();
    let home = &store.home;
    let refused = |rest: &str| {
        store
            .run(&format!("{rest} --salvage"))
            .expect(8)
            .says("the list of damage can't be written to");
    };
    symlink("../work", home.path("way")).unwrap();
    symlink("disk.raw", home.path("link")).unwrap();
    for name in ["disk.raw", "disk.raw.partial", "disk.raw.damaged"] {
        for way in ["", "./", "way/", "way/../work/"] {
            refused(&format!("disk.raw --damage-map {way}{name}"));
        }
    }
    refused("disk.raw --damage-map link");
    assert_eq!(home.names_in(""), ["datastore", "link", "way"]);
    store.heal();
    store.run("disk.raw").expect(0);
    fs::hard_link(home.path("disk.raw"), home.path("hard")).unwrap();
    for name in ["disk.raw", "way/disk.raw", "link", "hard"] {
        refused(&format!("disk.raw --overwrite --damage-map {name}"));
        refused(&format!("disk.raw --reuse --damage-map {name}"));
    }
    assert_eq!(home.sha256_of("disk.raw"), GOLDEN_RAW);
    assert_eq!(
        home.names_in(""),
        ["datastore", "disk.raw", "hard", "link", "way"]
    );
}

#[test]
fn a_list_of_its_own_is_replaced_and_goes_when_nothing_is_lost() {
    let store = Store::new();
    let home = &store.home;
    for _ in 0..2 {
        store
            .run("disk.raw --salvage --damage-map map.json")
            .expect(3);
        store.run("- --salvage --damage-map stdout.json").expect(3);
        store.run("./disk.raw --salvage").expect(3);
    }
    let lists = [
        "datastore",
        "disk.raw.damaged",
        "disk.raw.damaged.json",
        "map.json",
        "stdout.json",
    ];
    assert_eq!(home.names_in(""), lists);
    // A whole small file of the same name leaves the damaged disk, and its list.
    home.run("image vm/200 qemu-server.conf disk.raw --salvage")
        .expect(0);
    fs::remove_file(home.path("disk.raw")).unwrap();
    assert_eq!(home.names_in(""), lists);
    store.heal();
    store.run("- --salvage --damage-map stdout.json").expect(0);
    store
        .run("disk.raw --salvage --damage-map map.json")
        .expect(0);
    assert_eq!(
        home.names_in(""),
        ["datastore", "disk.raw", "disk.raw.damaged.json"]
    );
    home.run("get vm/200 drive-scsi0.img .").expect(0);
    store.run("disk.raw --overwrite").expect(0);
    assert!(!home.path("disk.raw.damaged.json").exists());
}
