//! No secret is in a log at trace level, in an error or in a Debug. A test binary of its own, as it installs a logger.
#![cfg(all(feature = "pbs", feature = "https", feature = "s3"))]
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

use std::fmt::Debug;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chunk_restore::format::KeyFile;
use chunk_restore::pve::Node;
use chunk_restore::{Datastore, OpenOptions, Restore, Result, StreamTarget};
use log::{LevelFilter, Log, Metadata, Record};
use testkit::{
    CryptMode, Fault, Image, InMemory, Kdf, PbsOptions, PbsServer, ProxyServer, S3Fault, S3Options,
    S3Server, SessionFault, SnapshotBuilder, StaticOptions, TestKey, When, Workload, hex, within,
};

const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";
const DISK: &str = "drive-scsi0.img";
const PASSPHRASE: &str = "passphrase-Eiph2ohy";
const PROXY_PASSWORD: &str = "proxy-Ooch3ahv";
const BASIC_PASSWORD: &str = "basic-Wahx5eiy";
const BEARER: &str = "bearer-Xee8phoo";
const WRONG: &str = "wrong-Quei7aoh";
const TOKEN: &str = "token/Shahk3ai+Ohng7eed/thie9Oht==";
const ENCODED_TOKEN: &str = "token%2FShahk3ai%2BOhng7eed%2Fthie9Oht%3D%3D";

/// The signatures that were made.
static SIGNATURES: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// All that was logged or shown.
static SEEN: Mutex<String> = Mutex::new(String::new());

struct Collector;

impl Log for Collector {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // What the server logs is not the client's.
        if !record.target().starts_with("h2") {
            see(format!("{}: {}", record.target(), record.args()));
        }
    }

    fn flush(&self) {}
}

fn see(text: String) {
    let mut seen = SEEN.lock().unwrap();
    seen.push_str(&text);
    seen.push('\n');
}

fn show(what: &(impl Debug + ?Sized)) {
    see(format!("{what:?} {what:#?}"));
}

/// Shows an error and all its causes, both ways.
fn show_error(error: &dyn std::error::Error) {
    let mut error = Some(error);
    while let Some(current) = error {
        see(format!("{current}"));
        show(current);
        error = current.source();
    }
}

fn restore(datastore: &Datastore) -> Result<()> {
    show(datastore);
    let restored = datastore.snapshot(SNAPSHOT).and_then(|snapshot| {
        show(&snapshot);
        let archive = snapshot.archive(DISK)?;
        show(&archive);
        let mut target = StreamTarget::new(Vec::new());
        Restore::new()
            .patience(Duration::from_secs(1))
            .run(&archive, &mut target)
    });
    match restored {
        Ok(report) => show(&report),
        Err(error) => {
            show_error(&error);
            return Err(error);
        }
    }
    Ok(())
}

fn open(options: &OpenOptions, place: &str) -> Option<Datastore> {
    show(options);
    let opened = options.clone().open(place);
    opened.inspect_err(|error| show_error(error)).ok()
}

/// An encrypted disk in a store.
fn store(key: &TestKey) -> Arc<InMemory> {
    let store = InMemory::new();
    SnapshotBuilder::new(SNAPSHOT)
        .chunk_size(4096)
        .key(key, CryptMode::Encrypt)
        .image(DISK, Image::new(Workload::Typical, 1, 65_536, 4096))
        .write_to(&store);
    Arc::new(store)
}

fn through_a_server(options: &OpenOptions, key: &TestKey) {
    let server = PbsServer::start(store(key));
    let proxy = ProxyServer::with_password("me", PROXY_PASSWORD);
    let proxy_url = format!("http://me:{PROXY_PASSWORD}@{}/", proxy.address());
    let options = options
        .clone()
        .fingerprint(server.fingerprint().parse().unwrap())
        .proxy(proxy_url)
        .progress_timeout(Duration::from_millis(300));
    let token = server.repository("store1");
    let user = server.user_repository("store1");
    let as_token = options.clone().password(PbsServer::SECRET);
    let as_user = options.clone().password(PbsServer::PASSWORD);
    let works = |options: &OpenOptions, place: &str| {
        let datastore = open(options, place).unwrap();
        restore(&datastore).unwrap();
        show(&datastore.snapshots().unwrap());
        show(&datastore.namespaces().unwrap());
    };
    works(&as_token, &token);
    works(&as_user, &user);
    // And what fails, each in its own way.
    let fails = |options: &OpenOptions, place: &str| {
        restore(&open(options, place).unwrap()).expect_err("it can't work");
    };
    let wrong = options.clone().password(WRONG);
    fails(&wrong, &token);
    fails(&wrong, &user);
    fails(&options, &token);
    fails(&as_user.clone().password("line\nbreak-Quei7aoh"), &token);
    fails(&as_token, &server.repository("other"));
    let proxy_fails = format!("http://me:{WRONG}@{}/", proxy.address());
    fails(&as_token.clone().proxy(proxy_fails), &token);
    let no_proxy = format!("socks5://me:{PROXY_PASSWORD}@host");
    assert!(open(&as_token.clone().proxy(no_proxy), &token).is_none());
    server.on_login(When::From(2), Fault::Status(400));
    fails(&as_user, &user);
    server.clear_faults();
    for fault in [SessionFault::NotUpgraded, SessionFault::OtherProtocol] {
        server.on_session(When::Always, fault);
        fails(&as_token, &token);
        fails(&as_user, &user);
        server.clear_faults();
    }
    server.on_any_chunk(When::Always, Fault::Reset);
    fails(&as_token, &token);
    server.clear_faults();
    server.on_any_chunk(When::Always, Fault::Stall);
    fails(&as_user, &user);
}

