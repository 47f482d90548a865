//! A server on a thread of its own.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use chunk_restore::nbd::{Listener, Server, ServerReport};
use chunk_restore::{Archive, Cancel, Reader, Restore};
use tempfile::TempDir;
use testkit::Image;

use crate::CHUNK;
use crate::support::{DISK, Script};

/// A server that runs until this is dropped.
pub(crate) struct Served {
    server: Arc<Server>,
    cancel: Cancel,
    thread: Option<JoinHandle<chunk_restore::Result<()>>>,
    folder: TempDir,
}

impl Served {
    /// Serves on a unix socket. The cancel is also that of the server's readers.
    pub(crate) fn start(server: Server, cancel: &Cancel) -> Served {
        let folder = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(folder.path().join("socket")).unwrap();
        Served::listen(server, cancel, folder, listener.into())
    }

    /// Serves on a TCP port of 127.0.0.1.
    pub(crate) fn start_tcp(server: Server, cancel: &Cancel) -> (Served, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let served = Served::listen(server, cancel, folder, listener.into());
        (served, address)
    }

    fn listen(server: Server, cancel: &Cancel, folder: TempDir, listener: Listener) -> Served {
        let server = Arc::new(server);
        let (its_own, its_cancel) = (Arc::clone(&server), cancel.clone());
        let thread = thread::spawn(move || its_own.run(listener, &its_cancel));
        Served {
            server,
            cancel: cancel.clone(),
            thread: Some(thread),
            folder,
        }
    }

    /// Serves one disk, which is in memory, as `drive-scsi0.img`.
    pub(crate) fn image(image: Image) -> Served {
        Served::image_with(image, |server| server)
    }

    /// The same with options.
    pub(crate) fn image_with(image: Image, options: impl FnOnce(Server) -> Server) -> Served {
        Served::script_with(Script::of(image, CHUNK), options)
    }

    /// Serves what a script tells.
    pub(crate) fn script(script: Script) -> Served {
        Served::script_with(script, |server| server)
    }

    pub(crate) fn script_with(script: Script, options: impl FnOnce(Server) -> Server) -> Served {
        let cancel = Cancel::new();
        let reader = reader_of(&script.archive().0, &cancel);
        Served::start(options(exporting(reader)), &cancel)
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The address of an export, as libnbd and QEMU take it.
    pub(crate) fn uri(&self, export: &str) -> String {
        format!("nbd+unix:///{export}?socket={}", self.path().display())
    }

    pub(crate) fn report(&self) -> ServerReport {
        self.server.report()
    }

    /// Waits until the report is as it should be.
    pub(crate) fn wait_for(&self, is_reached: impl Fn(ServerReport) -> bool) -> ServerReport {
        loop {
            let report = self.report();
            if is_reached(report) {
                return report;
            }
            thread::yield_now();
        }
    }

    pub(crate) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Ends the server, and gives what `run` returned.
    pub(crate) fn end(mut self) -> chunk_restore::Result<()> {
        self.cancel.cancel();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.cancel.cancel();
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(thread::panicking() || matches!(ended, Ok(Ok(()))));
        }
    }
}

pub(crate) fn reader_of(archive: &Archive, cancel: &Cancel) -> Reader {
    Restore::new().cancel(cancel).reader(archive).unwrap()
}

/// A server with one disk.
pub(crate) fn exporting(reader: Reader) -> Server {
    Server::new().export(DISK, reader).unwrap()
}
