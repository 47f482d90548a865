//! The test PBS, seen by a client that is not ours either.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use h2::Reason;
use serde_json::{Value, json};
use testkit::{
    ArchiveInfo, ConnectionFault, Fault, Image, InMemory, PbsOptions, PbsServer, Raw, SessionEnd,
    SessionFault, SnapshotBuilder, When, Workload, raw,
};
use tokio::io::AsyncWriteExt as _;

use support::{SNAPSHOT, http1, open, over, token, upgrade};

fn made() -> (Arc<InMemory>, ArchiveInfo) {
    let store = Arc::new(InMemory::new());
    let info = SnapshotBuilder::new("vm/100/2026-01-02T03:04:05Z")
        .image(
            "drive-scsi0.img",
            Image::new(Workload::Incompressible, 1, 1_000_000, 65_536),
        )
        .blob("qemu-server.conf", b"cores: 2")
        .write_to(&*store);
    (store, info.archives[0].clone())
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let limited = async { tokio::time::timeout(Duration::from_secs(20), future).await };
    runtime
        .unwrap()
        .block_on(limited)
        .expect("it does not hang")
}

async fn eventually(server: &PbsServer, mut claim: impl FnMut() -> bool) {
    for _ in 0..200 {
        if claim() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let (counts, ends) = (server.counts(), server.session_ends());
    panic!("it never came true: {counts:?} {ends:?}");
}

#[test]
fn session_gives_files_and_the_chunks_of_a_downloaded_index() {
    let (store, archive) = made();
    let server = PbsServer::start(Arc::clone(&store));
    block_on(async {
        let mut client = open(&server).await;
        let digest = archive.digests[2];
        let (status, text) = client.chunk(&digest).await.unwrap();
        let name = testkit::hex(&digest);
        assert_eq!(status, 401);
        assert_eq!(
            text,
            format!("download chunk {name} not allowed").as_bytes()
        );
        assert_eq!(client.index().await, archive.index);
        let (status, blob) = client.chunk(&digest).await.unwrap();
        assert_eq!((status, &*blob), (200, &*store.chunk(&digest).unwrap()));
        assert_eq!(client.get("/speedtest").await.unwrap().1.len(), 1 << 20);
        for (path, status) in [
            ("/download?file-name=qemu-server.conf.blob", 200),
            ("/download?file-name=other.blob", 404),
            ("/download?file-name=other.img.fidx", 400),
            ("/download?file-name=index.json.blob&more=1", 400),
            ("/chunk?digest=ABCD", 400),
            ("/nothing", 404),
        ] {
            assert_eq!(client.get(path).await.unwrap().0, status, "{path}");
        }
        store.remove_chunk(&digest);
        let (status, text) = client.chunk(&digest).await.unwrap();
        assert_eq!(status, 400);
        assert!(text.ends_with(b"No such file or directory (os error 2)"));
        assert_eq!(server.requests(&digest), 3);
    });
}

#[test]
fn index_and_chunk_in_one_go_is_too_soon() {
    let (store, archive) = made();
    let server = PbsServer::start(store);
    block_on(async {
        let (mut index, mut chunk) = {
            let client = open(&server).await;
            let second = support::Client {
                requests: client.requests.clone(),
                driver: tokio::spawn(async { Ok(()) }),
            };
            (client, second)
        };
        let both = tokio::join!(index.index(), chunk.chunk(&archive.digests[0]));
        assert_eq!(both.1.unwrap().0, 401);
    });
}

#[test]
fn login_gives_tickets_that_expire_and_can_be_renewed() {
    let (store, _) = made();
    let server = PbsOptions::new()
        .tfa_user("two@pbs", "factors")
        .start(store);
    block_on(async {
        let login = async |user: &str, password: &str| {
            let body = json!({ "username": user, "password": password }).to_string();
            let head =
                "POST /api2/json/access/ticket HTTP/1.1\r\ncontent-type: application/json\r\n";
            let (head, body) = http1(&server, head, &body).await;
            let data: Value = serde_json::from_str(&body).unwrap_or_default();
            let ticket = data["data"]["ticket"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            (head[9..12].to_owned(), ticket, body)
        };
        let list = async |ticket: &str| {
            let head = "GET /api2/json/admin/datastore/store1/snapshots?backup-type=vm HTTP/1.1";
            let (head, body) = http1(
                &server,
                &format!("{head}\r\ncookie: PBSAuthCookie={ticket}\r\n"),
                "",
            )
            .await;
            (head[9..12].to_owned(), body)
        };
        let (status, ticket, _) = login(PbsServer::USER, PbsServer::PASSWORD).await;
        assert_eq!(status, "200");
        let (status, body) = list(&ticket).await;
        assert_eq!(status, "200");
        let data: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(data["data"][0]["backup-time"], 1_767_323_045);
        assert_eq!(data["data"][0]["files"].as_array().unwrap().len(), 3);
        let encoded = ticket.replace(':', "%3A").replace('=', "%3D");
        assert_eq!(list(&encoded).await.0, "200");
        let (status, renewed, _) = login(PbsServer::USER, &ticket).await;
        assert_eq!((&*status, &*list(&renewed).await.0), ("200", "200"));
        server.expire_tickets();
        assert_eq!(list(&renewed).await.0, "401");
        assert_eq!(login(PbsServer::USER, &renewed).await.0, "401");
        let (status, _, text) = login(PbsServer::USER, "wrong").await;
        assert_eq!((&*status, &*text), ("401", "permission check failed."));
        assert!(login("two@pbs", "factors").await.1.starts_with("PBS:!tfa!"));
        assert_eq!(server.counts().refused, 3);
    });
}

#[test]
fn sessions_are_refused_as_by_pbs() {
    let (store, _) = made();
    let server = PbsOptions::new()
        .token_without_rights("poor@pbs!one", "secret")
        .start(store);
    server.on_session(When::Nth(1), SessionFault::Locked);
    block_on(async {
        let poor = "authorization: PBSAPIToken poor@pbs!one:secret\r\n";
        let extra = format!("{SNAPSHOT}&extra=1");
        for (query, credentials, status) in [
            (SNAPSHOT, &*token(), "400"),
            (SNAPSHOT, "", "401"),
            (
                SNAPSHOT,
                "authorization: PBSAPIToken=restore@pbs!ci:no\r\n",
                "401",
            ),
            (SNAPSHOT, poor, "400"),
            (&extra, &token(), "400"),
            (&SNAPSHOT.replace("store1", "store2"), &token(), "400"),
            (&SNAPSHOT.replace("100", "101"), &token(), "400"),
            (&format!("{SNAPSHOT}&ns=a%2Fb"), &token(), "400"),
            (SNAPSHOT, &token(), "101"),
        ] {
            let (_, head) = upgrade(&server, query, credentials).await;
            assert_eq!(&head[9..12], status, "{query} {credentials}");
        }
    });
}

#[test]
fn faults_come_when_they_are_planned() {
    let (store, archive) = made();
    let server = PbsServer::start(Arc::clone(&store));
    let digest = archive.digests[0];
    let blob = store.chunk(&digest).unwrap();
    let whole = blob.len();
    let faults = [
        (Fault::WrongBlob, Ok(200)),
        (Fault::EmptyBlob, Ok(200)),
        (Fault::Corrupt, Ok(200)),
        (Fault::Truncated, Ok(200)),
        (Fault::Missing400, Ok(400)),
        (Fault::Unauthorized401, Ok(401)),
        (Fault::Status(500), Ok(500)),
        (Fault::Busy { retry_after: 1 }, Ok(503)),
        (Fault::RstStream(2), Err(Some(Reason::INTERNAL_ERROR))),
        (Fault::RstInBody(8), Err(Some(Reason::CANCEL))),
        (Fault::Short, Err(Some(Reason::PROTOCOL_ERROR))),
        (Fault::TooLong, Err(Some(Reason::PROTOCOL_ERROR))),
        (Fault::CutAfter(1000), Err(None)),
        (Fault::Reset, Err(None)),
        // The stream is among those that GOAWAY says were looked at: what ends it is the end of the connection.
        (Fault::GoAwayNow(11), Err(None)),
    ];
    for (number, (fault, _)) in (1..).zip(&faults) {
        server.on_chunk(&digest, When::Nth(number), fault.clone());
    }
    block_on(async {
        let mut client = open(&server).await;
        client.index().await;
        for (fault, expected) in faults {
            let result = client.chunk(&digest).await;
            if let Ok((200, bytes)) = &result {
                assert!(bytes[..] != blob[..] && bytes.len() <= whole, "{fault:?}");
            }
            let result = result
                .map(|(status, _)| status)
                .map_err(|error| error.reason());
            assert_eq!(result, expected, "{fault:?}");
            if client.get("/speedtest").await.is_err() {
                client = open(&server).await;
                client.index().await;
            }
        }
        assert_eq!(&*client.chunk(&digest).await.unwrap().1, &*blob);
        let ends = server.session_ends();
        assert!(
            ends.iter().all(|end| *end == SessionEnd::ByServer),
            "{ends:?}"
        );
    });
}

#[test]
fn stalls_do_not_end() {
    let (store, archive) = made();
    let server = PbsServer::start(store);
    let faults = [Fault::Stall, Fault::StallInBody, Fault::Trickle];
    for (digest, fault) in archive.digests.iter().zip(faults) {
        server.on_chunk(digest, When::Always, fault);
    }
    block_on(async {
        let mut client = open(&server).await;
        client.index().await;
        for digest in &archive.digests[..3] {
            let limit = Duration::from_millis(200);
            assert!(
                tokio::time::timeout(limit, client.chunk(digest))
                    .await
                    .is_err()
            );
        }
        assert_eq!(client.chunk(&archive.digests[3]).await.unwrap().0, 200);
    });
}

#[test]
fn goaway_lets_the_rest_finish() {
    let (store, archive) = made();
    let server = PbsServer::start(store);
    server.on_any_chunk(When::Nth(1), Fault::GoAway);
    block_on(async {
        let mut client = open(&server).await;
        client.index().await;
        assert_eq!(client.chunk(&archive.digests[0]).await.unwrap().0, 200);
        // The first GOAWAY only announces the end: what crosses it on the way is answered too.
        for _ in 0..100 {
            match client.chunk(&archive.digests[1]).await {
                Ok((status, _)) => assert_eq!(status, 200),
                Err(_) => return,
            }
        }
        panic!("it never goes away");
    });
}

#[test]
fn ends_of_sessions_are_told_apart() {
    let (store, _) = made();
    let server = PbsServer::start(store);
    block_on(async {
        let mut client = open(&server).await;
        client.get("/speedtest").await.unwrap();
        drop(client.requests);
        client.driver.await.unwrap().unwrap();
        eventually(&server, || server.session_ends() == [SessionEnd::Clean]).await;
        let (stream, _) = upgrade(&server, SNAPSHOT, &token()).await;
        stream.get_ref().0.set_zero_linger().unwrap();
        drop(stream);
        eventually(&server, || server.session_ends().len() == 2).await;
        assert_eq!(server.session_ends()[1], SessionEnd::Reset);
        let (mut stream, _) = upgrade(&server, SNAPSHOT, &token()).await;
        // Closing a socket with something unread would be a reset.
        stream.get_mut().0.shutdown().await.unwrap();
        eventually(&server, || server.session_ends().len() == 3).await;
        assert_eq!(server.session_ends()[2], SessionEnd::Fin);
        eventually(&server, || server.counts().open_sessions == 0).await;
        eventually(&server, || server.counts().open_connections == 0).await;
    });
}

#[test]
fn storm_of_resets_ends_the_session() {
    let (store, archive) = made();
    let server = PbsOptions::new()
        .latency(Duration::from_secs(5))
        .start(store);
    block_on(async {
        let mut client = open(&server).await;
        client.index().await;
        let path = format!(
            "https://x/chunk?digest={}",
            testkit::hex(&archive.digests[0])
        );
        for _ in 0..120 {
            let request = http::Request::get(&path).body(()).unwrap();
            let Ok(mut requests) = client.requests.clone().ready().await else {
                break;
            };
            drop(requests.send_request(request, true).unwrap());
            tokio::task::yield_now().await;
        }
        let error = client.get("/speedtest").await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::ENHANCE_YOUR_CALM));
    });
}

