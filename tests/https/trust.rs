//! Whom a restore trusts, and who is asked for credentials.

use std::error::Error as _;
use std::io::Write;

use chunk_restore::backend::FetchError;
use chunk_restore::{Error, ErrorKind, Fingerprint, OpenOptions, UntrustedCertificate};
use tempfile::NamedTempFile;

use crate::server::{Fault, Server};
use crate::{Identity, SNAPSHOT, chain, pinned};

fn open(options: OpenOptions, server: &Server) -> Result<(), Error> {
    let datastore = options.attempts(5).open(&server.url())?;
    datastore.snapshot(SNAPSHOT).map(|_| ())
}

fn with_ca(identity: &Identity) -> (OpenOptions, NamedTempFile) {
    let mut file = NamedTempFile::new().expect("a file can be made");
    file.write_all(identity.ca_pem.as_bytes())
        .expect("it can be written");
    (OpenOptions::new().ca_file(file.path()), file)
}

/// The certificate that an error is about, as a program would look for it.
fn untrusted(error: &Error) -> &UntrustedCertificate {
    let fetch = error.source().expect("it has a cause");
    assert!(matches!(fetch.downcast_ref(), Some(FetchError::Denied(_))));
    let cause = fetch.source().expect("it has a cause");
    cause.downcast_ref().expect("the certificate is the cause")
}

#[test]
fn a_ca_file_vouches_for_the_server() {
    let identity = Identity::new();
    let server = Server::start(&identity, |_| None);
    let (options, _file) = with_ca(&identity);
    open(options, &server).expect("its CA is known");
}

#[test]
fn a_valid_chain_is_enough_whatever_the_fingerprint() {
    let identity = Identity::new();
    let server = Server::start(&identity, |_| None);
    let (options, _file) = with_ca(&identity);
    open(options.fingerprint(Fingerprint::from([7; 32])), &server).expect("its CA is known");
}

#[test]
fn the_right_fingerprint_makes_up_for_every_other_flaw() {
    for identity in [Identity::expired(), Identity::of_another_host()] {
        let server = Server::start(&identity, |_| None);
        open(pinned(&identity), &server).expect("it is the pinned one");
    }
}

#[test]
fn expired_and_foreign_certificates_are_refused_at_once() {
    for (identity, why) in [
        (Identity::expired(), "expired"),
        (Identity::of_another_host(), "not valid for"),
    ] {
        let server = Server::start(&identity, |_| None);
        let (options, _file) = with_ca(&identity);
        let error = open(options, &server).expect_err("its chain is not valid");
        assert_eq!(error.kind(), ErrorKind::Denied);
        assert!(chain(&error).contains(why), "{error:?}");
        assert_eq!(server.accepted(), 1, "it was tried again");
        assert_eq!(untrusted(&error).fingerprint(), identity.fingerprint());
    }
}

#[test]
fn an_unknown_certificate_is_named_so_that_it_can_be_pinned() {
    let identity = Identity::new();
    let server = Server::start(&identity, |_| None);
    let error = open(OpenOptions::new(), &server).expect_err("nobody vouches for it");
    assert_eq!(error.kind(), ErrorKind::Denied);
    let certificate = untrusted(&error);
    assert_eq!(
        (certificate.host(), certificate.expected()),
        ("localhost", None)
    );
    let text = chain(&error);
    assert!(text.contains(&identity.fingerprint().to_string()), "{text}");
    assert!(text.contains("localhost"), "{text}");
    open(
        OpenOptions::new().fingerprint(certificate.fingerprint()),
        &server,
    )
    .expect("it is pinned");
}

#[test]
fn a_mismatch_names_both_fingerprints_and_is_not_tried_again() {
    let identity = Identity::new();
    let server = Server::start(&identity, |_| None);
    let other = Fingerprint::from([7; 32]);
    let error = open(OpenOptions::new().fingerprint(other), &server).expect_err("it is another");
    assert_eq!(error.kind(), ErrorKind::Denied);
    let text = chain(&error);
    assert!(text.contains(&identity.fingerprint().to_string()), "{text}");
    assert!(text.contains(&other.to_string()), "{text}");
    assert_eq!(untrusted(&error).expected(), Some(other));
    assert_eq!(server.accepted(), 1, "it was tried again");
}

#[test]
fn a_ca_file_without_a_certificate_is_refused() {
    let file = NamedTempFile::new().expect("a file can be made");
    for path in [file.path(), "/no/such/file".as_ref()] {
        let error = OpenOptions::new()
            .ca_file(path)
            .open("https://host/")
            .expect_err("it is no CA");
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}

#[test]
fn credentials_are_sent_and_never_shown() {
    let identity = Identity::new();
    let server = Server::start(&identity, |call| match call.authorization.as_deref() {
        // me:s3cret
        Some("Basic bWU6czNjcmV0" | "Bearer t0ken") => None,
        _ => Some(Fault::Status("401 Unauthorized", "")),
    });
    let place = server.url().replace("https://", "https://me:s3cret@");
    let right = [
        (pinned(&identity).basic_auth("me", "s3cret"), server.url()),
        (pinned(&identity).bearer_token("t0ken"), server.url()),
        (pinned(&identity), place.clone()),
        // What is written in the URL is meant for it.
        (pinned(&identity).bearer_token("wrong"), place),
    ];
    for (options, url) in right {
        let shown = format!("{options:?}");
        assert!(
            !shown.contains("s3cret") && !shown.contains("t0ken"),
            "{shown}"
        );
        let datastore = options.open(&url).expect("the URL is one");
        datastore
            .snapshot(SNAPSHOT)
            .expect("the credentials are right");
        assert!(!format!("{datastore:?}").contains("s3cret"));
    }
    let wrong = pinned(&identity).basic_auth("me", "wr0ng");
    let error = open(wrong, &server).expect_err("the password is wrong");
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(!chain(&error).contains("wr0ng"), "{error:?}");
    let unsayable = pinned(&identity).bearer_token("a\nb").open(&server.url());
    assert_eq!(
        unsayable.expect_err("no header can hold it").kind(),
        ErrorKind::Invalid
    );
}
