//! Damaged datastores: what `--salvage` restores, lists and says, and what is fetched once they are healed.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use testkit::{Folder, Image, SnapshotBuilder, Workload, hex};

use crate::home::{Home, Run, chunk_file, events};

const CHUNK: usize = 4096;
const CHUNKS: usize = 400;
const SALVAGE: &str = "image vm/100 disk.img disk.raw --salvage";

/// A home with a datastore of its own, whose chunks are all different, and the image.
fn home() -> (Home, Folder, Vec<[u8; 32]>, Vec<u8>) {
    let home = Home::new();
    let store = Folder::new(home.path("store"));
    let image = Image::new(
        Workload::Incompressible,
        5,
        (CHUNKS * CHUNK) as u64,
        CHUNK as u64,
    );
    let info = SnapshotBuilder::new("vm/100/2026-11-01T00:00:00Z")
        .image("disk.img", &image)
        .blob("vm.conf", b"cores: 2\n")
        .write_to(&store);
    let bytes = (0..image.count()).flat_map(|position| image.chunk(position));
    (
        home,
        store,
        info.archive("disk.img").digests.clone(),
        bytes.collect(),
    )
}

fn run(home: &Home, arguments: &str) -> Run {
    home.run_with("PBS_REPOSITORY", "./store", arguments)
}

/// One chunk in a hundred each is deleted, flipped, truncated and unreadable. Gives the map that is to come out, and what
/// was there.
fn damage(store: &Folder, digests: &[[u8; 32]]) -> (Vec<Value>, Vec<(PathBuf, Vec<u8>)>) {
    let mut map = Vec::new();
    let mut healthy = Vec::new();
    for (position, digest) in digests.iter().enumerate() {
        // Neighbours too, the first and the last.
        let way = match position {
            399 => 0,
            _ => (position * 7) % 100,
        };
        if way > 3 {
            continue;
        }
        let path = store.chunk_path(digest);
        let mut blob = fs::read(&path).unwrap();
        healthy.push((path.clone(), blob.clone()));
        let reason = match way {
            0 => {
                fs::remove_file(&path).unwrap();
                "missing"
            }
            1 => {
                let middle = blob.len() / 2;
                blob[middle] ^= 1;
                fs::write(&path, blob).unwrap();
                "corrupt"
            }
            2 => {
                fs::write(&path, &blob[..blob.len() / 2]).unwrap();
                "corrupt"
            }
            // Also for root, who may read everything.
            _ => {
                fs::remove_file(&path).unwrap();
                fs::create_dir(&path).unwrap();
                "unreadable"
            }
        };
        map.push(json!({
            "position": position, "offset": position * CHUNK, "len": CHUNK, "digest": hex(digest), "reason": reason,
        }));
    }
    assert_eq!(map.len(), 17);
    (map, healthy)
}

fn heal(healthy: &[(PathBuf, Vec<u8>)]) {
    for (path, blob) in healthy {
        if path.is_dir() {
            fs::remove_dir(path).unwrap();
        }
        fs::write(path, blob).unwrap();
    }
}