#[test]
fn latency_is_a_wait_and_not_a_queue() {
    let (store, archive) = made();
    let server = PbsOptions::new()
        .latency(Duration::from_millis(100))
        .start(store);
    block_on(async {
        let mut client = open(&server).await;
        client.index().await;
        let start = Instant::now();
        let chunks = archive.digests.iter().map(|digest| {
            let requests = client.requests.clone();
            let driver = tokio::spawn(async { Ok(()) });
            let mut client = support::Client { requests, driver };
            async move { client.chunk(digest).await.unwrap().0 }
        });
        let statuses = futures_util::future::join_all(chunks).await;
        assert!(statuses.iter().all(|status| *status == 200));
        assert!(start.elapsed() < Duration::from_millis(400));
        assert_eq!(server.counts().max_streams, archive.digests.len() as u64);
    });
}

#[test]
fn connections_fail_as_planned() {
    let (store, _) = made();
    let server = PbsServer::start(store);
    server.on_connection(When::Nth(1), ConnectionFault::CutAfter(4000));
    block_on(async {
        let mut client = open(&server).await;
        assert!(client.get("/speedtest").await.is_err());
        let mut client = open(&server).await;
        assert!(client.get("/speedtest").await.is_ok());
    });
}

#[test]
fn raw_session_says_what_it_is_told() {
    let (store, _) = made();
    let server = PbsServer::start(store);
    let steps = vec![
        Raw::Send(raw::settings(&[(3, 7)])),
        Raw::ReadUntilRequest,
        Raw::Send(raw::answer(1, b"by hand")),
        Raw::ReadUntilRequest,
        Raw::Send(raw::frame(raw::kind::HEADERS, raw::END_HEADERS, 3, &[0x80])),
    ];
    server.on_session(When::Nth(1), SessionFault::Raw(steps));
    block_on(async {
        let (stream, head) = upgrade(&server, SNAPSHOT, &token()).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        let mut client = over(stream).await;
        assert_eq!(client.get("/x").await.unwrap().1, b"by hand");
        let error = client.get("/x").await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::PROTOCOL_ERROR));
    });
}

