//! Commands that read an export, for people to copy.
//!
//! Each command names the format of the disk. QEMU would otherwise guess it from the first bytes,
//! which the guest has written.

use std::fmt::Display;

use crate::serve::listen::Endpoint;

/// Examples for one export; `None` if only the client knows where the server is.
pub(crate) fn examples(endpoint: &Endpoint, export: &str, has_tls: bool) -> Option<String> {
    let uri = endpoint.uri(export, has_tls)?;
    Some(match has_tls {
        false => plain(&uri),
        true => with_tls(&uri, &server(endpoint)?, export),
    })
}

fn plain(uri: &str) -> String {
    format!(
        "to copy it, to convert it, or to boot a machine that writes into an overlay:\n  \
         nbdcopy '{uri}' disk.raw\n  \
         qemu-img convert -p -f raw -O qcow2 '{uri}' disk.qcow2\n  \
         qemu-img create -f qcow2 -b '{uri}' -F raw overlay.qcow2\n  \
         qemu-system-x86_64 -accel kvm -m 2G -drive file=overlay.qcow2,format=qcow2,if=virtio,rerror=stop,werror=stop\n\
         Ctrl-C ends the server"
    )
}

/// QEMU's own URIs know no TLS, so its commands name the parts.
fn with_tls(uri: &str, server: &str, export: &str) -> String {
    let joint = if uri.contains('?') { '&' } else { '?' };
    let file = format!(
        "driver=raw,file.driver=nbd,{server},file.export={},file.tls-creds=tls",
        option(export)
    );
    format!(
        "to copy it or to convert it; DIR holds ca-cert.pem, and client-cert.pem and client-key.pem if clients need them:\n  \
         nbdcopy '{uri}{joint}tls-certificates=DIR' disk.raw\n  \
         qemu-img convert -p --object tls-creds-x509,id=tls,endpoint=client,dir=DIR --image-opts {} -O qcow2 disk.qcow2\n\
         Ctrl-C ends the server",
        quoted(&file)
    )
}

/// The server as QEMU's options name it.
fn server(endpoint: &Endpoint) -> Option<String> {
    match endpoint {
        Endpoint::Socket(socket) => Some(format!(
            "file.server.type=unix,file.server.path={}",
            option(socket.path().display())
        )),
        Endpoint::Port(address) => Some(format!(
            "file.server.type=inet,file.server.host={},file.server.port={}",
            address.ip(),
            address.port()
        )),
        Endpoint::Given => None,
    }
}

/// A value among QEMU's options: a comma in it is doubled.
fn option(value: impl Display) -> String {
    value.to_string().replace(',', ",,")
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
