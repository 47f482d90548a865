//! Odd snapshots: names that could mean two files, files that are listed and gone, and those that no manifest lists.

use std::fs;
use std::process::Command;

use serde_json::Value;
use testkit::{CryptMode, Folder, Image, SnapshotBuilder, Store as _, TestKey, Workload};

use crate::home::{Home, Run, events};

const CHUNK: u64 = 4096;
const SNAPSHOT: &str = "vm/100/2026-11-01T00:00:00Z";

fn image(seed: u64) -> Image {
    Image::new(Workload::Incompressible, seed, 4 * CHUNK, CHUNK)
}

fn bytes(image: &Image) -> Vec<u8> {
    (0..image.count())
        .flat_map(|position| image.chunk(position))
        .collect()
}

/// A home with a datastore of its own.
fn home(snapshot: SnapshotBuilder) -> (Home, Folder) {
    let home = Home::new();
    let store = Folder::new(home.path("store"));
    snapshot.chunk_size(CHUNK).write_to(&store);
    (home, store)
}

fn run(home: &Home, arguments: &str) -> Run {
    home.run_with("PBS_REPOSITORY", "./store", arguments)
}

fn snapshot() -> SnapshotBuilder {
    SnapshotBuilder::new(SNAPSHOT).chunk_size(CHUNK)
}

#[test]
fn every_listed_file_is_verified_and_restored_once_whatever_the_names() {
    let (home, store) = home(
        snapshot()
            .image("a.img", image(1))
            .blob("a.img.fidx", b"no index")
            .blob("a.img", b"no image")
            .image("b.img", image(2))
            .blob("b.img.fidx", b"no index either"),
    );
    let told = events(
        &run(&home, "verify vm/100 --output-format json")
            .expect(0)
            .text(),
    );
    let verified = told.iter().filter(|event| event["event"] == "verified");
    let names: Vec<&str> = verified
        .filter_map(|event| event["archive"].as_str())
        .collect();
    let all = [
        "a.img.fidx",
        "a.img.fidx.blob",
        "a.img.blob",
        "b.img",
        "b.img.fidx.blob",
    ];
    assert_eq!(names, all);
    let told = events(
        &run(&home, "list vm/100 --output-format json")
            .expect(0)
            .text(),
    );
    let listed: Vec<&Value> = told.iter().skip(1).map(|event| &event["name"]).collect();
    assert_eq!(listed, all);

    run(&home, "get vm/100 out").expect(0);
    assert_eq!(home.names_in("out").len(), 5);
    for (name, data) in [
        ("a.img.fidx", bytes(&image(1))),
        ("a.img.fidx.blob", b"no index".to_vec()),
        ("a.img.blob", b"no image".to_vec()),
        ("b.img", bytes(&image(2))),
        ("b.img.fidx.blob", b"no index either".to_vec()),
    ] {
        assert!(
            fs::read(home.path("out").join(name)).unwrap() == data,
            "{name}"
        );
        let run = run(&home, &format!("image vm/100 {name} -")).expect(0);
        assert!(run.stdout == data, "{name}");
    }
    run(&home, "image vm/100 a.img -")
        .expect(2)
        .says("a.img is not the name of one file of vm/100/2026-11-01T00:00:00Z: name a.img.fidx or a.img.blob in full");

    // One that is damaged is not passed over.
    let folder = store.snapshot_path("", SNAPSHOT);
    fs::write(folder.join("b.img.fidx.blob"), "damaged").unwrap();
    run(&home, "verify vm/100")
        .expect(7)
        .says("b.img.fidx.blob");
}

#[test]
fn names_that_would_be_written_over_one_another_are_refused_before_anything_is_written() {
    for other in ["x.img.damaged.json", "x.img.partial", "x.img.damaged"] {
        let (home, _) = home(snapshot().image("x.img", image(1)).blob(other, b"precious"));
        run(&home, "get vm/100 out").expect(8).says(&format!(
            "x.img and {other} can't be restored into one folder"
        ));
        assert_eq!(home.names_in(""), ["store"]);
        run(&home, "get vm/100 x.img out").expect(0);
        // Nor one after the other.
        fs::create_dir(home.path("full")).unwrap();
        fs::write(home.path("full").join(other), b"precious").unwrap();
        run(&home, "get vm/100 x.img full").expect(8);
        assert_eq!(home.names_in("full"), [other]);
        run(&home, &format!("get vm/100 {other} more")).expect(0);
        assert_eq!(
            fs::read(home.path("more").join(other)).unwrap(),
            b"precious"
        );
        run(&home, "verify vm/100").expect(0);
    }
}