#[test]
fn version_4_gives_its_ticket_as_a_cookie() {
    let (store, archive) = made();
    let server = PbsOptions::new()
        .version4()
        .host_cookie()
        .chunked_listing()
        .start(Arc::clone(&store));
    store.remove_chunk(&archive.digests[0]);
    block_on(async {
        let user = json!({ "username": PbsServer::USER, "password": PbsServer::PASSWORD });
        let head = "POST /api2/json/access/ticket HTTP/1.1\r\n";
        let (head, body) = http1(&server, head, &user.to_string()).await;
        assert!(!body.contains("\"ticket\""), "{body}");
        let (_, cookie) = head.split_once("set-cookie: ").unwrap();
        let (cookie, _) = cookie.split_once(';').unwrap();
        assert!(cookie.starts_with("__Host-PBSAuthCookie=PBS:"), "{cookie}");
        let head = "GET /api2/json/admin/datastore/store1/namespace HTTP/1.1\r\n";
        let (head, body) = http1(&server, &format!("{head}cookie: {cookie}\r\n"), "").await;
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        assert!(body.ends_with("0\r\n\r\n"), "{body}");
        let mut client = open(&server).await;
        client.index().await;
        assert_eq!(client.requests.current_max_send_streams(), 200);
        let (status, text) = client.chunk(&archive.digests[0]).await.unwrap();
        assert_eq!(status, 400);
        assert!(text.starts_with(b"cannot find chunk with digest "));
    });
}

