//! The nginx configuration of the program's manual, under a real nginx: what it publishes can be restored, and nothing else is
//! published.
#![cfg(feature = "https")]
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

use std::collections::HashSet;
use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use chunk_restore::format::KeyFile;
use chunk_restore::{Datastore, ErrorKind, Fingerprint, OpenOptions, Restore, StreamTarget};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use testkit::{Folder, Image, SnapshotBuilder, Workload, within};

const LIMIT: Duration = Duration::from_secs(120);
const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";
const DISK: &str = "drive-scsi0.img";
const CHUNK: u64 = 4096;
const USER: &str = "restore";
const PASSWORD: &str = "p@ss wörd";

/// The words of the manual's configuration that a test has to replace by its own.
const LISTEN: &str = "listen 443 ssl;";
const ROOT: &str = "/mnt/datastore";
const CERTIFICATE: &str = "/etc/nginx/backups.crt";
const KEY: &str = "/etc/nginx/backups.key";
const USERS: &str = "/etc/nginx/backups.users";

#[test]
fn every_golden_archive_comes_through_nginx() {
    within(LIMIT, || {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let Some(nginx) = Nginx::start(&golden.join("datastore")) else {
            return;
        };
        let mut options = nginx.options().allow_unsigned(true);
        for name in ["plain.key", "scrypt.key", "pbkdf2.key"] {
            let file = KeyFile::read(golden.join("keys").join(name)).unwrap();
            options = options.key(file.unlock(Some(b"test-passphrase")).unwrap());
        }
        let remote = options.clone().open(&nginx.url).unwrap();
        let place = format!("dir:{}", golden.join("datastore").display());
        let local = options.open(&place).unwrap();
        let mut archives = 0;
        for namespace in ["", "team/a"] {
            let remote = remote.in_namespace(namespace.parse().unwrap());
            let local = local.in_namespace(namespace.parse().unwrap());
            for listed in local.snapshots().unwrap() {
                archives += compare(&remote, &local, &listed.name.to_string());
            }
        }
        assert_eq!(archives, 16);
    });
}

/// Restores everything of a snapshot from two places; says how many archives there are.
fn compare(remote: &Datastore, local: &Datastore, name: &str) -> usize {
    let snapshots = [remote, local].map(|datastore| datastore.snapshot(name).unwrap());
    let mut archives = 0;
    for file in snapshots[0].manifest().files() {
        let restored = snapshots.each_ref().map(|snapshot| {
            if !file.is_archive() {
                return snapshot.read(file.name()).unwrap();
            }
            let archive = snapshot.archive(file.name()).unwrap();
            let mut target = StreamTarget::new(Vec::new());
            Restore::new().run(&archive, &mut target).unwrap();
            target.into_inner()
        });
        assert!(restored[0] == restored[1], "{name} {}", file.name());
        archives += usize::from(file.is_archive());
    }
    archives
}

#[test]
fn a_worker_keeps_its_connection() {
    within(LIMIT, || {
        let folder = tempfile::tempdir().unwrap();
        // More chunks than requests that nginx admits on a connection if it is not told otherwise.
        let sha256 = disk_of(1200, folder.path());
        let Some(nginx) = Nginx::start(folder.path()) else {
            return;
        };
        let datastore = nginx.options().open(&nginx.url).unwrap();
        let archive = datastore.snapshot(SNAPSHOT).unwrap().archive(DISK).unwrap();
        let mut target = StreamTarget::new(Vec::new());
        let restore = Restore::new().threads(2);
        restore.run(&archive, &mut target).unwrap();
        let restored: [u8; 32] = Sha256::digest(target.into_inner()).into();
        assert_eq!(restored, sha256);

        let requests = nginx.stop_and_list_requests();
        // The manifest, the index, and the chunks.
        assert_eq!(requests.len(), 2 + 1200);
        let connections: HashSet<_> = requests.iter().map(|(connection, _)| connection).collect();
        assert!(connections.len() <= 3, "{} connections", connections.len());
        assert!(requests.iter().all(|(_, status)| status == "200"));
    });
}

#[test]
fn a_missing_chunk_is_looked_for_twice_and_then_missing() {
    within(LIMIT, || {
        let folder = tempfile::tempdir().unwrap();
        disk_of(4, folder.path());
        let local = OpenOptions::new().open(&folder.path().display().to_string());
        let snapshot = local.unwrap().snapshot(SNAPSHOT).unwrap();
        let index = snapshot.archive(DISK).unwrap();
        let digest = index.index().chunk(2).unwrap().digest;
        Folder::new(folder.path()).remove_chunk(digest.as_bytes());
        let Some(nginx) = Nginx::start(folder.path()) else {
            return;
        };
        let datastore = nginx.options().open(&nginx.url).unwrap();
        let archive = datastore.snapshot(SNAPSHOT).unwrap().archive(DISK).unwrap();
        let mut target = StreamTarget::new(Vec::new());
        let error = Restore::new().run(&archive, &mut target).unwrap_err();
        assert_eq!(
            (error.kind(), error.position()),
            (ErrorKind::Missing, Some(2))
        );

        let requests = nginx.stop_and_list_requests();
        let refused = requests.iter().filter(|(_, status)| status == "404");
        assert_eq!(refused.count(), 2);
    });
}