#[test]
fn a_file_that_is_listed_and_gone_is_named_and_the_rest_is_done() {
    for gone in ["a.img.fidx", "conf.blob"] {
        let (home, store) = home(
            snapshot()
                .image("a.img", image(1))
                .blob("conf", b"cores: 2\n")
                .image("b.img", image(2))
                .blob("last", b"words"),
        );
        fs::remove_file(store.snapshot_path("", SNAPSHOT).join(gone)).unwrap();
        let name = gone.rsplit_once('.').unwrap().0;
        let why = format!("error: {gone} of {SNAPSHOT} is missing: its manifest lists it");
        let verified = run(&home, "verify vm/100").expect(7);
        assert_eq!(verified.text().matches(" verified: ").count(), 3);
        verified.says(&why);
        for (arguments, folder) in [
            ("get vm/100 out", "out"),
            ("get vm/100 more --salvage", "more"),
        ] {
            run(&home, arguments).expect(7).says(&why);
            let mut expected = vec!["a.img", "b.img", "conf", "last"];
            expected.retain(|other| *other != name);
            assert_eq!(home.names_in(folder), expected);
        }
        run(&home, &format!("image vm/100 {name} x"))
            .expect(7)
            .says(&why);
        // Whose name nobody knows is another matter.
        run(&home, "image vm/100 c.img x").expect(5);
    }
}

#[test]
fn small_files_and_archives_are_held_one_at_a_time() {
    // 12 blobs of 64 MiB of zeros take next to nothing in the datastore, and 768 MiB at once.
    let zeros = vec![0; 64 << 20];
    let mut many = (0..12).fold(snapshot(), |snapshot, number| {
        snapshot.blob(&format!("{number}.conf"), &zeros)
    });
    many = (0..100).fold(many, |snapshot, number| {
        snapshot.image(&format!("{number}.img"), image(number))
    });
    let (home, _) = home(many);
    for arguments in ["get vm/100 out", "verify vm/100"] {
        let plain = home.command(arguments);
        let mut command = Command::new("sh");
        command
            .args([
                "-c",
                "ulimit -v 700000 && ulimit -n 64 && exec \"$0\" \"$@\"",
            ])
            .arg(plain.get_program())
            .args(plain.get_args())
            .args(["--threads", "2", "--memory", "8MiB", "--quiet"]);
        for (name, value) in plain.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.current_dir(plain.get_current_dir().unwrap());
        command.env("PBS_REPOSITORY", "./store");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments}: {said}");
    }
    assert_eq!(home.names_in("out").len(), 112);
    assert_eq!(
        fs::metadata(home.path("out/7.conf")).unwrap().len(),
        64 << 20
    );
}

#[test]
fn what_no_manifest_lists_can_be_read() {
    let key = TestKey::from_seed(1);
    let (home, store) = home(
        snapshot()
            .key(&key, CryptMode::Encrypt)
            .image("a.img", image(1)),
    );
    home.write("work/key", key.key_file(testkit::Kdf::None));
    let folder = store.snapshot_path("", SNAPSHOT);
    run(&home, "image vm/100 client.log - --keyfile key")
        .expect(5)
        .says("vm/100/2026-11-01T00:00:00Z has no client.log");
    let kind = testkit::BlobKind::Encrypted;
    let log = testkit::encode(kind, b"all went well\n", Some(&key));
    fs::write(folder.join("client.log.blob"), log).unwrap();
    let read = |name: &str| {
        run(
            &home,
            &format!("image vm/100 {name} - --keyfile key --quiet"),
        )
        .expect(0)
        .stdout
    };
    assert_eq!(read("client.log"), b"all went well\n");
    assert_eq!(read("client.log.blob"), b"all went well\n");
    let manifest: Value = serde_json::from_slice(&read("index.json")).unwrap();
    assert_eq!(manifest["files"][0]["filename"], "a.img.fidx");
    run(&home, "image vm/100 client.log -").expect(6);

    run(&home, "get vm/100 index.json client.log out --keyfile key").expect(0);
    assert_eq!(home.names_in("out"), ["client.log", "index.json"]);
    run(&home, "get vm/100 all --keyfile key").expect(0);
    assert_eq!(home.names_in("all"), ["a.img"]);
}

#[test]
fn only_a_list_of_damage_is_replaced_or_taken_away_as_one() {
    let (home, store) = home(snapshot().image("a.img", image(1)));
    let map = home.path("a.img.damaged.json");
    fs::write(&map, "{\"mine\": 1}").unwrap();
    run(&home, "image vm/100 a.img a.img").expect(0);
    assert_eq!(fs::read(&map).unwrap(), b"{\"mine\": 1}");

    fs::remove_file(home.path("a.img")).unwrap();
    let index = store.file("", SNAPSHOT, "a.img.fidx").unwrap();
    let digest: [u8; 32] = index[4096..4096 + 32].try_into().unwrap();
    let chunk = store.chunk(&digest).unwrap();
    store.remove_chunk(&digest);
    run(&home, "image vm/100 a.img a.img --salvage")
        .expect(8)
        .says("a.img.damaged.json is there, and is no list of the damage");
    assert_eq!(fs::read(&map).unwrap(), b"{\"mine\": 1}");

    fs::remove_file(&map).unwrap();
    run(&home, "image vm/100 a.img a.img --salvage").expect(3);
    run(&home, "image vm/100 a.img a.img --salvage").expect(3);
    store.put_chunk(&digest, &chunk);
    run(&home, "image vm/100 a.img a.img --salvage").expect(0);
    assert!(!map.exists());
}
