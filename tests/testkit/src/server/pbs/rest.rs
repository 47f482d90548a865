//! The HTTP/1.1 side of a PBS: login, lists, and the way into a reader session. Knows nothing of what happens in one.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use http::header::{ACCEPT_ENCODING, CONNECTION, UPGRADE};
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::catalog::{self, Catalog, utc_time};
use super::login::{authenticate, json_answer, login, refuse};
use super::session::{self, Session};
use super::tally::Tally;
use super::{Pbs, raw};
use crate::server::fault::SessionFault;
use crate::server::http1::{PlayBody, respond};
use crate::server::play::{Play, Step};
use crate::server::source::read;
use crate::server::url::percent_decoded;
use crate::server::wire::{Control, Stream};

const PROTOCOL: &str = "proxmox-backup-reader-protocol-v1";

/// Serves a connection until it ends, the session that it may become included.
pub(crate) async fn serve(pbs: Arc<Pbs>, stream: Stream, control: Arc<Control>) {
    let (upgrades, mut upgraded) = tokio::sync::mpsc::unbounded_channel();
    let answer = service_fn(|request| answer(&pbs, request, &control, &upgrades));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
    // An error is a client that went, or a fault.
    drop(connection.with_upgrades().await);
    let Ok((upgrade, next)) = upgraded.try_recv() else {
        return;
    };
    let Ok(upgraded) = upgrade.await else { return };
    let parts = upgraded.downcast::<TokioIo<Stream>>();
    let parts = parts.expect("the connection was made from such a stream");
    let (stream, start) = (parts.io.into_inner(), parts.read_buf);
    match next {
        Next::Session(session) => session::run(pbs, session, stream, start).await,
        Next::Raw(steps) => {
            Tally::add(&pbs.tally.sessions, 1);
            raw::run(&steps, stream, start).await;
        }
    }
}

/// What a connection becomes.
enum Next {
    Session(Session),
    Raw(Vec<raw::Raw>),
}

type Upgrades = tokio::sync::mpsc::UnboundedSender<(hyper::upgrade::OnUpgrade, Next)>;

async fn answer(
    pbs: &Arc<Pbs>,
    request: Request<Incoming>,
    control: &Arc<Control>,
    upgrades: &Upgrades,
) -> io::Result<Response<PlayBody>> {
    let path = request.uri().path().to_owned();
    let wants_deflate = wants_deflate(request.headers());
    let mut play = match (request.method(), path.strip_prefix("/api2/json/")) {
        (&Method::POST, Some("access/ticket")) => {
            let body = Limited::new(request.into_body(), 64 << 10).collect().await;
            let body = body.map_err(io::Error::other)?.to_bytes();
            login(pbs, &body).await.with(pbs.logins.next(&()), "ticket")
        }
        (&Method::GET, Some("reader")) => reader(pbs, request, upgrades).await,
        (&Method::GET, Some(path)) if path.starts_with("admin/datastore/") => {
            list(pbs, path, &request).await
        }
        _ => Play::text(404, format!("Path '{path}' not found.")),
    };
    if wants_deflate && play.status == 200 {
        play = deflated(play);
    }
    respond(play, control).await
}

/// Whether PBS would compress the answer to such a request.
pub(crate) fn wants_deflate(headers: &HeaderMap) -> bool {
    let value = headers
        .get(ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok());
    value.is_some_and(|value| value.contains("deflate"))
}

/// The answer, compressed; one that comes in pieces stays as it is.
pub(crate) fn deflated(play: Play) -> Play {
    if play.body.len() != 1 {
        return play;
    }
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    let body = encoder
        .write_all(&play.body_bytes())
        .and_then(|()| encoder.finish());
    let body = body.expect("a vector takes everything");
    let mut deflated = Play::ok(Bytes::from(body)).header("content-encoding", "deflate");
    deflated.headers.extend(play.headers);
    deflated
}

/// The parameters of a query, or what PBS says of one that is not allowed or missing.
pub(crate) fn parameters(
    query: Option<&str>,
    required: &[&str],
    optional: &[&str],
) -> Result<BTreeMap<String, String>, String> {
    let failed = |name: &str, why: &str| format!("parameter verification failed - '{name}': {why}");
    let mut parameters = BTreeMap::new();
    for pair in query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !required.contains(&name) && !optional.contains(&name) {
            return Err(failed(name, "schema does not allow additional properties"));
        }
        // In a query a `+` is a space.
        let value = percent_decoded(&value.replace('+', " "));
        if parameters.insert(name.to_owned(), value).is_some() {
            return Err(failed(name, "duplicate parameter"));
        }
    }
    let missing = required
        .iter()
        .find(|name| !parameters.contains_key(**name));
    match missing {
        Some(name) => Err(failed(name, "parameter is missing and it is not optional.")),
        None => Ok(parameters),
    }
}

