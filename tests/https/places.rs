//! Servers that are no datastore, or no longer: what they lack or say is never a damage of the data.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use chunk_restore::{ErrorKind, Restore, Result, Scope};

use crate::server::{Call, Fault, Server};
use crate::{Identity, chain, is_chunk, pinned, restore, within};

const LIMIT: Duration = Duration::from_secs(60);

/// With places that give nothing.
const PATIENCE: Duration = Duration::from_millis(700);

/// Sign-in pages of several kinds.
fn pages() -> [Fault; 5] {
    let long = "x".repeat(9 << 20);
    [
        Fault::Say("<!DOCTYPE html><title>Sign in</title>".to_owned()),
        Fault::Say("\u{feff}\r\n <html><p>Anmelden</p></html>".to_owned()),
        // Longer than any chunk can be.
        Fault::Say(format!("<HTML>{long}</HTML>")),
        Fault::Status("200 OK", "Content-Type: text/html; charset=utf-8\r\n"),
        Fault::Status("200 OK", "Content-Type: application/json\r\n"),
    ]
}

/// Restores, with zeros for what is lost if any is, from a server that does this.
fn salvage(script: impl Fn(&Call) -> Option<Fault> + Send + Sync + 'static) -> Result<()> {
    within(LIMIT, move || {
        let identity = Identity::new();
        let server = Server::start(&identity, script);
        let datastore = pinned(&identity).open(&server.url())?;
        let job = Restore::new().threads(1).patience(PATIENCE).salvage(true);
        let restored = restore(&datastore, &job).map(drop);
        if let Err(error) = &restored {
            assert_ne!(error.scope(), Some(Scope::Chunk), "{error:?}");
        }
        restored
    })
}

#[test]
fn a_web_page_is_no_damage_of_a_chunk_nor_of_a_manifest_nor_of_an_index() {
    let files: [fn(&Call) -> bool; 3] = [
        is_chunk,
        |call| call.path.ends_with("index.json.blob"),
        |call| call.path.ends_with(".fidx"),
    ];
    for is_asked in files {
        for kind in 0..pages().len() {
            let error =
                salvage(move |call| pages().into_iter().nth(kind).filter(|_| is_asked(call)));
            let error = error.expect_err("a page is no file");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{kind}: {error:?}");
            let text = chain(&error);
            assert!(
                text.contains("instead of the file") && text.contains("localhost"),
                "{kind}: {text}"
            );
            assert_eq!(text.contains("web page"), kind != 4, "{kind}: {text}");
        }
    }
}

#[test]
fn a_web_page_that_passes_does_no_harm() {
    let page = || Fault::Say("<html>one moment, please</html>".to_owned());
    crate::restore_with_first(page).expect("the second answer is right");
}

#[test]
fn a_redirect_to_a_sign_in_is_told_from_a_datastore_that_has_moved() {
    for (location, text) in [
        (
            "Location: /login?next=x\r\n",
            "pointing to /login; does it want a sign-in",
        ),
        (
            "Location: https://sso.example/\r\n",
            "does it want a sign-in",
        ),
    ] {
        let error =
            salvage(move |call| is_chunk(call).then_some(Fault::Status("302 Found", location)));
        let error = error.expect_err("it is not followed");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(chain(&error).contains(text), "{error:?}");
    }
}

#[test]
fn statuses_of_the_place_are_no_damage() {
    for (status, kind) in [
        ("401 Unauthorized", ErrorKind::Denied),
        ("403 Forbidden", ErrorKind::Denied),
        ("407 Proxy Authentication Required", ErrorKind::Denied),
        ("400 Bad Request", ErrorKind::Unavailable),
        ("408 Request Timeout", ErrorKind::Unavailable),
        ("416 Range Not Satisfiable", ErrorKind::Unavailable),
        ("425 Too Early", ErrorKind::Unavailable),
        ("429 Too Many Requests", ErrorKind::Unavailable),
        ("500 Internal Server Error", ErrorKind::Unavailable),
        ("521 Web Server Is Down", ErrorKind::Unavailable),
        ("206 Partial Content", ErrorKind::Unavailable),
        ("204 No Content", ErrorKind::Unavailable),
    ] {
        let error = salvage(move |call| is_chunk(call).then_some(Fault::Status(status, "")));
        let error = error.expect_err("no chunk comes");
        assert_eq!(error.kind(), kind, "{status}: {error:?}");
    }
}

