//! `restore serve`: serves disks over NBD until it is stopped.

mod commands;
mod filling;
mod listen;
mod socket;

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use chunk_restore::Archive;
use chunk_restore::nbd::{Server, Tls};
use serde_json::{Value, json};

use crate::arguments::Serve;
use crate::disks::{self, Disk, Reads};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::job;
use crate::options::Options;
use crate::output::Output;
use crate::place;
use crate::program;
use crate::read_failures::ReadFailures;
use crate::serve::filling::{Filling, Folder};
use crate::serve::listen::{Endpoint, Wish};
use crate::size::{Size, count};

/// Clients are told of this part of `--memory` as the longest read.
const BLOCKS_IN_MEMORY: u64 = 8;

/// The time between two lines of a log.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// The time between two events.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn run(
    serve: &Serve,
    options: &Options,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    let wish = Wish::of(serve)?;
    let tls = tls(serve)?;
    let snapshot = place::snapshot(options, &serve.snapshot, output)?;
    let restore = job::settings(options, interrupt);
    let folder = serve.fill.as_deref().map(|path| Folder {
        path,
        overwrites: options.overwrite,
    });
    let settings = |name: &str, archive: &Archive| match folder {
        Some(folder) => folder.settings(name, archive, &restore),
        None => Ok(restore.clone()),
    };
    let (disks, exit) = disks::open(&snapshot, &serve.archives, &settings, output)?;
    if disks.is_empty() {
        return match exit {
            Exit::Done => Err(
                Failure::usage(format!("{} holds no disks", snapshot.name())).advises(format!(
                    "name an archive, as `{} list` shows them",
                    program::name()
                )),
            ),
            exit => Ok(exit),
        };
    }
    let failures = ReadFailures::new(output);
    let server =
        server(&disks, tls, options)?.on_failure(move |export, error| failures.tell(export, error));
    // From here on, a signal ends the server in good order.
    let _running = interrupt.run()?;
    let (listener, endpoint) = wish.listen()?;
    endpoint.warn(serve.tls_client_ca.is_some(), output);
    let fillings = fill(&disks, folder, output)?;
    tell(&disks, &endpoint, serve, output);
    let progress = Progress {
        server: &server,
        disks: &disks,
        fillings: &fillings,
        output,
    };
    let served = progress.show_while(|| server.run(listener, interrupt.cancel()));
    progress.tell("served", &progress.served());
    let ends = fillings.into_iter().map(|filling| filling.end(output));
    let exit = ends.fold(exit, |exit, end| match exit {
        Exit::Done => end,
        exit => exit,
    });
    served?;
    Ok(exit)
}

/// Starts to fill the files of the disks.
fn fill(
    disks: &[Disk],
    folder: Option<Folder<'_>>,
    output: &Output,
) -> Result<Vec<Filling>, Failure> {
    let started = folder.into_iter().flat_map(|folder| {
        let disks = disks.iter();
        disks.filter_map(move |disk| folder.fill(disk, output).transpose())
    });
    started.collect()
}

fn tls(serve: &Serve) -> Result<Option<Tls>, Failure> {
    let (Some(certificate), Some(key)) = (&serve.tls_cert, &serve.tls_key) else {
        return Ok(None);
    };
    let client_ca = serve.tls_client_ca.as_deref();
    let tls = Tls::from_pem_files(certificate, key, client_ca);
    // Whatever is wrong with these files, the command line names them.
    tls.map(Some)
        .map_err(|error| Failure::from(error).with_exit(Exit::Usage))
}

fn server(disks: &[Disk], tls: Option<Tls>, options: &Options) -> Result<Server, Failure> {
    let mut server = Server::new();
    if let Some(memory) = options.memory {
        server = server.block_max(memory / BLOCKS_IN_MEMORY);
    }
    if let Some(tls) = tls {
        server = server.tls(tls);
    }
    for disk in disks {
        server = server.export(&disk.name, disk.reader.clone())?;
    }
    Ok(server)
}

/// Says where the exports are, and which commands read them.
fn tell(disks: &[Disk], endpoint: &Endpoint, serve: &Serve, output: &Output) {
    let has_tls = serve.tls_cert.is_some();
    for disk in disks {
        let (name, len) = (&disk.name, disk.reader.len());
        let uri = endpoint.uri(name, has_tls);
        let place = match &uri {
            Some(uri) => uri.as_str(),
            None => "on the socket that was handed over",
        };
        output.remark(
            format!("serving {name}, {}: {place}", Size::of(len)),
            &json!({ "event": "serving", "archive": name, "export": name, "len": len, "uri": uri }),
        );
    }
    if output.is_json() {
        return;
    }
    let uses = disks
        .first()
        .and_then(|disk| commands::examples(endpoint, &disk.name, has_tls));
    if let Some(uses) = uses {
        output.remark(uses, &Value::Null);
    }
}

/// Shows what is served.
struct Progress<'a> {
    server: &'a Server,
    disks: &'a [Disk],
    fillings: &'a [Filling],
    output: &'a Output,
}

/// What was served so far, and to how many clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Served {
    clients: u64,
    clients_total: u64,
    failures: u64,
    reads: Reads,
    /// How many bytes the files that are filled hold, and how many they will; `None` where none are.
    filled: Option<(u64, u64)>,
}

impl Progress<'_> {
    /// Shows what is served for as long as `work` goes on.
    fn show_while<T>(&self, work: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            // The sender is dropped when the work is done, also by a panic.
            let (_working, is_working) = mpsc::channel::<()>();
            let show = thread::Builder::new().name("progress".to_owned());
            // A server whose progress can't be shown serves all the same.
            let _ = show.spawn_scoped(scope, move || {
                let interval = match self.output.is_json() {
                    true => EVENT_INTERVAL,
                    false => LINE_INTERVAL,
                };
                let mut shown = Served::default();
                while is_working.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
                    for filling in self.fillings {
                        filling.tell_outcome(self.output);
                    }
                    let served = self.served();
                    if served != shown {
                        self.tell("progress", &served);
                        shown = served;
                    }
                }
            });
            work()
        })
    }

    fn served(&self) -> Served {
        let report = self.server.report();
        Served {
            clients: report.connections,
            clients_total: report.connections_total,
            failures: report.failures,
            reads: Reads::of(self.disks),
            filled: (self.fillings.iter())
                .map(Filling::progress)
                .reduce(|sum, file| (sum.0 + file.0, sum.1 + file.1)),
        }
    }

    fn tell(&self, event: &str, served: &Served) {
        let mut json = served.reads.json();
        json["event"] = event.into();
        json["clients"] = served.clients.into();
        json["clients_total"] = served.clients_total.into();
        json["failures"] = served.failures.into();
        let clients = match event {
            "served" => format!("served {}", count(served.clients_total, "client")),
            _ => count(served.clients, "client"),
        };
        let mut text = format!("{clients}, {}", served.reads);
        if served.failures > 0 {
            text += &format!(", {} failed", count(served.failures, "request"));
        }
        if let Some((filled, len)) = served.filled {
            text += &format!(", {} of {} filled", Size::of(filled), Size::of(len));
            (json["filled"], json["to_fill"]) = (filled.into(), len.into());
        }
        self.output.remark(text, &json);
    }
}