fn through_a_storage(key: &TestKey) {
    let server = PbsServer::start(store(key));
    let folder = tempfile::tempdir().unwrap();
    let secrets = folder.path().join("priv/storage");
    fs::create_dir_all(&secrets).unwrap();
    let port = server.address().port();
    let (token, fingerprint) = (PbsServer::TOKEN, server.fingerprint());
    let section = format!(
        "pbs: backup\n server localhost\n port {port}\n datastore store1\n username {token}\n fingerprint {fingerprint}\n"
    );
    fs::write(folder.path().join("storage.cfg"), section).unwrap();
    fs::write(secrets.join("backup.enc"), key.key_file(Kdf::None)).unwrap();
    let node = Node::at(folder.path());
    show(&node.storages().unwrap());
    let options = OpenOptions::new().pve_node(node);
    for (secret, works) in [(PbsServer::SECRET, true), (WRONG, false)] {
        fs::write(secrets.join("backup.pw"), secret).unwrap();
        let datastore = open(&options, "pve:backup").unwrap();
        assert_eq!(restore(&datastore).is_ok(), works);
    }
    fs::write(
        secrets.join("backup.pw"),
        [WRONG.as_bytes(), b"\xff"].concat(),
    )
    .unwrap();
    assert!(open(&options, "pve:backup").is_none());
}

/// A PBS 4 gives the ticket in `Set-Cookie`, and no ticket in the answer's body.
fn through_a_server_with_cookies(options: &OpenOptions, key: &TestKey) {
    let server = PbsOptions::new()
        .version4()
        .host_cookie()
        .chunked_listing()
        .start(store(key));
    let options = options
        .clone()
        .fingerprint(server.fingerprint().parse().unwrap())
        .password(PbsServer::PASSWORD);
    let datastore = open(&options, &server.user_repository("store1")).unwrap();
    restore(&datastore).unwrap();
    assert_eq!(datastore.snapshots().unwrap().len(), 1);
    show(&datastore);
}

fn through_a_web_server(options: &OpenOptions, key: &TestKey) {
    for (start, options, works) in [
        (
            StaticOptions::new().bearer(BEARER),
            options.clone().bearer_token(BEARER),
            true,
        ),
        (
            StaticOptions::new().basic("me", BASIC_PASSWORD),
            options.clone().basic_auth("me", BASIC_PASSWORD),
            true,
        ),
        (
            StaticOptions::new().bearer(BEARER),
            options.clone().bearer_token(WRONG),
            false,
        ),
    ] {
        let server = start.https(store(key));
        let options = options.fingerprint(server.fingerprint().parse().unwrap());
        let restored = restore(&open(&options, server.url()).unwrap());
        assert_eq!(restored.is_ok(), works, "{restored:?}");
    }
    let server = StaticOptions::new()
        .basic("me", BASIC_PASSWORD)
        .https(store(key));
    let options = options
        .clone()
        .fingerprint(server.fingerprint().parse().unwrap());
    let place = server
        .url()
        .replace("https://", &format!("https://me:{BASIC_PASSWORD}@"));
    let datastore = open(&options, &place).unwrap();
    restore(&datastore).unwrap();
    show_error(&datastore.snapshots().expect_err("a web tree can't list"));
    server.on_any(
        When::Always,
        Fault::Redirect("https://elsewhere/".to_owned()),
    );
    restore(&datastore).expect_err("redirects are not followed");
    // URLs that make no sense hold the password all the same.
    for end in ["/?x=1", "/a b", ":x/"] {
        let place = format!("https://me:{BASIC_PASSWORD}@host{end}");
        assert!(open(&options, &place).is_none(), "{end}");
    }
    for scheme in ["http", "s3", "ftp"] {
        let place = format!("{scheme}://me:{BASIC_PASSWORD}@host/");
        assert!(open(&options, &place).is_none(), "{scheme}");
    }
}

