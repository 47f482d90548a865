//! Signals: the first stops a restore cleanly, and everything else at once, as the second does.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::Value;
use testkit::{Fault, Folder, PbsServer, SessionFault, When};

use crate::home::{GOLDEN_LEN, Home, events};

pub(crate) const NEVER: Duration = Duration::from_secs(120);

#[test]
fn an_interrupted_restore_stops_before_its_end() {
    let (code, said) = interrupted(|_, image| {
        let mut rest = Vec::new();
        image.read_to_end(&mut rest).unwrap();
        assert!((rest.len() as u64) < GOLDEN_LEN - 1);
    });
    assert_eq!((code, said.as_str()), (Some(130), "interrupted\n"));
}

#[test]
fn a_pipe_or_a_socket_that_nobody_empties_holds_up_no_interrupt() {
    for name in ["INT", "TERM", "HUP"] {
        for is_blocking in [true, false] {
            stops(name, is_blocking, std::io::pipe().unwrap());
            stops(name, is_blocking, UnixStream::pair().unwrap());
        }
    }
}

/// Fills what nobody reads at the other end, and fails unless the program ends then when it is told to.
fn stops<R: Into<OwnedFd>, W: Into<OwnedFd>>(
    name: &'static str,
    is_blocking: bool,
    (reader, writer): (R, W),
) {
    let (reader, writer): (OwnedFd, OwnedFd) = (reader.into(), writer.into());
    let flags = fcntl_getfl(&writer).unwrap();
    if !is_blocking {
        fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    }
    let watched = writer.try_clone().unwrap();
    let took = within(NEVER, move || {
        let home = Home::new();
        let mut child = with_default_signals(&home, "image vm/200 drive-scsi0.img -")
            .stdout(Stdio::from(writer))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It is full when there is no more room.
        while poll(
            &mut [PollFd::new(&watched, PollFlags::OUT)],
            Some(&Timespec::default()),
        ) != Ok(0)
        {
            thread::yield_now();
        }
        let begun = Instant::now();
        signal(name, child.id());
        assert_eq!(child.wait().unwrap().code(), Some(130));
        // Others who have it find it as it was.
        assert_eq!(
            fcntl_getfl(&watched).unwrap().contains(OFlags::NONBLOCK),
            !is_blocking
        );
        begun.elapsed()
    });
    assert!(took < Duration::from_secs(10), "{name}: {took:?}");
    drop(reader);
}

#[test]
fn the_second_interrupt_does_not_wait() {
    let (code, said) = interrupted(|id, _| signal("INT", id));
    assert_eq!((code, said.as_str()), (Some(130), ""));
}

#[test]
fn an_interrupted_file_stays_incomplete_under_another_name() {
    within(NEVER, || {
        let home = Home::new();
        // The last of it would take a minute.
        let mut child = spawn(
            &home,
            "image vm/200 drive-scsi0.img disk.raw --rate 1K --threads 1 --output-format json",
        );
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut hear = |what: &dyn Fn(&Value) -> bool| loop {
            let event = serde_json::from_str(&said.next().unwrap().unwrap()).unwrap();
            if what(&event) {
                return event;
            }
        };

        hear(&|event| event["committed"].as_u64() > Some(0));
        signal("INT", child.id());
        hear(&|event| event["event"] == "stopping");
        let error = hear(&|event| event["event"] == "error");
        assert_eq!(
            (error["kind"].as_str(), error["left"].as_str()),
            (Some("cancelled"), Some("disk.raw.partial"))
        );
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(home.names_in(""), ["disk.raw.partial"]);
    });
}

