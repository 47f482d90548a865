//! The files of an archive that are extracted: a file has its name only once it is whole, at any moment.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use testkit::pxar::{Content, Kind, Layout, Node, Tree, assert_same, describe_folder, encode};
use testkit::{InMemory, PbsOptions, PbsServer, Prng, SnapshotBuilder, sha256};

use crate::{CHUNK, Chance, kill, number, program};

const SNAPSHOT: &str = "host/files/2026-11-02T00:00:00Z";
const UNFINISHED: &str = ".chunk-restore-unfinished";
/// Names that files may have for a moment, before their own.
const TEMPORARY: &[u8] = b".chunk-restore-";

/// What there is on the server: one tree, in one archive or split.
struct Place {
    server: PbsServer,
    tree: Tree,
    /// The digest of each regular file, also of those that have several names.
    digests: BTreeMap<Vec<u8>, [u8; 32]>,
    /// How many chunks a whole extraction fetches, about.
    chunks: u64,
}

impl Place {
    fn new(is_split: bool) -> Place {
        let tree = tree();
        let layout = match is_split {
            true => Layout::split(),
            false => Layout::v1(),
        };
        let store = InMemory::new();
        let info = SnapshotBuilder::new(SNAPSHOT)
            .chunk_size(CHUNK)
            .files("root.pxar", &encode(&tree, &layout), 1)
            .write_to(&store);
        let mut digests = BTreeMap::new();
        for (path, node) in tree.entries() {
            let digest = match &node.kind {
                Kind::File(content) => content.sha256(),
                Kind::HardLink(target) => digests[target],
                _ => continue,
            };
            digests.insert(path, digest);
        }
        let chunks = info.archives.iter().map(|archive| archive.digests.len());
        Place {
            server: PbsOptions::new()
                .latency(Duration::from_millis(4))
                .start(Arc::new(store)),
            tree,
            digests,
            chunks: chunks.sum::<usize>() as u64,
        }
    }

    fn start(&self, target: &Path) -> Child {
        self.command(target).spawn().unwrap()
    }

    fn command(&self, target: &Path) -> Command {
        let mut command = Command::new(program());
        command
            .args(["files", "host/files", "root.pxar"])
            .arg(target)
            .args(["--quiet", "--threads", "4"])
            .env_clear()
            .env("PBS_REPOSITORY", self.server.repository("store1"))
            .env("PBS_FINGERPRINT", self.server.fingerprint())
            .env("PBS_PASSWORD", PbsServer::SECRET)
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Kills extractions into one folder until one is done, and says how many there were.
    fn restore(&self, chance: &mut Chance, most: u64) -> u64 {
        let folder = TempDir::new().unwrap();
        let target = folder.path().join("files");
        let mut kills = 0;
        while kills < most.min(5) {
            let asked = self.server.counts().chunk_requests;
            let (requests, jitter) = chance.moment(self.chunks);
            let child = self.start(&target);
            if !kill(child, &self.server, asked + requests, jitter, || false) {
                break;
            }
            kills += 1;
            self.looks_right(&target);
        }
        let mut last = self.command(&target);
        if target.exists() && !target.join(UNFINISHED).exists() {
            // It was done, but for the folder's own time. So it must be told that directories may be there.
            last.arg("--allow-existing-dirs");
        }
        let last = last.output().unwrap();
        let said = String::from_utf8_lossy(&last.stderr);
        assert!(last.status.success(), "{said}");
        assert!(!target.join(UNFINISHED).exists());
        assert_same(&describe_folder(&target), &self.tree.manifest());
        kills
    }

    /// What has its final name after a kill is whole.
    fn looks_right(&self, target: &Path) {
        let mut folders = vec![target.to_owned()];
        while let Some(folder) = folders.pop() {
            // Before it was made.
            let Ok(entries) = fs::read_dir(&folder) else {
                continue;
            };
            for entry in entries.map(Result::unwrap) {
                let kind = entry.file_type().unwrap();
                let is_temporary = entry.file_name().as_bytes().starts_with(TEMPORARY);
                if kind.is_dir() {
                    folders.push(entry.path());
                } else if kind.is_file() && !is_temporary {
                    let path = entry.path();
                    let name = path.strip_prefix(target).unwrap().as_os_str().as_bytes();
                    let found = sha256(&fs::read(&path).unwrap());
                    let is_whole = self.digests.get(name) == Some(&found);
                    assert!(is_whole, "{} has its name and is not whole", path.display());
                }
            }
        }
    }
}

/// Some hundreds of files of all sizes up to some chunks, with links, which this user can restore.
fn tree() -> Tree {
    let (uid, gid) = (rustix::process::getuid(), rustix::process::getgid());
    let own = |node: Node| node.owner(uid.as_raw(), gid.as_raw());
    let mut sizes = Chance(Prng::new(11));
    let mut tree = Tree::new();
    tree.meta.uid = uid.as_raw();
    tree.meta.gid = gid.as_raw();
    for folder in 0..20 {
        tree = tree.add(format!("d{folder:02}"), own(Node::directory()));
        for file in 0..20 {
            let len = match sizes.below(12) {
                0 => 0,
                1 => 200_000 + sizes.below(400_000),
                2..5 => sizes.below(60_000),
                _ => sizes.below(4_000),
            };
            let content = Content::random(folder * 100 + file, len);
            let time = 1_500_000_000 + (folder * 100 + file) as i64;
            let node = own(Node::file(content)).time(time, 123_456_789);
            tree = tree.add(format!("d{folder:02}/f{file:02}"), node);
        }
        let first = format!("d{folder:02}/f00");
        tree = tree.add(format!("d{folder:02}/g"), Node::hard_link(&first));
        tree = tree.add(format!("d{folder:02}/s"), own(Node::symlink("f01")));
    }
    tree
}

/// Kills extractions as often as `CHUNK_RESTORE_KILLS` says.
pub(crate) fn kill_often(is_split: bool, number_of_kind: u64) {
    let kills = number("CHUNK_RESTORE_KILLS", 20).div_ceil(4);
    let seed = number("CHUNK_RESTORE_SEED", 1);
    let place = Place::new(is_split);
    let mut chance = Chance(Prng::new(seed ^ (number_of_kind << 32)));
    let (mut done, mut restores) = (0, 0);
    while done < kills {
        done += place.restore(&mut chance, kills - done);
        restores += 1;
        assert!(
            restores < 20 + 10 * kills,
            "extractions end before they are killed"
        );
    }
    println!("{done} kills over {restores} extractions");
}
