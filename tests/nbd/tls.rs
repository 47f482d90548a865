//! TLS: nothing is answered before it, and nothing that came before it counts.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use chunk_restore::ErrorKind;
use chunk_restore::nbd::Tls;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use testkit::within;

use crate::certificates::Certificates;
use crate::client::*;
use crate::served::Served;
use crate::{LIMIT, disk};

type TlsClient = Client<StreamOwned<ClientConnection, UnixStream>>;

/// Does a TLS handshake over a connection whose server has acknowledged STARTTLS.
fn secure(
    stream: UnixStream,
    certificates: &Certificates,
    with_certificate: bool,
) -> std::io::Result<TlsClient> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_file(certificates.file("ca-cert.pem")).unwrap();
    roots.add(authority).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = if with_certificate {
        let chain = CertificateDer::from_pem_file(certificates.file("client-cert.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(certificates.file("client-key.pem")).unwrap();
        builder.with_client_auth_cert(vec![chain], key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    let name = "localhost".try_into().unwrap();
    let tls = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(tls, stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    Ok(Client::over(stream))
}

fn started(served: &Served) -> UnixStream {
    let mut client = Client::connect(served);
    assert_eq!(client.option(STARTTLS, b""), ACK);
    client.stream
}

/// Chooses the only export, and compares some of it.
fn check<S: Read + Write>(client: &mut Client<S>, bytes: &[u8]) {
    client.negotiate_structured("");
    client.go("");
    for (position, part) in bytes.chunks(3 << 20).enumerate() {
        let at = position as u64 * (3 << 20);
        assert!(client.read(at, part.len() as u32).unwrap() == part);
    }
}

#[test]
fn nothing_but_its_start_and_the_end_is_answered_before_tls() {
    within(LIMIT, || {
        let certificates = Certificates::new();
        let (image, bytes) = disk();
        let tls = certificates.tls(false);
        let served = Served::image_with(image, |server| server.tls(tls));
        let mut client = Client::connect(&served);
        for option in [LIST, GO, STRUCTURED_REPLY, SET_META_CONTEXT, 99] {
            assert_eq!(client.option(option, b""), ERR_TLS_REQD);
        }
        assert_eq!(client.option(STARTTLS, b""), ACK);
        let mut client = secure(client.stream, &certificates, false).unwrap();
        check(&mut client, &bytes);

        let mut client = Client::connect(&served);
        assert_eq!(client.option(ABORT, b""), ACK);
        assert!(client.is_at_end());
        let mut client = Client::connect(&served);
        client.send_option(EXPORT_NAME, b"");
        assert!(client.is_at_end());
    });
}

#[test]
fn options_that_came_in_the_clear_behind_the_start_of_tls_are_thrown_away() {
    within(LIMIT, || {
        let certificates = Certificates::new();
        let tls = certificates.tls(false);
        let served = Served::image_with(disk().0, |server| server.tls(tls));
        let mut client = Client::connect(&served);
        // One write is one piece for the server.
        let mut bytes = b"IHAVEOPT\0\0\0\x05\0\0\0\0".to_vec();
        bytes.extend(b"IHAVEOPT\0\0\0\x08\0\0\0\0");
        client.stream.write_all(&bytes).unwrap();
        assert_eq!(client.option_reply().0, ACK);
        let mut client = secure(client.stream, &certificates, false).unwrap();
        // The first reply is that to the first option over TLS.
        client.send_option(LIST, b"");
        let (kind, data) = client.option_reply();
        assert_eq!((kind, &data[4..]), (2, &b"drive-scsi0.img"[..]));
    });
}

#[test]
fn a_client_without_a_trusted_certificate_is_turned_away_where_one_is_needed() {
    within(LIMIT, || {
        let certificates = Certificates::new();
        let strangers = Certificates::new();
        fs::copy(
            certificates.file("ca-cert.pem"),
            strangers.file("ca-cert.pem"),
        )
        .unwrap();
        let (image, bytes) = disk();
        let tls = certificates.tls(true);
        let served = Served::image_with(image, |server| server.tls(tls));
        for (of, with_certificate) in [(&certificates, false), (&strangers, true)] {
            // The client may see the end of its handshake before the server's refusal.
            let refused = secure(started(&served), of, with_certificate).and_then(|mut client| {
                client.stream.write_all(b"IHAVEOPT\0\0\0\x03\0\0\0\0")?;
                client.stream.read_exact(&mut [0])
            });
            assert!(refused.is_err());
        }
        let mut client = secure(started(&served), &certificates, true).unwrap();
        check(&mut client, &bytes);
    });
}

#[test]
fn a_client_that_does_not_begin_tls_is_ended() {
    within(LIMIT, || {
        let certificates = Certificates::new();
        let tls = certificates.tls(false);
        let served = Served::image_with(disk().0, |server| server.tls(tls));
        let mut stream = started(&served);
        stream.write_all(b"IHAVEOPT\0\0\0\x03\0\0\0\0").unwrap();
        let mut alert = Vec::new();
        // The connection may be reset.
        let _ = stream.read_to_end(&mut alert);
        assert!(alert.len() < 10, "{alert:?}");
    });
}

#[test]
fn requests_and_replies_cross_over_tls() {
    within(LIMIT, || {
        let certificates = Certificates::new();
        let (image, bytes) = disk();
        let tls = certificates.tls(false);
        let served = Served::image_with(image, |server| server.tls(tls));
        let mut client = secure(started(&served), &certificates, false).unwrap();
        client.go("");
        // More replies than the socket takes, while requests still come.
        let bytes = &bytes[..1 << 20];
        for cookie in 0..64 {
            client.request(READ, 0, cookie, 0, 1 << 20);
        }
        for _ in 0..64 {
            assert!(client.reply_to_read(0, 1 << 20).unwrap() == bytes);
        }
        client.request(DISC, 0, 1, 0, 0);
        // The server closes TLS before the connection.
        assert_eq!(client.stream.read(&mut [0]).unwrap(), 0);
    });
}

#[test]
fn a_cancel_ends_a_tls_client_that_is_deaf() {
    within(LIMIT, || {
        let certificates = Certificates::new();
        let tls = certificates.tls(false);
        let served = Served::image_with(disk().0, |server| server.tls(tls));
        let mut client = secure(started(&served), &certificates, false).unwrap();
        client.go("");
        thread::scope(|scope| {
            scope.spawn(|| {
                for cookie in 0..100 {
                    client.request(READ, 0, cookie, 0, 4 << 20);
                }
            });
            served.wait_for(|report| report.requests >= 73);
        });
        served.end().unwrap();
    });
}

#[test]
fn files_that_are_no_certificates_or_keys_are_named() {
    let certificates = Certificates::new();
    let junk = certificates.file("junk.pem");
    fs::write(&junk, "no PEM").unwrap();
    let certificate = certificates.file("server-cert.pem");
    let key = certificates.file("server-key.pem");
    let absent = certificates.file("absent.pem");
    let other = certificates.file("client-key.pem");
    let cases = [
        (&junk, &key, None, ErrorKind::Invalid, "junk.pem"),
        (&certificate, &junk, None, ErrorKind::Invalid, "junk.pem"),
        (
            &certificate,
            &absent,
            None,
            ErrorKind::NotFound,
            "absent.pem",
        ),
        (
            &certificate,
            &other,
            None,
            ErrorKind::Invalid,
            "client-key.pem",
        ),
        (
            &certificate,
            &key,
            Some(&junk),
            ErrorKind::Invalid,
            "junk.pem",
        ),
    ];
    for (certificate, key, authority, kind, name) in cases {
        let authority = authority.map(|path| path.as_path());
        let error = Tls::from_pem_files(certificate, key, authority).unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(error.to_string().contains(name), "{error}");
    }
    let shown = format!("{:?}", certificates.tls(true));
    assert_eq!(shown, "Tls { asks_clients: true, .. }");
}