fn out_of_a_bucket(options: &OpenOptions, key: &TestKey) {
    let new = || S3Options::new().token(TOKEN);
    for server in [new().http(store(key)), new().https(store(key))] {
        let sign = |secret: &str, token: &str| {
            let options = options.clone().s3_endpoint(server.endpoint());
            let options = match server.fingerprint() {
                "" => options,
                fingerprint => options.fingerprint(fingerprint.parse().unwrap()),
            };
            let token = Some(token.to_owned());
            options.s3_credentials(S3Server::ACCESS_KEY, secret, token)
        };
        let right = sign(S3Server::SECRET_KEY, TOKEN).attempts(1);
        let datastore = open(&right, S3Server::PLACE).unwrap();
        restore(&datastore).unwrap();
        show(&datastore.snapshots().unwrap());
        show(&datastore.namespaces().unwrap());
        // The first of them is told what was signed, with the token in it.
        for wrong in [sign(WRONG, TOKEN), sign(S3Server::SECRET_KEY, WRONG)] {
            restore(&open(&wrong, S3Server::PLACE).unwrap()).expect_err("it can't work");
        }
        let other = open(&right, "s3://other/store1").unwrap();
        restore(&other).expect_err("there is no such bucket");
        let wrong = right
            .clone()
            .s3_endpoint(format!("https://me:{WRONG}@host"));
        assert!(open(&wrong, S3Server::PLACE).is_none());
        for fault in [
            Fault::Reset,
            Fault::Redirect("https://elsewhere/".to_owned()),
        ] {
            server.on_any(
                When::From(server.counts().requests + 1),
                S3Fault::Web(fault),
            );
            restore(&datastore).expect_err("nothing comes");
        }
        SIGNATURES.lock().unwrap().extend(server.signatures());
    }
}

/// Does all that has to do with secrets, once; gives what was logged and shown.
fn seen() -> String {
    static DONE: Mutex<bool> = Mutex::new(false);
    let mut is_done = DONE.lock().unwrap();
    if !*is_done {
        log::set_logger(&Collector).unwrap();
        log::set_max_level(LevelFilter::Trace);
        let key = key();
        let json = key.key_file(Kdf::Pbkdf2 {
            passphrase: PASSPHRASE,
            iter: 1000,
        });
        let file = KeyFile::parse(json.as_bytes()).unwrap();
        show(&file);
        show_error(&file.unlock(Some(WRONG.as_bytes())).unwrap_err());
        let unlocked = file.unlock(Some(PASSPHRASE.as_bytes())).unwrap();
        show(&unlocked);
        let options = OpenOptions::new().key(unlocked);
        through_a_server(&options, &key);
        through_a_storage(&key);
        through_a_server_with_cookies(&options, &key);
        through_a_web_server(&options, &key);
        out_of_a_bucket(&options, &key);
        *is_done = true;
    }
    SEEN.lock().unwrap().clone()
}

fn key() -> TestKey {
    TestKey::from_seed(5)
}

fn assert_no_secret(seen: &str) {
    let key_hex = hex(key().enc_key());
    let key_list = format!("{:?}", key().enc_key());
    let basic = STANDARD.encode(format!("me:{BASIC_PASSWORD}"));
    let proxy = STANDARD.encode(format!("me:{PROXY_PASSWORD}"));
    for secret in [
        PbsServer::SECRET,
        PbsServer::PASSWORD,
        PASSPHRASE,
        PROXY_PASSWORD,
        &proxy,
        BASIC_PASSWORD,
        &basic,
        BEARER,
        "Quei7aoh",
        // All tickets begin so.
        "PBS:restore",
        &key_hex,
        key_list.trim_matches(['[', ']']),
        S3Server::SECRET_KEY,
        TOKEN,
        ENCODED_TOKEN,
    ] {
        let line = seen.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is shown");
    }
    let signatures = SIGNATURES.lock().unwrap();
    assert!(signatures.len() > 20, "{} signatures", signatures.len());
    let shown = signatures
        .iter()
        .find(|signature| seen.contains(*signature));
    assert_eq!(shown, None);
}

/// `ureq_proto` dumps the bytes of requests and answers, 16 to a line.
const DUMP: &str = "ureq_proto::util: ";

#[test]
fn no_secret_is_logged_or_shown() {
    within(Duration::from_secs(120), || {
        let seen = seen();
        assert!(seen.contains("ureq"), "nothing was logged");
        assert_no_secret(&seen);
    });
}

#[test]
fn no_secret_is_in_the_bytes_that_ureq_dumps() {
    within(Duration::from_secs(120), || {
        let seen = seen();
        let dumped = seen.lines().filter_map(|line| line.strip_prefix(DUMP));
        // The text of a row is behind its hexadecimal digits, which take five characters for two bytes.
        let text: String = dumped.filter_map(|row| row.get(41..)).collect();
        // The web servers were asked, with something else in the secret's place.
        assert!(text.contains("authorization:.chunk-restore-authorization"));
        assert!(text.contains("index.json.blob?chunk-restore-authorization.HTTP/1.1"));
        // And what a server said of it was seen, but for the secrets in it.
        assert!(text.contains("X-Amz-Security-Token=token%2F***"));
        assert_no_secret(&text);
    });
}
