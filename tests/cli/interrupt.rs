//! Signals: the first stops a restore cleanly, the second at once.

use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use serde_json::Value;

use crate::home::{GOLDEN_LEN, Home};

const NEVER: Duration = Duration::from_secs(120);

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
        let mut child = command(&home, "image vm/200 drive-scsi0.img -")
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
    command(home, arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn command(home: &Home, arguments: &str) -> Command {
    let restore = home.command(arguments);
    let mut command = Command::new("env");
    command.arg("--default-signal=INT,TERM,HUP");
    command.arg(restore.get_program()).args(restore.get_args());
    home.settle(&mut command);
    command
}

fn signal(name: &str, id: u32) {
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
fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
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
