//! `Failure`: why the program fails, as text for people and as JSON for programs.

use std::error::Error as _;
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use chunk_restore::backend::FetchError;
use chunk_restore::{Damage, Error, ErrorKind, Scope};
use rustix::io::Errno;
use serde_json::{Value, json};

use crate::damage;
use crate::exit::Exit;
use crate::shown::shown;

/// Why the program fails, and what it leaves behind.
#[derive(Debug)]
pub(crate) struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    exit: Exit,
    kind: &'static str,
    scope: Option<Scope>,
    message: String,
    causes: Vec<String>,
    digest: Option<String>,
    position: Option<usize>,
    offset: Option<u64>,
    advice: Option<String>,
    left: Option<PathBuf>,
}

impl Failure {
    /// A mistake in the command line that its parser can't find.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, "usage", message.into())
    }

    /// Somebody interrupted the program.
    pub(crate) fn interrupted() -> Failure {
        let kind = name_of(ErrorKind::Cancelled);
        Failure::new(Exit::Interrupted, kind, "interrupted".into())
    }

    /// A file can't be made or written; `message` names it.
    pub(crate) fn target(message: impl Into<String>, cause: &io::Error) -> Failure {
        Failure::new(Exit::Target, name_of(ErrorKind::Target), message.into()).because(cause)
    }

    /// The target can't be used as it is.
    pub(crate) fn refused(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Target, name_of(ErrorKind::Target), message.into())
    }

    /// A file exists already, and differs from what would be restored.
    pub(crate) fn differs(path: &Path) -> Failure {
        let path = path.display();
        Failure::refused(format!(
            "{path} exists already, and holds something else: --overwrite replaces it"
        ))
    }

    /// A file that the command line names can't be read.
    pub(crate) fn unreadable(message: impl Into<String>, cause: &io::Error) -> Failure {
        Failure::usage(message).because(cause)
    }

    /// A passphrase could not be asked for.
    pub(crate) fn key(message: impl Into<String>, cause: &io::Error) -> Failure {
        Failure::new(Exit::Key, name_of(ErrorKind::Key), message.into()).because(cause)
    }

    /// Signing in could not be tried, or the trust in the server could not be checked.
    pub(crate) fn denied(message: impl Into<String>, cause: &io::Error) -> Failure {
        Failure::new(Exit::Denied, name_of(ErrorKind::Denied), message.into()).because(cause)
    }

    /// This machine lacks something, such as threads.
    pub(crate) fn resources(message: impl Into<String>, cause: &io::Error) -> Failure {
        let kind = name_of(ErrorKind::Resources);
        let mut failure = Failure::new(Exit::Failed, kind, message.into()).because(cause);
        failure.0.scope = Some(Scope::Ours);
        failure
    }

    /// The fingerprints of trusted servers can't be read.
    pub(crate) fn fingerprints(message: impl Into<String>, cause: &io::Error) -> Failure {
        match Errno::from_io_error(cause).and_then(help_with_files) {
            Some(_) => Failure::resources(message, cause),
            None => Failure::denied(message, cause),
        }
    }

    /// Chunks of an archive are lost.
    pub(crate) fn damaged(name: &str, damage: &[Damage]) -> Failure {
        let kind = name_of(ErrorKind::Corrupt);
        let message = format!("{name} is damaged: {}", damage::summary(damage));
        Failure::new(Exit::Integrity, kind, message)
    }

    /// Output of the program itself can't be written, which is not what it restores.
    pub(crate) fn output(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Failed, "output", message.into())
    }

    fn new(exit: Exit, kind: &'static str, message: String) -> Failure {
        Failure(Box::new(Inner {
            exit,
            kind,
            scope: None,
            message,
            causes: Vec::new(),
            digest: None,
            position: None,
            offset: None,
            advice: None,
            left: None,
        }))
    }

    pub(crate) fn because(mut self, cause: &io::Error) -> Failure {
        self.0.causes.push(cause.to_string());
        let help = Errno::from_io_error(cause).and_then(help_with_files);
        self.0.advice = self.0.advice.or_else(|| help.map(str::to_owned));
        self
    }

    /// Puts the name of a thing before the message, where the message alone does not name it.
    pub(crate) fn about(mut self, thing: impl Display) -> Failure {
        self.0.message = format!("{thing}: {}", self.0.message);
        self
    }

    /// Adds what the cause means here, and what to do about it.
    pub(crate) fn means(mut self, text: impl Into<String>) -> Failure {
        self.0.causes.insert(0, text.into());
        self
    }

    /// Adds what to do.
    pub(crate) fn advises(mut self, text: impl Into<String>) -> Failure {
        self.0.advice = Some(text.into());
        self
    }

    /// The same failure with another exit code.
    pub(crate) fn with_exit(mut self, exit: Exit) -> Failure {
        self.0.exit = exit;
        self
    }

    /// Adds the path of a file that is left incomplete.
    pub(crate) fn leaves(mut self, path: &Path) -> Failure {
        self.0.left = Some(path.to_owned());
        self
    }

    /// The path of the file that is left incomplete.
    pub(crate) fn left(&self) -> Option<&Path> {
        self.0.left.as_deref()
    }

    pub(crate) fn exit(&self) -> Exit {
        self.0.exit
    }

    /// The message: what failed, without the reasons.
    pub(crate) fn message(&self) -> &str {
        &self.0.message
    }

    /// What failed and why, on one line.
    pub(crate) fn reason(&self) -> String {
        let causes = self.0.causes.iter();
        causes.fold(self.0.message.clone(), |reason, cause| {
            format!("{reason}: {cause}")
        })
    }

    /// A text for people: what failed, why, and what is left incomplete. `word` stands at its
    /// beginning and says what follows from the failure, such as `error`.
    pub(crate) fn text(&self, word: &str) -> String {
        let left = self.0.left.as_ref().map(|path| shown(path.display()));
        if self.0.exit == Exit::Interrupted {
            return match left {
                Some(path) => {
                    format!("interrupted; {path} is incomplete: the same command goes on with it")
                }
                None => "interrupted".to_owned(),
            };
        }
        let mut text = format!("{word}: {}", shown(&self.0.message));
        for cause in &self.0.causes {
            text += &format!("\n  because: {}", shown(cause));
        }
        if let Some(advice) = &self.0.advice {
            text += &format!("\n  {}", shown(advice));
        }
        if let Some(path) = left {
            text += &format!("\n  {path} is incomplete: the same command goes on with it");
        }
        text
    }

    /// JSON for programs, with the same facts as the text.
    pub(crate) fn json(&self) -> Value {
        let mut json = self.facts();
        json["event"] = "error".into();
        json["exit_code"] = (self.0.exit as u8).into();
        json["advice"] = json!(self.0.advice);
        json["left"] = json!(self.0.left.as_ref().map(|path| path.to_string_lossy()));
        json
    }

    /// What failed and why, as JSON, without what follows from it.
    pub(crate) fn facts(&self) -> Value {
        json!({
            "kind": self.0.kind,
            "scope": self.0.scope.map(scope_name),
            "message": self.0.message,
            "causes": self.0.causes,
            "digest": self.0.digest,
            "position": self.0.position,
            "offset": self.0.offset,
        })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::from_library(&error)
    }
}