async fn list(pbs: &Arc<Pbs>, path: &str, request: &Request<Incoming>) -> Play {
    let mut parts = path.split('/').skip(2);
    let (store, what) = (parts.next().unwrap_or_default(), parts.next());
    let account = match authenticate(pbs, request.headers()) {
        Ok(account) => account,
        Err(text) => return refuse(pbs, &text).await,
    };
    let optional: &[&str] = match what {
        Some("snapshots") => &["ns", "backup-type", "backup-id"],
        Some("groups") => &["ns"],
        Some("namespace") => &["parent", "max-depth"],
        _ => return Play::text(404, format!("Path '/api2/json/{path}' not found.")),
    };
    let parameters = match parameters(request.uri().query(), &[], optional) {
        Ok(parameters) => parameters,
        Err(text) => return Play::text(400, text),
    };
    if let Some(text) = no_access(pbs, &percent_decoded(store), account.may_read) {
        return Play::text(400, text);
    }
    let what = what.unwrap_or_default().to_owned();
    let only_in = account.only_in.clone();
    let get = move |name: &str| parameters.get(name).cloned();
    let namespace = get("ns").or_else(|| get("parent")).unwrap_or_default();
    if what != "namespace" && !account.may_read_in(&namespace) {
        return Play::text(403, "permission check failed");
    }
    let wanted = namespace.clone();
    let data = read(&pbs.source, move |source| {
        let catalog = Catalog::read(source);
        let (kind, id) = (get("backup-type"), get("backup-id"));
        match what.as_str() {
            "groups" => catalog.list_groups(&wanted),
            "namespace" if !catalog.has_namespace(&wanted) => None,
            "namespace" => Some(catalog.list_namespaces(&only_in.unwrap_or(wanted))),
            _ => catalog.list_snapshots(source, &wanted, kind.as_deref(), id.as_deref()),
        }
    });
    let Some(data) = data.await else {
        return Play::text(400, format!("namespace '{namespace}' does not exist"));
    };
    Tally::add(&pbs.tally.listings, 1);
    let mut play = json_answer(data).with(pbs.lists.next(&()), "list");
    if pbs.options.lists_in_pieces && play.status == 200 {
        play = play.in_pieces(7);
    }
    play
}

fn no_access(pbs: &Pbs, store: &str, may_read: bool) -> Option<String> {
    if store != pbs.options.store {
        return Some(format!("no such datastore '{store}'"));
    }
    (!may_read).then(|| format!("no permissions on /datastore/{store}"))
}

async fn reader(pbs: &Arc<Pbs>, mut request: Request<Incoming>, upgrades: &Upgrades) -> Play {
    let account = match authenticate(pbs, request.headers()) {
        Ok(account) => account,
        Err(text) => return refuse(pbs, &text).await,
    };
    let required = ["store", "backup-type", "backup-id", "backup-time"];
    let parameters = parameters(request.uri().query(), &required, &["ns", "debug"]);
    let parameters = match parameters {
        Ok(parameters) => parameters,
        Err(text) => return Play::text(400, text),
    };
    let (kind, id) = (&parameters["backup-type"], &parameters["backup-id"]);
    let time: Result<i64, _> = parameters["backup-time"].parse();
    let (Ok(time), "vm" | "ct" | "host") = (time, kind.as_str()) else {
        let text = "parameter verification failed - 'backup-time': Expected integer value.";
        return Play::text(400, text);
    };
    let header = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if header(UPGRADE) != Some(PROTOCOL) {
        return Play::text(400, "invalid protocol name");
    }
    if !header(CONNECTION).is_some_and(|value| value.eq_ignore_ascii_case("upgrade")) {
        return Play::text(400, "expected Connection header 'upgrade'");
    }
    let namespace = parameters.get("ns").cloned().unwrap_or_default();
    let may_read = account.may_read_in(&namespace);
    if let Some(text) = no_access(pbs, &parameters["store"], may_read) {
        return Play::text(400, text);
    }
    let time = utc_time(time);
    let path = catalog::path(&namespace, kind, id, &time);
    let name = format!("{kind}/{id}/{time}");
    let (wanted_kind, wanted_id) = (kind.clone(), id.clone());
    let exists = read(&pbs.source, move |source| {
        Catalog::read(source).has_snapshot(&namespace, &wanted_kind, &wanted_id, &time)
    });
    if !exists.await {
        return Play::text(400, format!("snapshot {name} does not exist."));
    }
    let mut session = Session::new(path);
    let mut protocol = PROTOCOL;
    let next = match pbs.sessions.next(&()) {
        None => Next::Session(session),
        Some(SessionFault::Locked) => {
            let text =
                format!("unable to acquire lock on snapshot directory \"/mnt/datastore/{name}\"");
            return Play::text(400, text);
        }
        Some(SessionFault::Refused { status, text }) => return Play::text(status, text),
        Some(SessionFault::NotUpgraded) => return Play::text(200, "{\"data\":null}"),
        Some(SessionFault::Stall) => {
            let mut play = Play::text(500, "");
            play.before.push(Step::Stall);
            return play;
        }
        Some(SessionFault::OtherProtocol) => {
            protocol = "proxmox-backup-protocol-v1";
            Next::Session(session)
        }
        Some(SessionFault::Garbage) => Next::Raw(vec![raw::Raw::Send(vec![0xa5; 512])]),
        Some(SessionFault::CutAfterChunks(chunks)) => {
            session.chunks_before_cut = Some(chunks);
            Next::Session(session)
        }
        Some(SessionFault::OtherIndex(bytes)) => {
            session.other_index = Some(Bytes::from(bytes));
            Next::Session(session)
        }
        Some(SessionFault::Raw(steps)) => Next::Raw(steps),
    };
    let upgrade = hyper::upgrade::on(&mut request);
    // The connection that receives it waits for this answer.
    drop(upgrades.send((upgrade, next)));
    let mut play = Play::text(101, "").header("upgrade", protocol);
    play.content_length = None;
    play.body.clear();
    play.header("connection", "upgrade")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_parameters_are_refused() {
        let parse = |query| parameters(Some(query), &["a"], &["b"]);
        assert_eq!(parse("a=x%2Fy&b=").unwrap()["a"], "x/y");
        for query in ["", "b=1", "a=1&c=2", "a=1&a=2"] {
            let text = parse(query).unwrap_err();
            assert!(
                text.starts_with("parameter verification failed - "),
                "{text}"
            );
        }
    }
}
