//! The real clients: QEMU's tools and libnbd's.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use chunk_restore::format::KeyFile;
use chunk_restore::{Archive, Cancel, Datastore, OpenOptions};
use serde_json::Value;
use tempfile::TempDir;
use testkit::{CryptMode, Folder, Kdf, PbsServer, SnapshotBuilder, TestKey, within};

use crate::certificates::Certificates;
use crate::served::{Served, exporting, reader_of};
use crate::support::{DISK, SNAPSHOT, Script};
use crate::{CHUNK, LIMIT, disk, extents};

const TOOLS: [&str; 4] = ["qemu-img", "qemu-io", "nbdinfo", "nbdcopy"];

/// Whether the tools are there. Where they must be and are not, the test fails.
fn has_tools() -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_there = |tool: &str| env::split_paths(&path).any(|folder| folder.join(tool).is_file());
    let Some(missing) = TOOLS.into_iter().find(|tool| !is_there(tool)) else {
        return true;
    };
    assert!(
        env::var_os("CHUNK_RESTORE_REQUIRE").is_none(),
        "{missing} is not installed"
    );
    // What `eprintln!` says is not shown of a test that passes.
    let message = format!("SKIPPED: {missing} is not installed\n");
    io::stderr().write_all(message.as_bytes()).unwrap();
    false
}

fn run(tool: &str, arguments: &[&str]) -> Output {
    Command::new(tool).args(arguments).output().unwrap()
}