impl Failure {
    pub(crate) fn from_library(error: &Error) -> Failure {
        let mut failure = Failure::new(Exit::of(error), name_of(error.kind()), error.to_string());
        failure.0.scope = error.scope();
        let mut cause = error.source();
        while let Some(error) = cause {
            cause = error.source();
            // A `FetchError` with a cause adds nothing: the kind of the failure and the cause say
            // the same.
            if cause.is_none() || !error.is::<FetchError>() {
                failure.0.causes.push(error.to_string());
            }
        }
        failure.0.digest = error.digest().map(|digest| digest.to_string());
        failure.0.position = error.position();
        failure.0.offset = error.offset();
        failure.0.advice = advice(error).map(str::to_owned);
        failure
    }
}

/// Advice where this machine lacks something.
fn advice(error: &Error) -> Option<&'static str> {
    let mut cause = error.source();
    let mut errno = None;
    while let Some(error) = cause {
        let io = error.downcast_ref::<io::Error>();
        errno = errno.or_else(|| io.and_then(Errno::from_io_error));
        cause = error.source();
    }
    // A target can fail, too, because too many files are open.
    if let Some(help) = errno.and_then(help_with_files) {
        return Some(help);
    }
    if error.kind() != ErrorKind::Resources && error.scope() != Some(Scope::Ours) {
        return None;
    }
    Some(match errno {
        Some(Errno::AGAIN) => "allow more threads, as with `ulimit -u`, or take fewer --threads",
        Some(Errno::NOMEM | Errno::NOBUFS) => {
            "free memory, or take fewer --threads and less --memory"
        }
        _ => "take fewer --threads and less --memory",
    })
}

/// Advice where too many files are open.
fn help_with_files(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::MFILE => {
            Some("allow more open files, as with `ulimit -n 4096`, or take fewer --threads")
        }
        Errno::NFILE => {
            Some("the whole system has too many open files: close some, or take fewer --threads")
        }
        _ => None,
    }
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Chunk => "chunk",
        Scope::Place => "place",
        Scope::Ours => "ours",
        _ => "other",
    }
}

/// The name of an error kind in the JSON for programs.
pub(crate) fn name_of(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Invalid => "invalid",
        ErrorKind::Unsupported => "unsupported",
        ErrorKind::NotFound => "not_found",
        ErrorKind::Denied => "denied",
        ErrorKind::Key => "key",
        ErrorKind::Corrupt => "corrupt",
        ErrorKind::Missing => "missing",
        ErrorKind::Unreadable => "unreadable",
        ErrorKind::Unavailable => "unavailable",
        ErrorKind::Target => "target",
        ErrorKind::Cancelled => "cancelled",
        ErrorKind::Resources => "resources",
        _ => "other",
    }
}