#[test]
fn client_that_asks_for_deflate_gets_it() {
    let (store, archive) = made();
    let server = PbsServer::start(Arc::clone(&store));
    block_on(async {
        let mut client = open(&server).await;
        client.index().await;
        let name = testkit::hex(&archive.digests[0]);
        let request = http::Request::get(format!("https://x/chunk?digest={name}"))
            .header("accept-encoding", "gzip, deflate")
            .body(());
        let mut requests = client.requests.clone().ready().await.unwrap();
        let (response, _) = requests.send_request(request.unwrap(), true).unwrap();
        assert_eq!(
            response.await.unwrap().headers()["content-encoding"],
            "deflate"
        );
    });
}

#[test]
fn late_or_missing_tls_is_taken_for_plain_http() {
    let (store, _) = made();
    let server = PbsOptions::new()
        .hello_limit(Duration::from_millis(50))
        .start(store);
    block_on(async {
        let stream = tokio::net::TcpStream::connect(server.address())
            .await
            .unwrap();
        let (head, _) = support::ask(stream, "GET / HTTP/1.1\r\n", "").await;
        assert!(head.starts_with("HTTP/1.1 400"), "{head}");
        let stream = tokio::net::TcpStream::connect(server.address())
            .await
            .unwrap();
        eventually(&server, || server.counts().late_hellos == 1).await;
        drop(stream);
    });
}