/// Runs a tool that must succeed, and gives its output.
fn succeed(tool: &str, arguments: &[&str]) -> String {
    let output = run(tool, arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{tool} {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// A disk in a place.
struct Placed {
    archive: Archive,
    /// What the place needs.
    _held: (Vec<TempDir>, Option<PbsServer>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Folder,
    Pbs,
    /// Two folders; each lacks chunks that the other has.
    Damaged,
}

impl Placed {
    fn new(kind: Kind, is_encrypted: bool) -> Placed {
        let key = TestKey::from_seed(1);
        let store = || {
            let folder = tempfile::tempdir().unwrap();
            let mut snapshot = SnapshotBuilder::new(SNAPSHOT);
            if is_encrypted {
                snapshot = snapshot.key(&key, CryptMode::Encrypt);
            }
            let snapshot = snapshot.chunk_size(CHUNK).image(DISK, disk().0);
            snapshot.write_to(&Folder::new(folder.path()));
            folder
        };
        let mut options = OpenOptions::new();
        if is_encrypted {
            let file = KeyFile::parse(key.key_file(Kdf::None).as_bytes()).unwrap();
            options = options.key(file.unlock(None).unwrap());
        }
        let open = |folder: &TempDir| {
            let place = folder.path().display().to_string();
            options.clone().open(&place).unwrap()
        };
        let first = store();
        match kind {
            Kind::Folder => Placed::of(&open(&first), vec![first], None),
            Kind::Pbs => {
                let server = PbsServer::start(std::sync::Arc::new(Folder::new(first.path())));
                let options = options
                    .clone()
                    .fingerprint(server.fingerprint().parse().unwrap())
                    .password(PbsServer::SECRET);
                let datastore = options.open(&server.repository("store1")).unwrap();
                Placed::of(&datastore, vec![first], Some(server))
            }
            Kind::Damaged => {
                let second = store();
                let archive = archive_of(&open(&first));
                let folders = [&first, &second].map(|folder| Folder::new(folder.path()));
                let chunks = archive.index().chunks();
                let digests: HashSet<_> = chunks.map(|chunk| *chunk.digest.as_bytes()).collect();
                for digest in digests {
                    let folder = &folders[usize::from(digest[0] % 2)];
                    match digest[1] % 2 {
                        _ if folder.chunk(&digest).is_none() => {}
                        0 => folder.remove_chunk(&digest),
                        _ => folder.replace_chunk(&digest, b"no blob"),
                    }
                }
                let datastore = Datastore::any_of([open(&first), open(&second)]).unwrap();
                Placed::of(&datastore, vec![first, second], None)
            }
        }
    }

    fn of(datastore: &Datastore, folders: Vec<TempDir>, server: Option<PbsServer>) -> Placed {
        Placed {
            archive: archive_of(datastore),
            _held: (folders, server),
        }
    }

    fn serve(&self) -> Served {
        let cancel = Cancel::new();
        Served::start(exporting(reader_of(&self.archive, &cancel)), &cancel)
    }
}

fn archive_of(datastore: &Datastore) -> Archive {
    let snapshot = datastore.snapshot(SNAPSHOT).unwrap();
    snapshot.archive(DISK).unwrap()
}

/// Calls `check` with a server for each kind of place, plain and encrypted, and a folder.
fn each_place(check: impl Fn(&Served, &Path) + Send + 'static) {
    if !has_tools() {
        return;
    }
    within(LIMIT, move || {
        for kind in [Kind::Folder, Kind::Pbs, Kind::Damaged] {
            for is_encrypted in [false, true] {
                let placed = Placed::new(kind, is_encrypted);
                let folder = tempfile::tempdir().unwrap();
                check(&placed.serve(), folder.path());
            }
        }
    });
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn qemu_img_converts_compares_and_reads() {
    each_place(|served, folder| {
        let bytes = disk().1;
        let uri = served.uri(DISK);
        let (raw, qcow2) = (folder.join("disk.raw"), folder.join("disk.qcow2"));
        succeed(
            "qemu-img",
            &["convert", "-f", "raw", "-O", "raw", &uri, text(&raw)],
        );
        assert!(fs::read(&raw).unwrap()[..bytes.len()] == bytes);
        let many = ["-m", "16", "-W"];
        let convert = ["-f", "raw", "-O", "qcow2", &uri, text(&qcow2)];
        let arguments = [&["convert"][..], &many, &convert].concat();
        succeed("qemu-img", &arguments);
        let arguments = ["compare", "-f", "raw", "-F", "qcow2", &uri, text(&qcow2)];
        succeed("qemu-img", &arguments);
        let read = ["-r", "-f", "raw", "-c", "read -v 70000 16", &uri];
        let output = succeed("qemu-io", &read);
        let hex: Vec<String> = bytes[70_000..70_016]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert!(output.contains(&hex.join(" ")), "{output}");
        let refused = run("qemu-io", &["-f", "raw", "-c", "write 0 512", &uri]);
        assert!(!refused.status.success());
    });
}

#[test]
fn qemu_img_and_nbdinfo_see_the_zeros() {
    each_place(|served, _| {
        let bytes = disk().1;
        let uri = served.uri(DISK);
        let map = succeed("nbdinfo", &["--map", "--json", &uri]);
        let map: Vec<Value> = serde_json::from_str(&map).unwrap();
        let found: Vec<_> = (map.iter())
            .map(|part| {
                let number = |name| part[name].as_u64().unwrap();
                assert!([0, 3].contains(&number("type")));
                (number("offset"), number("length"), number("type") == 3)
            })
            .collect();
        assert_eq!(found, extents(&bytes));

        let map = succeed("qemu-img", &["map", "-f", "raw", "--output=json", &uri]);
        let map: Vec<Value> = serde_json::from_str(&map).unwrap();
        // QEMU fills the disk up to whole sectors.
        let end = bytes.len() as u64;
        let zeros = map.iter().filter(|part| part["zero"] == true).map(|part| {
            let number = |name| part[name].as_u64().unwrap();
            (number("start") + number("length")).min(end) - number("start")
        });
        let zeros: u64 = zeros.sum();
        let expected = extents(&bytes);
        let expected = expected.iter().filter(|(_, _, is_zero)| *is_zero);
        assert_eq!(zeros, expected.map(|(_, len, _)| len).sum::<u64>());
    });
}

#[test]
fn nbdcopy_copies_over_one_and_over_four_connections() {
    each_place(|served, folder| {
        let bytes = disk().1;
        for connections in [1, 4] {
            let before = served.report().connections_total;
            let file = folder.join(format!("{connections}.raw"));
            // There are no more connections than threads.
            let options =
                ["--connections", "--threads"].map(|name| format!("{name}={connections}"));
            let arguments = [&options[0], &options[1], &served.uri(DISK), text(&file)];
            succeed("nbdcopy", &arguments);
            assert!(fs::read(&file).unwrap() == bytes);
            let made = served.report().connections_total - before;
            assert!(made >= connections, "{made} connections");
        }
    });
}

#[test]
fn nbdinfo_lists_the_exports() {
    if !has_tools() {
        return;
    }
    within(LIMIT, || {
        let cancel = Cancel::new();
        let (archive, _) = Script::of(disk().0, CHUNK).archive();
        let reader = reader_of(&archive, &cancel);
        let server = exporting(reader.clone());
        let server = server.export("drive-scsi1.img", reader).unwrap();
        let served = Served::start(server, &cancel);
        let list = succeed("nbdinfo", &["--list", "--json", &served.uri("")]);
        let list: Value = serde_json::from_str(&list).unwrap();
        let exports = list["exports"].as_array().unwrap();
        let names = exports.iter().map(|export| export["export-name"].as_str());
        let names: Vec<_> = names.map(Option::unwrap).collect();
        assert_eq!(names, ["drive-scsi0.img", "drive-scsi1.img"]);
        for export in exports {
            assert_eq!(export["is_read_only"], true);
            assert_eq!(export["can_multi_conn"], true);
            assert_eq!(export["can_cache"], true);
            assert_eq!(export["can_df"], true);
            assert_eq!(export["block_size_minimum"], 1);
            assert_eq!(export["block_size_maximum"], 32 << 20);
            assert_eq!(export["export-size"], disk().1.len());
        }
    });
}

#[test]
fn a_lost_chunk_is_an_error_for_qemu_and_libnbd_and_the_rest_can_be_read() {
    if !has_tools() {
        return;
    }
    within(LIMIT, || {
        let image = testkit::Image::new(testkit::Workload::Incompressible, 2, 40 * CHUNK, CHUNK);
        let script = Script::of(image, CHUNK);
        let lost = script.digests()[10];
        let script = (0..99).fold(script, |script, _| {
            script.fault(lost, crate::support::Fault::Missing)
        });
        let served = Served::script(script);
        let uri = served.uri("");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("disk.raw");
        let output = run("nbdcopy", &[&uri, text(&file)]);
        assert!(!output.status.success());
        let read = |at: u64| {
            let command = format!("read {at} 4096");
            let output = run("qemu-io", &["-r", "-f", "raw", "-c", &command, &uri]);
            String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
        };
        assert!(read(10 * CHUNK).contains("Input/output error"));
        assert!(read(11 * CHUNK).contains("read 4096/4096 bytes"));
    });
}

/// Reads the whole disk by libnbd and by QEMU over TLS.
fn copy_over_tls(server: &Certificates, client: &Certificates, asks_clients: bool) -> [bool; 2] {
    let bytes = disk().1;
    let cancel = Cancel::new();
    let (archive, _) = Script::of(disk().0, CHUNK).archive();
    let tls = server.tls(asks_clients);
    let exports = exporting(reader_of(&archive, &cancel)).tls(tls);
    let (_served, address) = Served::start_tcp(exports, &cancel);
    let folder = tempfile::tempdir().unwrap();
    let port = address.port();
    let path: PathBuf = folder.path().join("libnbd.raw");
    let uri = format!(
        "nbds://127.0.0.1:{port}/?tls-certificates={}",
        client.path().display()
    );
    let by_libnbd = run("nbdcopy", &[&uri, text(&path)]).status.success();
    assert!(!by_libnbd || fs::read(&path).unwrap() == bytes);

    let path = folder.path().join("qemu.raw");
    let object = format!(
        "tls-creds-x509,id=tls0,endpoint=client,dir={}",
        client.path().display()
    );
    let options = format!("driver=nbd,host=127.0.0.1,port={port},export={DISK},tls-creds=tls0");
    let convert = ["convert", "--object", &object, "--image-opts", "-O", "raw"];
    let arguments = [&convert[..], &[&options, text(&path)]].concat();
    let by_qemu = run("qemu-img", &arguments).status.success();
    assert!(!by_qemu || fs::read(&path).unwrap()[..bytes.len()] == bytes);
    [by_libnbd, by_qemu]
}

#[test]
fn both_read_over_tls_with_and_without_a_client_certificate() {
    if !has_tools() {
        return;
    }
    within(LIMIT, || {
        let certificates = Certificates::new();
        assert_eq!(copy_over_tls(&certificates, &certificates, true), [true; 2]);
        // A client that trusts another authority, and so has another certificate.
        let stranger = Certificates::new();
        let refused = copy_over_tls(&certificates, &stranger, false);
        assert_eq!(refused, [false; 2]);
        let certificates = certificates.without_client();
        assert_eq!(
            copy_over_tls(&certificates, &certificates, false),
            [true; 2]
        );
        assert_eq!(
            copy_over_tls(&certificates, &certificates, true),
            [false; 2]
        );
    });
}

#[test]
fn clients_without_tls_are_refused_where_it_is_needed_and_qemu_says_why() {
    if !has_tools() {
        return;
    }
    within(LIMIT, || {
        let certificates = Certificates::new();
        let tls = certificates.tls(false);
        let served = Served::image_with(disk().0, |server| server.tls(tls));
        let uri = served.uri(DISK);
        assert!(!run("nbdinfo", &[&uri]).status.success());
        let output = run("qemu-img", &["info", "-f", "raw", &uri]);
        assert!(!output.status.success());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("requires TLS"), "{errors}");
    });
}
