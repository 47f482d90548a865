//! The static server and the proxy, and both kinds of server in a process of their own.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use testkit::{
    ConnectionFault, Fault, Folder, Image, InMemory, PbsServer, ProxyServer, SnapshotBuilder,
    StaticOptions, StaticServer, Store, When, Workload,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use support::{ask, tls};

const MANIFEST: &str = "vm/100/2026-01-02T03:04:05Z/index.json.blob";

fn fill(store: &dyn Store) -> Vec<[u8; 32]> {
    let info = SnapshotBuilder::new("vm/100/2026-01-02T03:04:05Z")
        .image(
            "drive-scsi0.img",
            Image::new(Workload::Incompressible, 1, 500_000, 65_536),
        )
        .write_to(store);
    info.archives[0].digests.clone()
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

async fn get(server: &StaticServer, path: &str, credentials: &str) -> (String, usize) {
    let stream = TcpStream::connect(server.address()).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\n{credentials}");
    // Blobs are no text, so their bytes are counted by hand.
    let (mut read, mut write) = stream.into_split();
    let request = format!("{head}host: x\r\nconnection: close\r\n\r\n");
    write.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    read.read_to_end(&mut answer).await.ok();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n");
    let Some(end) = end else {
        return (String::new(), 0);
    };
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    (head, answer.len() - end - 4)
}

#[test]
fn tree_is_served_with_faults_as_planned() {
    let store = Arc::new(InMemory::new());
    let digests = fill(&*store);
    let server = StaticOptions::new()
        .prefix("/backup/")
        .basic("me", "secret")
        .http(Arc::clone(&store));
    assert!(server.url().ends_with("/backup/"));
    let name = testkit::hex(&digests[0]);
    let path = format!("/backup/.chunks/{}/{name}", &name[..4]);
    let whole = store.chunk(&digests[0]).unwrap().len();
    let faults = [
        (Fault::Busy { retry_after: 7 }, "503", 4),
        (Fault::Redirect("https://x/".to_owned()), "302", 9),
        (Fault::CutAfter(1000), "200", 1000),
        (Fault::Short, "200", whole - 1),
        (Fault::Truncated, "200", whole / 2),
        (Fault::EmptyBlob, "200", 0),
        (Fault::Reset, "", 0),
    ];
    for (number, (fault, ..)) in (1..).zip(&faults) {
        server.on_chunk(&digests[0], When::Nth(number), fault.clone());
    }
    block_on(async {
        let me = "authorization: Basic bWU6c2VjcmV0\r\n";
        assert_eq!(get(&server, &path, "").await.0[9..12], *"401");
        for (fault, status, len) in faults {
            let (head, body) = get(&server, &path, me).await;
            let found = head.get(9..12).unwrap_or_default();
            assert_eq!((found, body), (status, len), "{fault:?}");
            if status == "503" {
                assert!(head.contains("retry-after: 7"), "{head}");
            }
        }
        assert_eq!(get(&server, &path, me).await.1, whole);
        let manifest = get(&server, &format!("/backup/{MANIFEST}"), me).await;
        assert_eq!(&manifest.0[9..12], "200");
        assert_eq!(get(&server, "/elsewhere", me).await.0[9..12], *"404");
        server.on_connection(When::Always, ConnectionFault::Close);
        let refused = TcpStream::connect(server.address()).await.unwrap();
        let mut refused = refused;
        assert!(matches!(refused.read(&mut [0]).await, Ok(0) | Err(_)));
    });
    assert_eq!(server.counts().requests, 11);
}

#[test]
fn https_is_reached_through_a_proxy() {
    let store = Arc::new(InMemory::new());
    fill(&*store);
    let server = StaticServer::https(store);
    let proxy = ProxyServer::with_password("a", "b");
    block_on(async {
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        let request = format!("CONNECT {} HTTP/1.1\r\nhost: x\r\n", server.address());
        refused
            .write_all(format!("{request}\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = String::new();
        refused.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 407 "), "{answer}");
        let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
        let request = format!("{request}Proxy-Authorization: Basic YTpi\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        assert_eq!(proxy.connects(), vec![server.address().to_string(); 2]);
        let direct = tls(server.address(), &server.fingerprint()).await;
        let (head, _) = ask(direct, "GET /nothing HTTP/1.1\r\n", "").await;
        assert!(head.starts_with("HTTP/1.1 404"), "{head}");
    });
}

#[test]
fn program_serves_until_its_input_ends() {
    let folder = tempfile::tempdir().unwrap();
    fill(&Folder::new(folder.path()));
    let mut program = Command::new(env!("CARGO_BIN_EXE_pbs-server"))
        .args([
            "--folder",
            folder.path().to_str().unwrap(),
            "--latency-ms",
            "1",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(program.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let ready: Value = serde_json::from_str(&line).unwrap();
    let address = ready["address"].as_str().unwrap().parse().unwrap();
    let fingerprint = ready["fingerprint"].as_str().unwrap();
    assert!(
        ready["place"]
            .as_str()
            .unwrap()
            .starts_with(PbsServer::TOKEN)
    );
    block_on(async {
        let head = "GET /api2/json/admin/datastore/store1/groups HTTP/1.1\r\n";
        let head = format!("{head}{}", support::token());
        let (head, body) = ask(tls(address, fingerprint).await, &head, "").await;
        assert!(
            head.starts_with("HTTP/1.1 200") && body.contains("last-backup"),
            "{head}"
        );
    });
    drop(program.stdin.take());
    assert!(program.wait().unwrap().success());
}