#[test]
fn chunks_are_not_missing_where_all_else_is() {
    let gone = || Some(Fault::Status("404 Not Found", ""));
    // The root is moved after a few answers: the manifest, the index, and a chunk perhaps.
    for after in [2, 3, 5] {
        let calls = AtomicUsize::new(0);
        let error = salvage(move |_| {
            let is_moved = calls.fetch_add(1, Ordering::SeqCst) >= after;
            is_moved.then(gone).flatten()
        });
        let error = error.expect_err("nothing is there any more");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(
            chain(&error).contains("drive-scsi0.img.fidx is no longer there"),
            "{error:?}"
        );
    }
    // All chunks are, though they were there before.
    let chunks = AtomicUsize::new(0);
    let error = salvage(move |call| match is_chunk(call) {
        true => (chunks.fetch_add(1, Ordering::SeqCst) >= 2)
            .then(gone)
            .flatten(),
        false => None,
    });
    let error = error.expect_err("no chunk is there any more");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    assert!(chain(&error).contains("/.chunks/"), "{error:?}");
}

#[test]
fn a_chunk_is_missing_where_all_else_is_there() {
    let missing = |status| {
        let paths = Mutex::new(Vec::new());
        salvage(move |call| {
            let mut paths = paths.lock().expect("no thread panics with it");
            if is_chunk(call) && !paths.contains(&call.path) {
                paths.push(call.path.clone());
            }
            let is_third = paths.get(2) == Some(&call.path);
            is_third.then_some(Fault::Status(status, ""))
        })
    };
    missing("404 Not Found").expect("it is salvaged");
    missing("410 Gone").expect("it is salvaged");
}

#[test]
fn what_a_server_can_not_say_of_the_index_is_not_said_of_chunks() {
    let error = salvage(|call| {
        if is_chunk(call) {
            return Some(Fault::Status("404 Not Found", ""));
        }
        let is_second = call.path.ends_with(".fidx") && call.nth > 1;
        is_second.then_some(Fault::Status("503 Service Unavailable", ""))
    });
    let error = error.expect_err("nobody knows whether it is there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
}

#[test]
fn what_is_no_chunk_is_damage_only_where_the_place_still_gives_what_it_gave() {
    // An empty cache, a portal's word, and one that is longer than any chunk.
    let says = [String::new(), "ok".to_owned(), "x".repeat(9 << 20)];
    for said in says {
        // A file that a power cut left empty, or somebody overwrote.
        let text = said.clone();
        let paths = Mutex::new(Vec::new());
        let salvaged = salvage(move |call| {
            let mut paths = paths.lock().expect("no thread panics with it");
            if is_chunk(call) && !paths.contains(&call.path) {
                paths.push(call.path.clone());
            }
            let is_third = paths.get(2) == Some(&call.path);
            is_third.then(|| Fault::Say(text.clone()))
        });
        salvaged.expect("one chunk is damaged");

        // Something on the way says it in place of everything, or in place of all chunks.
        for is_of_all in [true, false] {
            let text = said.clone();
            let calls = AtomicUsize::new(0);
            let error = salvage(move |call| {
                let is_asked = is_of_all || is_chunk(call);
                let is_late = is_asked && calls.fetch_add(1, Ordering::SeqCst) >= 3;
                is_late.then(|| Fault::Say(text.clone()))
            });
            let error = error.expect_err("nobody knows what is there");
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
            let text = chain(&error);
            assert!(text.contains("something else comes in place of"), "{text}");
        }
    }
}
