//! A server that others wrote: `rclone serve s3`, which checks signatures.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use chunk_restore::{Digest, ErrorKind, Fingerprint, OpenOptions};
use tempfile::TempDir;
use testkit::within;

use crate::golden::compare_all;
use crate::{LIMIT, chain, golden};

const KEY: &str = "AKIDRCLONE";
const SECRET: &str = "s3cret/of+rclone";
const PLACE: &str = "s3://bucket/store";

#[test]
fn every_golden_archive_comes_through_rclone_with_tls_and_without() {
    within(LIMIT, || {
        for has_tls in [false, true] {
            let Some(rclone) = Rclone::start(has_tls) else {
                return;
            };
            compare_all(rclone.options(SECRET), PLACE);
        }
    });
}

#[test]
fn rclone_s_refusals_are_told_apart() {
    within(LIMIT, || {
        let Some(rclone) = Rclone::start(false) else {
            return;
        };
        for (secret, place, kind, text) in [
            (
                "wrong",
                PLACE,
                ErrorKind::Denied,
                "is the secret access key right?",
            ),
            (
                SECRET,
                "s3://other/store",
                ErrorKind::NotFound,
                "there is no bucket other",
            ),
            (
                SECRET,
                "s3://bucket/other",
                ErrorKind::NotFound,
                "there is no datastore other",
            ),
        ] {
            let datastore = rclone.options(secret).open(place).unwrap();
            let error = datastore.snapshots().unwrap_err();
            assert_eq!(error.kind(), kind, "{error:?}");
            assert!(chain(&error).contains(text), "{error:?}");
        }
    });
}

/// The golden datastore in a bucket, by links.
struct Rclone {
    child: Child,
    endpoint: String,
    fingerprint: Option<Fingerprint>,
    _folder: TempDir,
}

impl Rclone {
    /// `None` where rclone is not installed, and need not be.
    fn start(has_tls: bool) -> Option<Rclone> {
        if !is_installed() {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("data/bucket/store");
        let datastore = golden().join("datastore");
        fs::create_dir_all(store.join(".cnt")).unwrap();
        symlink(datastore.join(".chunks"), store.join(".chunks")).unwrap();
        for name in ["vm", "ct", "host", "ns"] {
            symlink(datastore.join(name), store.join(".cnt").join(name)).unwrap();
        }
        let mut command = Command::new("rclone");
        command
            .args(["serve", "s3", "--copy-links", "--read-only"])
            .args(["--addr", "127.0.0.1:0", "--config", ""])
            .env("RCLONE_AUTH_KEY", format!("\"{KEY},{SECRET}\""))
            .arg(folder.path().join("data"))
            .stderr(Stdio::piped());
        let fingerprint = has_tls.then(|| write_certificate(folder.path(), &mut command));
        let mut child = command.spawn().unwrap();
        // It says where it listens once it does.
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let endpoint = lines
            .by_ref()
            .map(|line| line.unwrap())
            .find_map(|line| Some(line.split_once("[http")?.1.split_once("/]")?.0.to_owned()))
            .expect("rclone starts");
        // What it says from now on must go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Some(Rclone {
            child,
            endpoint: format!("http{endpoint}"),
            fingerprint,
            _folder: folder,
        })
    }

    fn options(&self, secret: &str) -> OpenOptions {
        let options = OpenOptions::new()
            .s3_endpoint(&self.endpoint)
            .s3_credentials(KEY, secret, None);
        match self.fingerprint {
            Some(fingerprint) => options.fingerprint(fingerprint),
            None => options,
        }
    }
}

impl Drop for Rclone {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn is_installed() -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_found = env::split_paths(&path).any(|folder| folder.join("rclone").is_file());
    if !is_found {
        assert!(
            env::var_os("CHUNK_RESTORE_REQUIRE").is_none(),
            "rclone is not installed"
        );
        // What `eprintln!` says is not shown of a test that passes.
        io::stderr()
            .write_all(b"SKIPPED: rclone is not installed\n")
            .unwrap();
    }
    is_found
}

fn write_certificate(folder: &Path, command: &mut Command) -> Fingerprint {
    let certified = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("crt"), folder.join("key"));
    fs::write(&certificate, certified.cert.pem()).unwrap();
    fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    command.arg("--cert").arg(certificate).arg("--key").arg(key);
    Fingerprint::from(*Digest::of(certified.cert.der()).as_bytes())
}
