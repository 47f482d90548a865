//! Where the program is run: an empty folder, an empty environment. Knows nothing of what it should do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");

pub(crate) const GOLDEN_RAW: &str =
    "54e679a0c7461c60c837c4e5ffe0e13646fd23245b940604bbf24ae631222d72";
pub(crate) const TAIL_RAW: &str =
    "85f7bc65d185104b20f6439898656861943cffac22970bd626f00a0d52cdd6c2";
pub(crate) const GOLDEN_LEN: u64 = 25_178_169;

/// A home with an empty folder `work`, which the program is run in; `../golden` leads to the golden data.
pub(crate) struct Home(TempDir);

/// What became of one run of the program.
pub(crate) struct Run {
    code: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Home {
        let home = TempDir::new().unwrap();
        std::os::unix::fs::symlink(GOLDEN, home.path().join("golden")).unwrap();
        fs::create_dir(home.path().join("work")).unwrap();
        Home(home)
    }

    /// Something in `work`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join("work").join(name)
    }

    /// What lies in a folder of `work`, sorted.
    pub(crate) fn names_in(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    pub(crate) fn sha256_of(&self, name: &str) -> String {
        sha256(fs::read(self.path(name)).unwrap())
    }

    /// The program with these arguments, which are split at spaces.
    pub(crate) fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(program());
        self.settle(command.args(arguments.split_whitespace()));
        command
    }

    /// Gives a command the place and the environment of the program.
    pub(crate) fn settle(&self, command: &mut Command) {
        command.current_dir(self.path("")).env_clear();
        command.env("HOME", self.0.path());
        command.env("PBS_REPOSITORY", "../golden/datastore");
        command.stdin(Stdio::null());
    }

    pub(crate) fn run(&self, arguments: &str) -> Run {
        finish(&mut self.command(arguments))
    }

    pub(crate) fn run_with(&self, variable: &str, value: &str, arguments: &str) -> Run {
        finish(self.command(arguments).env(variable, value))
    }

    /// A file below the home, made with all its folders.
    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// A copy of the datastore to be damaged, `work/datastore`.
    pub(crate) fn datastore(&self) -> PathBuf {
        let copy = self.path("datastore");
        copy_folder(&Path::new(GOLDEN).join("datastore"), &copy);
        copy
    }
}

impl Run {
    /// Fails unless the program ended with this code.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Run {
        let (stdout, stderr) = (String::from_utf8_lossy(&self.stdout), &self.stderr);
        assert_eq!(self.code, Some(code), "stdout: {stdout}\nstderr: {stderr}");
        self
    }

    pub(crate) fn code(&self) -> Option<i32> {
        self.code
    }

    /// Fails unless standard error has this in it.
    #[track_caller]
    pub(crate) fn says(self, part: &str) -> Run {
        assert!(
            self.stderr.contains(part),
            "{part:?} is not in: {}",
            self.stderr
        );
        self
    }

    /// Standard output.
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }
}

pub(crate) fn golden(name: &str) -> Vec<u8> {
    fs::read(Path::new(GOLDEN).join(name)).unwrap()
}

pub(crate) fn sha256(bytes: impl AsRef<[u8]>) -> String {
    hex(&Sha256::digest(bytes))
}

/// JSON lines; fails where one is none.
#[track_caller]
pub(crate) fn events(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

/// The file of the chunk at a position of `drive-scsi0.img` of vm/200: digests follow an index's 4096 bytes of header.
pub(crate) fn chunk_file(datastore: &Path, position: usize) -> PathBuf {
    let index = datastore.join("vm/200/2024-06-10T10:00:00Z/drive-scsi0.img.fidx");
    let digest = hex(&fs::read(index).unwrap()[4096 + 32 * position..][..32]);
    datastore.join(".chunks").join(&digest[..4]).join(digest)
}

/// `cargo test` builds the examples, and puts them next to the folder that this test lies in.
fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    let program = profile.join("examples/restore");
    assert!(
        program.is_file(),
        "there is no {}: build it first, with cargo build --example restore",
        program.display()
    );
    program
}

pub(crate) fn finish(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code(),
        stdout: output.stdout,
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if from.is_dir() {
            copy_folder(&from, &to);
        } else {
            // Not fs::copy: the original may be read-only.
            fs::write(to, fs::read(from).unwrap()).unwrap();
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
