//! Commands that run until they are told to end, and the tools that the tests use beside them.

use std::env;
use std::io::{self, BufRead, BufReader, Read, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::home::Home;
use crate::interrupt::{signal, with_default_signals};

/// A run of the program that says what it does in events, one JSON object a line.
pub(crate) struct Running {
    child: Child,
    said: BufReader<ChildStdout>,
}

/// What became of it: its exit code, the events that nobody had heard yet, and standard error.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) events: Vec<Value>,
}

impl Running {
    pub(crate) fn start(home: &Home, arguments: &str) -> Running {
        Running::of(with_default_signals(
            home,
            &format!("{arguments} --output-format json"),
        ))
    }

    pub(crate) fn of(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        Running { child, said }
    }

    /// Waits for an event of this sort, and passes over all others.
    #[track_caller]
    pub(crate) fn hear(&mut self, sort: &str) -> Value {
        let mut heard = Vec::new();
        loop {
            let mut line = String::new();
            if self.said.read_line(&mut line).unwrap() == 0 {
                panic!("it ended without the event {sort:?}: {heard:?}");
            }
            let event: Value = serde_json::from_str(&line).expect(&line);
            if event["event"] == sort {
                return event;
            }
            heard.push(event);
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal, and waits for its end.
    pub(crate) fn end(self, name: &str) -> Ended {
        signal(name, self.id());
        self.wait()
    }

    pub(crate) fn wait(mut self) -> Ended {
        let mut rest = String::new();
        self.said.read_to_string(&mut rest).unwrap();
        Ended {
            code: self.child.wait().unwrap().code(),
            events: crate::home::events(&rest),
        }
    }
}

impl Ended {
    /// The last event of this sort.
    #[track_caller]
    pub(crate) fn last(&self, sort: &str) -> &Value {
        let of_sort = |event: &&Value| event["event"] == sort;
        let found = self.events.iter().rev().find(of_sort);
        found.unwrap_or_else(|| panic!("no event {sort:?} in {:?}", self.events))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A test that failed leaves nothing running, and nothing mounted.
        if matches!(self.child.try_wait(), Ok(None)) {
            signal("TERM", self.child.id());
            let _ = self.child.wait();
        }
    }
}

/// Whether all of these programs are installed. If not, the test is skipped, and says so.
pub(crate) fn has(tools: &[&str]) -> bool {
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let is_there = |tool: &&&str| {
        let mut folders = env::split_paths(&path);
        folders.any(|folder| folder.join(tool).is_file())
    };
    match tools.iter().find(|tool| !is_there(tool)) {
        Some(tool) => skip(&format!("{tool} is not installed")),
        None => true,
    }
}

/// Says that a test is skipped, or fails where nothing may be skipped.
pub(crate) fn skip(why: &str) -> bool {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    assert!(
        env::var_os("CHUNK_RESTORE_REQUIRE").is_none(),
        "{test}: {why}"
    );
    // What `eprintln!` says is not shown of a test that passes.
    let message = format!("SKIPPED: {test}: {why}\n");
    io::stderr().write_all(message.as_bytes()).unwrap();
    false
}

/// Runs a command of a shell in the folder `work`, with the tools of this machine.
pub(crate) fn shell(home: &Home, line: &str) -> (bool, String) {
    let mut command = Command::new("sh");
    home.settle(command.args(["-c", line]));
    let path = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    let output = command.env("PATH", path).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&said).into_owned(),
    )
}

/// The same; fails unless the command succeeds.
#[track_caller]
pub(crate) fn sh(home: &Home, line: &str) -> String {
    let (is_done, said) = shell(home, line);
    assert!(is_done, "{line}: {said}");
    said
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether two files hold the same.
pub(crate) fn same(left: &Path, right: &Path) -> bool {
    std::fs::read(left).unwrap() == std::fs::read(right).unwrap()
}