#[test]
fn what_one_of_two_places_lacks_comes_from_the_other() {
    within(LIMIT, || {
        let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let sha256 = disk_of(100, folder.path());
        disk_of(100, other.path());
        let local = OpenOptions::new().open(&other.path().display().to_string());
        let local = local.unwrap();
        let archive = local.snapshot(SNAPSHOT).unwrap().archive(DISK).unwrap();
        // One has the chunks at odd positions, the other those at even ones.
        // Of what nginx lacks, a half is there but damaged.
        for (position, chunk) in archive.index().chunks().enumerate() {
            let lacking = [&folder, &other][position % 2].path();
            let lacking = Folder::new(lacking);
            match position % 4 {
                0 => lacking.replace_chunk(chunk.digest.as_bytes(), b"no blob"),
                _ => lacking.remove_chunk(chunk.digest.as_bytes()),
            }
        }
        let Some(nginx) = Nginx::start(folder.path()) else {
            return;
        };
        let remote = nginx.options().open(&nginx.url).unwrap();
        let datastore = Datastore::any_of([remote, local]).unwrap();
        let archive = datastore.snapshot(SNAPSHOT).unwrap().archive(DISK).unwrap();
        let mut target = StreamTarget::new(Vec::new());
        let report = Restore::new().run(&archive, &mut target).unwrap();
        let restored: [u8; 32] = Sha256::digest(target.into_inner()).into();
        assert_eq!(restored, sha256);
        let of_each = report.places.iter().map(|place| place.chunks);
        assert_eq!(of_each.collect::<Vec<_>>(), [50, 50]);
        assert_eq!((report.retries, report.races), (50, 0));

        let requests = nginx.stop_and_list_requests();
        let with = |wanted: &str| {
            requests
                .iter()
                .filter(|(_, status)| status == wanted)
                .count()
        };
        // Each chunk once, and the manifest and the index; a quarter is not there.
        assert_eq!((with("200"), with("404")), (75 + 2, 25));
    });
}

#[test]
fn who_may_not_and_what_is_not_there_are_told_apart() {
    within(LIMIT, || {
        let folder = tempfile::tempdir().unwrap();
        disk_of(1, folder.path());
        let Some(nginx) = Nginx::start(folder.path()) else {
            return;
        };
        let trusting = OpenOptions::new().fingerprint(nginx.fingerprint);
        let kind = |options: OpenOptions, snapshot: &str| {
            let opened = options.open(&nginx.url).unwrap().snapshot(snapshot);
            opened.unwrap_err().kind()
        };
        assert_eq!(kind(trusting.clone(), SNAPSHOT), ErrorKind::Denied);
        let wrong = trusting.basic_auth(USER, "wrong");
        assert_eq!(kind(wrong, SNAPSHOT), ErrorKind::Denied);
        let untrusting = OpenOptions::new().basic_auth(USER, PASSWORD);
        assert_eq!(kind(untrusting, SNAPSHOT), ErrorKind::Denied);
        let absent = "vm/100/2026-01-02T03:04:06Z";
        assert_eq!(kind(nginx.options(), absent), ErrorKind::NotFound);

        let error = nginx.options().open(&nginx.url).unwrap().snapshot("vm/100");
        let message = error.unwrap_err().to_string();
        assert!(message.contains("name one in full"), "{message}");
        let place = nginx
            .url
            .replace("https://", "https://restore:p%40ss%20w%C3%B6rd@");
        let in_the_url = OpenOptions::new().fingerprint(nginx.fingerprint);
        in_the_url.open(&place).unwrap().snapshot(SNAPSHOT).unwrap();
    });
}

#[test]
fn only_snapshots_and_chunks_are_published() {
    within(LIMIT, || {
        let folder = tempfile::tempdir().unwrap();
        disk_of(1, folder.path());
        // A copy below a folder that is none of a datastore's.
        let copy = folder.path().join("private");
        disk_of(1, &copy);
        let Some(nginx) = Nginx::start(folder.path()) else {
            return;
        };
        let kind = |url: &str| {
            let datastore = nginx.options().open(url).unwrap();
            datastore.snapshot(SNAPSHOT).err().map(|error| error.kind())
        };
        assert_eq!(kind(&nginx.url), None);
        let private = format!("{}private/", nginx.url);
        assert_eq!(kind(&private), Some(ErrorKind::NotFound));
    });
}

/// Makes a datastore whose disk has so many different chunks; gives the disk's SHA-256.
fn disk_of(chunks: u64, folder: &Path) -> [u8; 32] {
    let image = Image::new(Workload::Incompressible, 1, chunks * CHUNK, CHUNK);
    let snapshot = SnapshotBuilder::new(SNAPSHOT)
        .image(DISK, image)
        .write_to(&Folder::new(folder));
    snapshot.archive(DISK).sha256
}