fn with_zeros(mut bytes: Vec<u8>, map: &[Value]) -> Vec<u8> {
    for lost in map {
        let offset = lost["offset"].as_u64().unwrap() as usize;
        bytes[offset..][..CHUNK].fill(0);
    }
    bytes
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn the_map_lists_exactly_what_is_damaged_and_a_healed_store_gives_just_that() {
    let (home, store, digests, bytes) = home();
    let (map, healthy) = damage(&store, &digests);
    let result = run(&home, SALVAGE).expect(3);
    result
        .says("warning: disk.raw.damaged is damaged: 17 chunks are lost: 5 missing, 8 corrupt, 4 unreadable\n")
        .says("\n  listed in disk.raw.damaged.json\n");
    assert_eq!(
        home.names_in(""),
        ["disk.raw.damaged", "disk.raw.damaged.json", "store"]
    );
    let found = read_json(&home.path("disk.raw.damaged.json"));
    let expected = json!({
        "namespace": "", "snapshot": "vm/100/2026-11-01T00:00:00Z", "archive": "disk.img", "len": CHUNKS * CHUNK,
        "range": { "offset": 0, "len": CHUNKS * CHUNK }, "target": "disk.raw.damaged", "damage": map,
    });
    assert_eq!(found, expected);
    assert!(fs::read(home.path("disk.raw.damaged")).unwrap() == with_zeros(bytes.clone(), &map));

    // Still damaged: nothing is fetched, and all is said again.
    let told = events(
        &run(&home, &format!("{SALVAGE} --output-format json"))
            .expect(3)
            .text(),
    );
    let of = |sort: &str| -> Vec<&Value> {
        told.iter().filter(|event| event["event"] == sort).collect()
    };
    let lost: Vec<&Value> = of("lost").iter().map(|event| &event["digest"]).collect();
    assert!(
        lost.iter()
            .copied()
            .eq(map.iter().map(|lost| &lost["digest"]))
    );
    let restored = of("restored")[0];
    assert_eq!(
        (restored["chunks"].as_u64(), restored["lost"].as_u64()),
        (Some(0), Some(17))
    );
    assert_eq!(restored["target"], "disk.raw.damaged");
    assert_eq!(of("damaged")[0]["map"], "disk.raw.damaged.json");

    heal(&healthy);
    let told = events(
        &run(&home, &format!("{SALVAGE} --output-format json"))
            .expect(0)
            .text(),
    );
    let restored = told.last().unwrap();
    assert_eq!(
        (restored["chunks"].as_u64(), restored["lost"].as_u64()),
        (Some(17), Some(0))
    );
    assert_eq!(home.names_in(""), ["disk.raw", "store"]);
    assert!(fs::read(home.path("disk.raw")).unwrap() == bytes);
}

#[test]
fn verify_reports_all_damage() {
    let (home, store, digests, _) = home();
    let (map, healthy) = damage(&store, &digests);
    let result = run(&home, "verify vm/100 --output-format json").expect(7);
    let told = events(&result.text());
    let lost = told.iter().filter(|event| event["event"] == "lost");
    let lost: Vec<Value> = lost
        .map(|event| {
            let mut event = event.clone();
            let members = event.as_object_mut().unwrap();
            members.remove("event");
            assert_eq!(members.remove("archive").unwrap(), "disk.img");
            event
        })
        .collect();
    assert_eq!(lost, map);
    let verified = told.iter().filter(|event| event["event"] == "verified");
    assert!(verified.map(|event| &event["archive"]).eq(["vm.conf"]));
    let lines = run(&home, "verify vm/100").expect(7).stderr;
    assert_eq!(
        lines.matches("lost: 4096 bytes at offset ").count(),
        17,
        "{lines}"
    );
    heal(&healthy);
    run(&home, "verify vm/100").expect(0);
}

#[test]
fn without_salvage_the_first_damage_stops_it_and_salvage_is_named() {
    let (home, store, digests, bytes) = home();
    store.remove_chunk(&digests[300]);
    run(&home, "image vm/100 disk.img disk.raw")
        .expect(7)
        .says("  --salvage puts zeros in place of what is damaged")
        .says("  disk.raw.partial is incomplete");
    // What was restored before is not fetched again.
    let told = events(
        &run(&home, &format!("{SALVAGE} --output-format json"))
            .expect(3)
            .text(),
    );
    let restored = told
        .iter()
        .find(|event| event["event"] == "restored")
        .unwrap();
    let fetched = restored["chunks"].as_u64().unwrap();
    assert!(
        fetched < CHUNKS as u64 - 200,
        "{fetched} chunks were fetched"
    );
    let lost = with_zeros(bytes, &[json!({ "offset": 300 * CHUNK })]);
    assert!(fs::read(home.path("disk.raw.damaged")).unwrap() == lost);
}

#[test]
fn standard_output_gets_zeros_and_the_map_goes_where_it_is_told_to() {
    let (home, store, digests, bytes) = home();
    let (map, _) = damage(&store, &digests);
    let result = run(&home, "image vm/100 disk.img - --salvage").expect(3);
    assert!(result.stdout == with_zeros(bytes.clone(), &map));
    result.says("warning: standard output is damaged: 17 chunks");
    assert_eq!(home.names_in(""), ["store"]);

    // A part, which begins and ends within lost chunks.
    let range = "--range 100+409550 --damage-map map.json --quiet";
    let result = run(&home, &format!("image vm/100 disk.img - --salvage {range}")).expect(3);
    assert!(result.stdout == with_zeros(bytes, &map)[100..409_650]);
    let found = read_json(&home.path("map.json"));
    assert_eq!(found["range"], json!({ "offset": 100, "len": 409_550 }));
    let inside = map
        .iter()
        .filter(|lost| lost["offset"].as_u64().unwrap() < 409_650);
    let inside: Vec<Value> = inside.cloned().collect();
    assert_eq!(found["damage"], json!(inside));
    assert!(inside.len() < map.len());
}

#[test]
fn get_salvages_what_is_there() {
    let home = Home::new();
    let store = home.datastore();
    fs::remove_file(chunk_file(&store, 5)).unwrap();
    let snapshot = store.join("vm/200/2024-06-10T10:00:00Z");
    let get = |code| {
        home.run("get vm/200 out --salvage --repository dir:datastore")
            .expect(code)
    };
    get(3).says("out/drive-scsi0.img.damaged.json");
    assert_eq!(
        home.names_in("out"),
        [
            "drive-efidisk0.img",
            "drive-scsi0.img.damaged",
            "drive-scsi0.img.damaged.json",
            "drive-scsi1.img",
            "drive-scsi2.img",
            "qemu-server.conf"
        ]
    );
    fs::remove_dir_all(home.path("out")).unwrap();
    // Of an archive whose index is gone nothing can be had.
    fs::write(snapshot.join("drive-scsi1.img.fidx"), "").unwrap();
    get(7).says("drive-scsi1.img");
    assert!(!home.path("out/drive-scsi1.img").exists());
    assert!(home.path("out/drive-scsi2.img").exists());
    assert!(home.path("out/drive-scsi0.img.damaged").exists());
    assert!(home.path("out/qemu-server.conf").exists());
}

#[test]
fn a_map_that_cannot_be_written_is_no_success() {
    let (home, store, digests, _) = home();
    store.remove_chunk(&digests[7]);
    run(&home, &format!("{SALVAGE} --damage-map no/map.json"))
        .expect(8)
        .says("cannot write the list of damage no/map.json")
        .says("name a file in another folder");
    fs::write(home.path("file"), "").unwrap();
    run(&home, &format!("{SALVAGE} --damage-map file/map.json")).expect(8);
    run(&home, &format!("{SALVAGE} --damage-map /proc/map.json")).expect(8);
    // That is known before anything is restored.
    assert_eq!(home.names_in(""), ["file", "store"]);
    run(
        &home,
        "image vm/100 disk.img disk.raw --damage-map map.json",
    )
    .expect(2)
    .says("--salvage");
    run(&home, "get vm/100 out --salvage --damage-map map.json")
        .expect(2)
        .says("--damage-map");
}

#[test]
fn a_map_that_was_not_written_is_not_said_to_list_anything() {
    let (home, store, digests, _) = home();
    store.remove_chunk(&digests[7]);
    fs::create_dir(home.path("maps")).unwrap();
    let image = "image vm/100 disk.img - --salvage --damage-map maps/map.json";
    let mut child = (home.command(&format!("{image} --repository ./store")))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The restore has begun, and can't end before the rest is read.
    let mut image = child.stdout.take().unwrap();
    image.read_exact(&mut [0]).unwrap();
    fs::remove_dir(home.path("maps")).unwrap();
    let mut rest = Vec::new();
    image.read_to_end(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(8), "{said}");
    assert!(said.contains("1 chunk is lost: 1 missing"), "{said}");
    assert!(said.contains("cannot write the list of damage maps/map.json"));
    assert!(!said.contains("listed in"), "{said}");
    assert!(!said.contains(".tmp"), "{said}");
}

#[test]
fn what_a_place_that_can_not_be_opened_may_have_is_not_lost() {
    let (home, store, digests, bytes) = home();
    let both = "--repository ./unmounted --repository ./store";
    store.remove_chunk(&digests[7]);
    fs::create_dir(home.path("unmounted")).unwrap();
    run(&home, &format!("{SALVAGE} {both}"))
        .expect(1)
        .says("cannot fetch chunk")
        .says("./unmounted")
        .says("there is no .chunks folder in it");
    run(&home, &format!("verify vm/100 {both}")).expect(1);
    run(&home, &format!("get vm/100 out --salvage {both}")).expect(1);
    for name in ["disk.raw.damaged", "disk.raw", "out/disk.img.damaged"] {
        assert!(!home.path(name).exists(), "{name}");
    }

    // What nothing lacks comes all the same; and where each place could be asked, what is lost is lost.
    run(&home, SALVAGE).expect(3);
    let rest = format!("image vm/100 disk.img - --range 0+28672 {both}");
    let rest = run(&home, &rest).expect(0).says("can't be used");
    assert!(rest.stdout == bytes[..7 * CHUNK]);
}