#[test]
fn what_nohup_ignores_stays_ignored() {
    within(NEVER, || {
        let home = Home::new();
        let restore = home.command("image vm/200 drive-scsi0.img - --quiet");
        let mut command = Command::new("sh");
        command.args(["-c", r#"trap "" HUP; exec "$@""#, "sh"]);
        command.arg(restore.get_program()).args(restore.get_args());
        home.settle(&mut command);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut image = child.stdout.take().unwrap();
        image.read_exact(&mut [0]).unwrap();
        signal("HUP", child.id());
        let mut rest = Vec::new();
        image.read_to_end(&mut rest).unwrap();
        assert_eq!(rest.len() as u64, GOLDEN_LEN - 1);
        assert_eq!(child.wait().unwrap().code(), Some(0));
    });
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for() {
    const SNAPSHOT: &str = "vm/200/2024-06-10T10:00:00Z";
    within(NEVER, || {
        let home = Home::new();
        home.write("work/yesterday.raw", "");
        let based = format!(
            "image {SNAPSHOT} drive-scsi0.img - --seed yesterday.raw --base vm/200 --quiet"
        );
        for (arguments, name) in [
            ("list", "INT"),
            ("list --groups", "TERM"),
            ("list vm/200", "HUP"),
            ("verify vm/200", "INT"),
            ("get vm/200 out", "TERM"),
            ("bench vm/200 drive-scsi0.img", "INT"),
            (&based, "INT"),
            (&based, "TERM"),
        ] {
            let server = golden_server();
            server.on_list(When::Always, Fault::Stall);
            let child = spawn_on(&home, &server, arguments);
            wait_until(|| server.counts().listings == 1);
            assert_ends_at_once(child, name, arguments);
        }
        let server = golden_server();
        server.on_session(When::Always, SessionFault::Stall);
        let child = spawn_on(&home, &server, "verify vm/200");
        wait_until(|| server.counts().listings == 1);
        assert_ends_at_once(child, "INT", "a session");
        assert_eq!(home.names_in(""), ["yesterday.raw"]);
    });
}

#[test]
fn between_two_archives_nothing_is_waited_for_either() {
    within(NEVER, || {
        let home = Home::new();
        let server = golden_server();
        server.on_file("drive-scsi1.img.fidx", When::Always, Fault::Stall);
        let child = spawn_on(&home, &server, "get vm/200 out --quiet");
        wait_until(|| home.path("out/drive-scsi0.img").exists());
        let begun = Instant::now();
        signal("INT", child.id());
        // Whether it heard that as the first one ended, or before the second one began.
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130));
        assert!(output.stderr.ends_with(b"interrupted\n"));
        assert!(begun.elapsed() < Duration::from_secs(5));
        assert_eq!(home.names_in("out"), ["drive-scsi0.img"]);
        let child = spawn_on(&home, &server, "verify vm/200 drive-scsi1.img");
        wait_until(|| server.counts().listings == 2);
        assert_ends_at_once(child, "TERM", "verify");
    });
}

#[test]
fn a_signal_before_anything_is_opened_is_told_too() {
    within(NEVER, || {
        let home = Home::new();
        let key = home.path("key");
        assert!(Command::new("mkfifo").arg(&key).status().unwrap().success());
        let verify = "verify vm/201 --keyfile key --output-format json";
        let mut child = spawn(&home, verify);
        // It can be opened once the program reads it.
        let writer = fs::OpenOptions::new().write(true).open(&key).unwrap();
        signal("TERM", child.id());
        assert_eq!(child.wait().unwrap().code(), Some(130));
        drop(writer);
        let mut said = String::new();
        child
            .stdout
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        let told = events(&said);
        assert_eq!(
            (told.len(), &told[0]["kind"]),
            (1, &"cancelled".into()),
            "{said}"
        );
    });
}

#[test]
fn what_a_script_runs_beside_itself_hears_what_it_does_not_ignore() {
    within(NEVER, || {
        let home = Home::new();
        let server = golden_server();
        server.on_list(When::Always, Fault::Stall);
        let list = on_server(home.command("list"), &server);
        let mut command = Command::new("sh");
        command.args(["-c", r#"trap "" INT; exec "$@""#, "sh"]);
        command.arg(list.get_program()).args(list.get_args());
        home.settle(&mut command);
        let mut command = on_server(command, &server);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        wait_until(|| server.counts().listings == 1);
        signal("INT", child.id());
        assert_ends_at_once(child, "TERM", "with INT ignored");
    });
}

pub(crate) fn golden_server() -> PbsServer {
    let datastore = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/datastore");
    PbsServer::start(Arc::new(Folder::new(datastore)))
}

pub(crate) fn on_server(mut command: Command, server: &PbsServer) -> Command {
    command
        .env("PBS_REPOSITORY", server.repository("store1"))
        .env("PBS_PASSWORD", PbsServer::SECRET)
        .env("PBS_FINGERPRINT", server.fingerprint());
    command
}

pub(crate) fn spawn_on(home: &Home, server: &PbsServer, arguments: &str) -> Child {
    on_server(with_default_signals(home, arguments), server)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn wait_until(is_so: impl Fn() -> bool) {
    while !is_so() {
        thread::sleep(Duration::from_millis(5));
    }
}

pub(crate) fn assert_ends_at_once(child: Child, name: &str, of: &str) {
    let begun = Instant::now();
    signal(name, child.id());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), said.as_str()),
        (Some(130), "interrupted\n"),
        "{of}"
    );
    assert!(begun.elapsed() < Duration::from_secs(5), "{of}");
}

/// Begins a restore into a pipe that nobody empties, so that it can't be done before it is interrupted. Returns the
/// exit code, and what was said after the interrupt was heard.
fn interrupted(then: impl FnOnce(u32, &mut dyn Read) + Send + 'static) -> (Option<i32>, String) {
    within(NEVER, || {
        let home = Home::new();
        let mut child = spawn(&home, "image vm/200 drive-scsi0.img -");
        let mut image = child.stdout.take().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap());

        image.read_exact(&mut [0]).unwrap();
        signal("INT", child.id());
        let mut heard = String::new();
        said.read_line(&mut heard).unwrap();
        assert!(heard.starts_with("stopping; "), "{heard}");
        then(child.id(), &mut image);
        let code = child.wait().unwrap().code();
        let mut rest = String::new();
        said.read_to_string(&mut rest).unwrap();
        (code, rest)
    })
}

/// The program, with signals as a terminal has them: whoever runs the tests may have them ignored, as `nohup` and a
/// script's `&` do.
fn spawn(home: &Home, arguments: &str) -> Child {
    with_default_signals(home, arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

pub(crate) fn with_default_signals(home: &Home, arguments: &str) -> Command {
    let restore = home.command(arguments);
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,TERM,HUP");
    command.arg(restore.get_program()).args(restore.get_args());
    home.settle(&mut command);
    command
}

pub(crate) fn signal(name: &str, id: u32) {
    let kill = format!("kill -{name} {id}");
    assert!(
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .unwrap()
            .success()
    );
}

/// Fails instead of hanging.
pub(crate) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    let (sender, receiver) = mpsc::channel();
    let worker = thread::spawn(move || drop(sender.send(work())));
    match receiver.recv_timeout(limit) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("not done within {limit:?}"),
        Err(mpsc::RecvTimeoutError::Disconnected) => {
            let panic = worker
                .join()
                .expect_err("work that returns sends its result");
            std::panic::resume_unwind(panic)
        }
    }
}