/// A server with the manual's configuration. It ends when this is dropped.
struct Nginx {
    child: Child,
    program: PathBuf,
    folder: TempDir,
    url: String,
    fingerprint: Fingerprint,
}

impl Nginx {
    /// `None` where nginx is not installed, and need not be.
    fn start(root: &Path) -> Option<Nginx> {
        let program = program()?;
        let folder = tempfile::tempdir().unwrap();
        // The port can't be lost to others in between: the socket is bound here, and nginx takes it over as it takes
        // those of an older nginx, whose numbers it finds in a variable. What connects early waits in its queue.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let fingerprint = write_certificate(folder.path());
        fs::write(
            folder.path().join("users"),
            format!("{USER}:{{PLAIN}}{PASSWORD}\n"),
        )
        .unwrap();
        let server = server_block(&[
            (LISTEN, &format!("listen {address} ssl;")),
            (ROOT, &root.display().to_string()),
            (CERTIFICATE, &in_folder(&folder, "crt")),
            (KEY, &in_folder(&folder, "key")),
            (USERS, &in_folder(&folder, "users")),
        ]);
        fs::write(folder.path().join("nginx.conf"), around(&server)).unwrap();
        let child = nginx(&program, &folder)
            .env("NGINX", "0;")
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .spawn()
            .unwrap();
        Some(Nginx {
            child,
            program,
            folder,
            url: format!("https://{address}/"),
            fingerprint,
        })
    }

    fn options(&self) -> OpenOptions {
        OpenOptions::new()
            .fingerprint(self.fingerprint)
            .basic_auth(USER, PASSWORD)
    }

    /// The connection and the status of each request, once all are written down.
    fn stop_and_list_requests(mut self) -> Vec<(String, String)> {
        assert!(self.end("quit"));
        let log = fs::read_to_string(self.folder.path().join("access.log")).unwrap();
        let pairs = log.lines().map(|line| line.split_once(' ').unwrap());
        let pairs = pairs.map(|(connection, status)| (connection.to_owned(), status.to_owned()));
        pairs.collect()
    }

    /// Its main process must be told to end, else the one that serves stays. Says whether it ended well.
    fn end(&mut self, how: &str) -> bool {
        let asked = nginx(&self.program, &self.folder)
            .args(["-s", how])
            .status();
        let is_asked = asked.is_ok_and(|status| status.success());
        if !is_asked {
            drop(self.child.kill());
        }
        self.child.wait().is_ok_and(|status| status.success()) && is_asked
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end("stop");
        }
    }
}

fn nginx(program: &Path, folder: &TempDir) -> Command {
    let mut command = Command::new(program);
    command.arg("-p").arg(folder.path());
    command.args(["-c", "nginx.conf", "-e", "error.log"]);
    command
}

fn program() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Debian has it where users don't look.
    let folders = env::split_paths(&path).chain(["/usr/sbin".into()]);
    let found = folders
        .map(|folder| folder.join("nginx"))
        .find(|path| path.is_file());
    if found.is_none() {
        assert!(
            env::var_os("CHUNK_RESTORE_REQUIRE").is_none(),
            "nginx is not installed"
        );
        // What `eprintln!` says is not shown of a test that passes.
        let mut output = io::stderr();
        output
            .write_all(b"SKIPPED: nginx is not installed\n")
            .unwrap();
    }
    found
}

/// The manual's configuration, with its words replaced.
fn server_block(replacements: &[(&str, &str)]) -> String {
    let manual = include_str!("../examples/restore/README.md");
    let (_, block) = manual.split_once("```nginx\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let mut block = block.to_owned();
    for (word, replacement) in replacements {
        assert_eq!(block.matches(word).count(), 1, "{word} in the manual");
        block = block.replace(word, replacement);
    }
    block
}

/// What a distribution's own configuration has around a server's: here all that it writes is in its own folder, and it stays
/// root if that is who tests; else the user that it is.
fn around(server: &str) -> String {
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path tmp_{name};\n"));
    format!(
        "daemon off;\nuser root root;\npid nginx.pid;\nerror_log error.log;\nevents {{}}\n\
         http {{\nlog_format requests '$connection $status';\naccess_log access.log requests;\n{}{server}}}\n",
        temporary.concat()
    )
}

fn write_certificate(folder: &Path) -> Fingerprint {
    let certified = rcgen::generate_simple_self_signed(["backups.example.org".to_owned()]).unwrap();
    fs::write(folder.join("crt"), certified.cert.pem()).unwrap();
    fs::write(folder.join("key"), certified.signing_key.serialize_pem()).unwrap();
    let digest: [u8; 32] = Sha256::digest(certified.cert.der()).into();
    Fingerprint::from(digest)
}

fn in_folder(folder: &TempDir, name: &str) -> String {
    folder.path().join(name).display().to_string()
}
