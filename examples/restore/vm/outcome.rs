//! What became of the disks and small files of a guest.

use chunk_restore::Snapshot;
use serde_json::json;

use crate::exit::Exit;
use crate::output::Output;
use crate::size::count;

/// The names of the archives, by what became of them. Of the small files only those that failed are
/// among them.
pub(super) struct Outcome {
    restored: Vec<String>,
    damaged: Vec<String>,
    failed: Vec<String>,
    pub(super) exit: Exit,
}

impl Outcome {
    pub(super) fn new() -> Outcome {
        Outcome {
            restored: Vec::new(),
            damaged: Vec::new(),
            failed: Vec::new(),
            exit: Exit::Done,
        }
    }

    pub(super) fn record(&mut self, archive: &str, exit: Exit) {
        let names = match exit {
            Exit::Done => &mut self.restored,
            Exit::Damaged => &mut self.damaged,
            _ => &mut self.failed,
        };
        names.push(archive.to_owned());
        self.exit = self.exit.worse(exit);
    }

    pub(super) fn tell(&self, snapshot: &Snapshot, output: &Output) {
        let name = snapshot.name().to_string();
        let there = self.restored.len() + self.damaged.len();
        let json = json!({
            "event": "guest",
            "snapshot": name,
            "restored": self.restored,
            "damaged": self.damaged,
            "failed": self.failed,
        });
        let mut text = format!("{name}: {} restored", count(there as u64, "disk"));
        if !self.damaged.is_empty() {
            text += &format!(", damaged: {}", self.damaged.join(", "));
        }
        match self.failed.is_empty() {
            true => output.report(text, &json),
            false => {
                text += &format!(", not restored: {}", self.failed.join(", "));
                output.warn(text, &json);
            }
        }
    }
}
