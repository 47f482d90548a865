//! A PBS client on the h2 crate, as simple as can be. Knows nothing of chunk-restore.

#![allow(dead_code, reason = "each test uses a part")]

use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use testkit::PbsServer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Accepts the certificate with this fingerprint.
#[derive(Debug)]
struct Pinned(String, Arc<CryptoProvider>);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let fingerprint = testkit::hex(&testkit::sha256(certificate));
        if fingerprint == self.0.replace(':', "") {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(Error::General("another certificate".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.1.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.1.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.1.signature_verification_algorithms.supported_schemes()
    }
}

pub(crate) async fn tls(address: std::net::SocketAddr, fingerprint: &str) -> TlsStream<TcpStream> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned(fingerprint.to_owned(), provider)))
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("127.0.0.1").unwrap();
    connector.connect(name, stream).await.unwrap()
}

pub(crate) fn token() -> String {
    let (id, secret) = (PbsServer::TOKEN, PbsServer::SECRET);
    format!("authorization: PBSAPIToken={id}:{secret}\r\n")
}

/// Asks once; gives the status line with headers, and the body.
pub(crate) async fn http1(server: &PbsServer, head: &str, body: &str) -> (String, String) {
    ask(
        tls(server.address(), &server.fingerprint()).await,
        head,
        body,
    )
    .await
}

pub(crate) async fn ask(
    mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    head: &str,
    body: &str,
) -> (String, String) {
    let len = body.len();
    let request =
        format!("{head}host: x\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    // How the connection ends is not asked here.
    stream.read_to_string(&mut answer).await.ok();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
    (head.to_owned(), body.to_owned())
}

pub(crate) const SNAPSHOT: &str =
    "store=store1&backup-type=vm&backup-id=100&backup-time=1767323045";

/// Asks for a session; gives the connection after the head of the answer, and that head.
pub(crate) async fn upgrade(
    server: &PbsServer,
    query: &str,
    credentials: &str,
) -> (TlsStream<TcpStream>, String) {
    let mut stream = tls(server.address(), &server.fingerprint()).await;
    let request = format!(
        "GET /api2/json/reader?{query} HTTP/1.1\r\nhost: x\r\n{credentials}\
         connection: upgrade\r\nupgrade: proxmox-backup-reader-protocol-v1\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else {
            break;
        };
        head.push(byte);
    }
    (stream, String::from_utf8(head).unwrap())
}

pub(crate) struct Client {
    pub(crate) requests: SendRequest<Bytes>,
    pub(crate) driver: tokio::task::JoinHandle<Result<(), h2::Error>>,
}

pub(crate) async fn open(server: &PbsServer) -> Client {
    let (stream, head) = upgrade(server, SNAPSHOT, &token()).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    over(stream).await
}

pub(crate) async fn over(stream: TlsStream<TcpStream>) -> Client {
    let (requests, connection) = h2::client::Builder::new()
        .initial_window_size((1 << 31) - 1)
        .initial_connection_window_size((1 << 31) - 1)
        .max_frame_size(4 << 20)
        .handshake(stream)
        .await
        .unwrap();
    let driver = tokio::spawn(connection);
    Client { requests, driver }
}

impl Client {
    pub(crate) async fn get(&mut self, path: &str) -> Result<(u16, Vec<u8>), h2::Error> {
        let request = Request::get(format!("https://x{path}")).body(()).unwrap();
        let mut requests = self.requests.clone().ready().await?;
        let (response, _) = requests.send_request(request, true)?;
        let response = response.await?;
        let status = response.status().as_u16();
        let mut body = response.into_body();
        let mut bytes = Vec::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            bytes.extend(data);
        }
        Ok((status, bytes))
    }

    pub(crate) async fn chunk(&mut self, digest: &[u8; 32]) -> Result<(u16, Vec<u8>), h2::Error> {
        self.get(&format!("/chunk?digest={}", testkit::hex(digest)))
            .await
    }

    /// Downloads the index, so that the chunks may be had.
    pub(crate) async fn index(&mut self) -> Vec<u8> {
        let (status, index) = self
            .get("/download?file-name=drive-scsi0.img.fidx")
            .await
            .unwrap();
        assert_eq!(status, 200);
        index
    }
}
