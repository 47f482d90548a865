//! The floor: what it costs to read the same bytes over TLS and to decode them, and nothing else. One connection, one
//! request at a time over HTTP/1.1, rustls without buffers of its own, AES-GCM, zstd and SHA-256 as they come.

#![allow(dead_code, reason = "each bench uses a part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::client::UnbufferedClientConnection;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::unbuffered::{ConnectionState, UnbufferedStatus};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use testkit::TestKey;

use crate::support::bare::Bare;

/// As large as the client's own, so that both read as much at once.
const INCOMING: usize = 128 << 10;

/// A connection to a static server on loopback.
pub(crate) struct Floor {
    socket: TcpStream,
    tls: UnbufferedClientConnection,
    incoming: Vec<u8>,
    /// Where the incoming bytes begin: on a page.
    base: usize,
    start: usize,
    end: usize,
    blob: Vec<u8>,
    bare: Bare,
}

impl Floor {
    /// For chunks of at most `largest` bytes; with a key for encrypted ones.
    pub(crate) fn connect(address: SocketAddr, largest: usize, key: Option<&TestKey>) -> Floor {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("ring has them")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("it is a name");
        let socket = TcpStream::connect(address).expect("the server listens");
        socket.set_nodelay(true).expect("it is a TCP socket");
        let incoming = vec![0; INCOMING + 4096];
        Floor {
            socket,
            tls: UnbufferedClientConnection::new(Arc::new(config), name)
                .expect("the name is sound"),
            base: incoming.as_ptr().align_offset(4096),
            incoming,
            start: 0,
            end: 0,
            blob: Vec::with_capacity(largest + (64 << 10)),
            bare: Bare::new(largest, key),
        }
    }

    /// Fetches a file, decodes it as a chunk and hashes it. Gives the length of the file.
    pub(crate) fn fetch(&mut self, path: &str) -> usize {
        let head = self.read_file(path);
        self.bare.decode(&mut self.blob[head..]);
        self.blob.len() - head
    }

    /// Fetches a file, and no more. Gives its length.
    pub(crate) fn fetch_blob(&mut self, path: &str) -> usize {
        let head = self.read_file(path);
        self.blob.len() - head
    }

    /// Where the file begins in `blob`.
    fn read_file(&mut self, path: &str) -> usize {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        self.blob.clear();
        self.advance(Some(request.as_bytes()));
        let (head, len) = loop {
            if let Some(head) = self
                .blob
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                break (head + 4, content_length(&self.blob[..head]));
            }
            self.read();
        };
        while self.blob.len() < head + len {
            self.read();
        }
        head
    }

    fn read(&mut self) {
        let space = &mut self.incoming[self.base..][..INCOMING];
        space.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let count = self
            .socket
            .read(&mut space[self.end..])
            .expect("the server answers");
        assert!(count > 0, "the server hung up");
        self.end += count;
        self.advance(None);
    }

    /// Decrypts what is there, and shakes hands until `plaintext` can be sent.
    fn advance(&mut self, plaintext: Option<&[u8]>) {
        loop {
            let records = &mut self.incoming[self.base..][self.start..self.end];
            let UnbufferedStatus { mut discard, state } = self.tls.process_tls_records(records);
            let mut done = false;
            let mut needs_more = false;
            match state.expect("the server speaks TLS") {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.expect("the record is sound");
                        discard += record.discard;
                        self.blob.extend_from_slice(record.payload);
                    }
                }
                ConnectionState::EncodeTlsData(mut encode) => {
                    let mut out = [0; 4096];
                    let len = encode
                        .encode(&mut out)
                        .expect("a handshake message is short");
                    self.socket
                        .write_all(&out[..len])
                        .expect("the server listens");
                }
                ConnectionState::TransmitTlsData(transmit) => transmit.done(),
                ConnectionState::WriteTraffic(mut traffic) => {
                    if let Some(plaintext) = plaintext {
                        let mut out = [0; 1024];
                        let len = traffic
                            .encrypt(plaintext, &mut out)
                            .expect("a request is short");
                        self.socket
                            .write_all(&out[..len])
                            .expect("the server listens");
                    }
                    done = true;
                }
                ConnectionState::BlockedHandshake => needs_more = true,
                _ => panic!("the server closed the connection"),
            }
            self.start += discard;
            if done {
                return;
            }
            if needs_more {
                let space = &mut self.incoming[self.base..][..INCOMING];
                let count = self
                    .socket
                    .read(&mut space[self.end..])
                    .expect("the server answers");
                assert!(count > 0, "the server hung up");
                self.end += count;
            }
        }
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = std::str::from_utf8(head)
        .expect("a head is ASCII")
        .to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    let line = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    line.and_then(|len| len.trim().parse().ok())
        .expect("the server states the length")
}

/// Trusts anyone: only the time is of interest, and that of a handshake is not.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
