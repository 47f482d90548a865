//! What a real PBS wrote, out of a bucket.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use chunk_restore::{Datastore, OpenOptions, Restore, StreamTarget};
use testkit::{Authority, S3Options, S3Server, within};

use crate::{LIMIT, golden, golden_source, options, with_keys};

/// Restores every golden archive from a bucket and from the folder.
pub(crate) fn compare_all(remote: OpenOptions, place: &str) {
    let remote = with_keys(remote).open(place).unwrap();
    let folder = format!("dir:{}", golden().join("datastore").display());
    let local = with_keys(OpenOptions::new()).open(&folder).unwrap();
    let mut archives = 0;
    for namespace in ["", "team/a"] {
        let remote = remote.in_namespace(namespace.parse().unwrap());
        let local = local.in_namespace(namespace.parse().unwrap());
        let listed = local.snapshots().unwrap();
        assert_eq!(remote.snapshots().unwrap(), listed);
        assert_eq!(remote.namespaces().unwrap(), local.namespaces().unwrap());
        for snapshot in listed {
            archives += compare(&remote, &local, &snapshot.name.to_string());
        }
    }
    assert_eq!(archives, 16);
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
fn every_golden_archive_comes_out_of_a_bucket_with_tls_and_without() {
    within(LIMIT, || {
        for server in [
            S3Options::new().http(golden_source()),
            S3Options::new().https(golden_source()),
        ] {
            compare_all(options(&server), S3Server::PLACE);
            assert_eq!(server.counts().denied, 0);
        }
    });
}

#[test]
fn temporary_credentials_and_other_regions_are_signed_right() {
    within(LIMIT, || {
        // What base64 has and a URL has not is encoded, and so it is signed.
        let token = "FwoGZXIvYXdzE+/==&%20x".repeat(20);
        let server = S3Options::new()
            .token(&token)
            .region("eu-central-1")
            .https(golden_source());
        let (key, secret) = (S3Server::ACCESS_KEY, S3Server::SECRET_KEY);
        let options = options(&server)
            .s3_credentials(key, secret, Some(token))
            .s3_region("eu-central-1");
        compare_all(options, S3Server::PLACE);
    });
}

#[test]
fn a_certificate_of_a_known_authority_is_trusted_and_another_is_not() {
    within(LIMIT, || {
        let authority = Authority::new();
        let server = S3Options::new()
            .identity(authority.identity_for("127.0.0.1"))
            .https(golden_source());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, authority.pem()).unwrap();
        let options = OpenOptions::new()
            .s3_endpoint(server.endpoint())
            .s3_credentials(S3Server::ACCESS_KEY, S3Server::SECRET_KEY, None);
        let known = options.clone().ca_file(file).open(S3Server::PLACE).unwrap();
        assert_eq!(known.snapshots().unwrap().len(), 8);
        let unknown = options.open(S3Server::PLACE).unwrap();
        let error = unknown.snapshots().unwrap_err();
        assert_eq!(error.kind(), chunk_restore::ErrorKind::Denied, "{error:?}");
    });
}

#[test]
fn a_bucket_may_be_a_part_of_the_host_s_name() {
    within(LIMIT, || {
        let server = S3Options::new().http(golden_source());
        let (proxy, targets) = forward(server.address());
        let options = options(&server)
            .s3_endpoint("http://s3.example.org")
            .s3_virtual_host(true)
            .proxy(proxy);
        compare_all(options, S3Server::PLACE);
        assert_eq!(server.counts().denied, 0);
        assert_eq!(
            targets.recv().unwrap(),
            "CONNECT backups.s3.example.org:80 HTTP/1.1"
        );
    });
}

/// A proxy that leads everywhere to one address, and tells where to it was asked to lead.
fn forward(to: SocketAddr) -> (String, Receiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, targets) = channel();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let sender = sender.clone();
            // A client may go away at any time.
            thread::spawn(move || join(client, to, &sender).ok());
        }
    });
    (url, targets)
}

fn join(mut client: TcpStream, to: SocketAddr, targets: &Sender<String>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head);
    let _ = targets.send(head.lines().next().unwrap_or_default().to_owned());
    let mut server = TcpStream::connect(to)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut answers, mut back) = (server.try_clone()?, client.try_clone()?);
    thread::spawn(move || io::copy(&mut answers, &mut back));
    io::copy(&mut client, &mut server)?;
    server.shutdown(std::net::Shutdown::Both)
}
