//! Restores from a web server: right bytes or a typed error, whatever the server does.

mod faults;
mod framing;
mod identity;
mod network;
mod places;
mod server;
mod trust;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use chunk_restore::{
    Datastore, Digest, Error, ErrorKind, OpenOptions, Report, Restore, Result, StreamTarget,
};

use crate::identity::Identity;
use crate::server::{Call, Fault, Server};

const SNAPSHOT: &str = "vm/200/2024-06-10T10:00:00Z";
const ARCHIVE: &str = "drive-scsi0.img";
const IMAGE: &str = "54e679a0c7461c60c837c4e5ffe0e13646fd23245b940604bbf24ae631222d72";

/// Runs a test body, and fails instead of hanging.
fn within<T: Send + 'static>(limit: Duration, body: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    let thread = thread::spawn(move || {
        let _ = sender.send(body());
    });
    match receiver.recv_timeout(limit) {
        Ok(value) => value,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it still runs after {limit:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            std::panic::resume_unwind(thread.join().expect_err("it has ended without a value"))
        }
    }
}

fn pinned(identity: &Identity) -> OpenOptions {
    OpenOptions::new()
        .fingerprint(identity.fingerprint())
        .attempts(1)
}

fn restore(datastore: &Datastore, restore: &Restore) -> Result<(Report, Digest)> {
    let archive = datastore.snapshot(SNAPSHOT)?.archive(ARCHIVE)?;
    let mut target = StreamTarget::new(Vec::new());
    let report = restore.run(&archive, &mut target)?;
    Ok((report, Digest::of(&target.into_inner())))
}

/// The whole chain, as a program would print it.
fn chain(error: &Error) -> String {
    format!("{error:?}")
}

fn is_chunk(call: &Call) -> bool {
    call.path.starts_with("/.chunks/")
}

/// Restores from a server that does one thing wrong with each chunk when it is asked for the first time.
fn restore_with_first(fault: fn() -> Fault) -> Result<(Report, Digest)> {
    restore_with(fault, |nth| nth == 1)
}

/// Restores from a server that does one thing wrong with each chunk at these times, counted from 1.
fn restore_with(fault: fn() -> Fault, when: fn(usize) -> bool) -> Result<(Report, Digest)> {
    within(Duration::from_secs(60), move || {
        let identity = Identity::new();
        let server = Server::start(&identity, move |call| {
            (is_chunk(call) && when(call.nth)).then(fault)
        });
        let options = pinned(&identity).progress_timeout(Duration::from_millis(600));
        restore(&options.open(&server.url())?, &Restore::new())
    })
}

#[test]
fn golden_images_come_out_right_and_connections_are_kept_alive() {
    within(Duration::from_secs(60), || {
        let identity = Identity::new();
        let server = Server::start(&identity, |_| None);
        let datastore = pinned(&identity)
            .open(&server.url())
            .expect("the URL is one");
        let (report, digest) =
            restore(&datastore, &Restore::new().threads(3)).expect("nothing is wrong");
        assert_eq!(digest.to_string(), IMAGE);
        assert_eq!(report.retries, 0);
        // One for the manifest and the index, one for each worker that had something to do.
        assert!(server.accepted() <= 4, "{} connections", server.accepted());
        assert!(server.calls() > 5, "{} calls", server.calls());

        let snapshot = datastore.snapshot(SNAPSHOT).expect("it is there");
        for archive in snapshot.manifest().files() {
            if let Ok(archive) = snapshot.archive(archive.archive_name()) {
                Restore::new()
                    .verify(&archive, |_| {})
                    .expect("nothing is wrong");
            }
        }
        let namespaced = datastore.in_namespace("team/a".parse().expect("it is a name"));
        namespaced
            .snapshot("vm/200/2024-06-10T16:00:00Z")
            .expect("it is there")
            .archive(ARCHIVE)
            .expect("it is there");
    });
}

#[test]
fn a_body_without_a_length_is_read_to_its_end() {
    for fault in [(|| Fault::Chunked) as fn() -> Fault, || Fault::Unframed] {
        let (report, digest) = restore_with_first(fault).expect("both are proper HTTP");
        assert_eq!((report.retries, digest.to_string().as_str()), (0, IMAGE));
    }
}

#[test]
fn chunked_answers_keep_their_connection_too() {
    within(Duration::from_secs(60), || {
        let identity = Identity::new();
        let server = Server::start(&identity, |_| Some(Fault::Chunked));
        let datastore = pinned(&identity)
            .open(&server.url())
            .expect("the URL is one");
        restore(&datastore, &Restore::new().threads(2)).expect("nothing is wrong");
        assert!(server.accepted() <= 3, "{} connections", server.accepted());
    });
}

#[test]
fn a_web_server_can_not_list_and_the_error_says_what_to_do() {
    let identity = Identity::new();
    let server = Server::start(&identity, |_| None);
    let datastore = pinned(&identity)
        .open(&server.url())
        .expect("the URL is one");
    let error = datastore
        .snapshot("vm/200")
        .expect_err("nobody can know the last one");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(chain(&error).contains("name one in full"), "{error:?}");
    let error = datastore
        .snapshot("vm/999/2024-06-10T10:00:00Z")
        .expect_err("there is none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        datastore.snapshots().expect_err("it can't").kind(),
        ErrorKind::Unsupported
    );
}

#[test]
fn a_url_that_makes_no_sense_is_refused_without_showing_its_password() {
    for bad in [
        "https://",
        "https://u:s3cret@/x",
        "https://u:s3cret@host:port/",
        "https://u:s3cret@host/?signature",
        "https://u:s3cret@host/#part",
        "https://u:s3cret@host/a b",
    ] {
        let error = OpenOptions::new().open(bad).expect_err(bad);
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
        assert!(!chain(&error).contains("s3cret"), "{error:?}");
    }
}
