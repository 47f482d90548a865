//! `restore verify`: fetches and checks snapshots, or chosen chunks of them, and writes nothing but
//! its reports and its record.

use std::cell::RefCell;
use std::time::Instant;

use chunk_restore::format::Namespace;
use chunk_restore::{Datastore, Digest, ErrorKind, Report, Snapshot};
use serde_json::json;

use crate::chosen::Chosen;
use crate::content::{self, Content};
use crate::drill::{Checked, Drill, Part, Told};
use crate::drill_arguments::{DAY_SECONDS, Verify};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::Interrupt;
use crate::job::Job;
use crate::options::Options;
use crate::output::Output;
use crate::record::Record;
use crate::repository::Repository;
use crate::verified_table::Table;
use crate::{drill_files, drill_json, keys, place};

/// Verification continues after damage, so that all damaged archives are named.
pub(crate) fn run(
    verify: &Verify,
    options: &Options,
    interrupt: &Interrupt,
    output: &Output,
) -> Result<Exit, Failure> {
    let repositories = Repository::find(options)?;
    let labels: Vec<String> = repositories.iter().map(Repository::label).collect();
    // A drill reports, too, that a storage can't be found.
    let found = place::namespace(options, &repositories);
    let namespace = found.as_ref().ok().cloned().unwrap_or_default();
    let mut drill = Drill::begin(labels.join(" + "), namespace.to_string());
    drill.sample = verify.sample;
    let days = drill.began.as_second().div_euclid(DAY_SECONDS);
    let chosen = Chosen {
        today: u16::try_from(days).unwrap_or_default(),
        max_age: verify.max_age,
        takes_all: !verify.is_drill(),
        verify,
        record: None,
        table: Table::default(),
    };
    drill.max_age_days = verify.new_only.as_ref().map(|_| verify.max_age);
    let mut run = Run {
        verify,
        options,
        interrupt,
        output,
        namespace,
        drill,
        chosen: RefCell::new(chosen),
        has_keys: false,
    };
    let begun = Instant::now();
    let opened = found.and_then(|_| run.open_record(&repositories));
    let ended = opened.and_then(|()| match verify.snapshot.as_deref() {
        Some(name) => run.snapshot(name),
        None => run.all(),
    });
    run.drill.seconds = begun.elapsed().as_secs_f64();
    match verify.is_drill() {
        true => run.finish(ended),
        false => ended,
    }
}

/// The name of the datastore in its record.
fn identity(repositories: &[Repository]) -> Result<String, Failure> {
    let names = repositories.iter().map(Repository::identity);
    let name = names.collect::<Result<Vec<String>, _>>()?.join(" + ");
    // A long list of places is known by its digest.
    Ok(match name.len() > usize::from(u16::MAX) {
        true => Digest::of(name.as_bytes()).to_string(),
        false => name,
    })
}

struct Run<'a> {
    verify: &'a Verify,
    options: &'a Options,
    interrupt: &'a Interrupt,
    output: &'a Output,
    namespace: Namespace,
    drill: Drill,
    chosen: RefCell<Chosen<'a>>,
    has_keys: bool,
}

impl Run<'_> {
    fn open_record(&mut self, repositories: &[Repository]) -> Result<(), Failure> {
        if let Some(path) = &self.verify.new_only {
            let (record, table) = Record::open(path, identity(repositories)?, self.output)?;
            let chosen = self.chosen.get_mut();
            (chosen.record, chosen.table) = (Some(record), table);
        }
        Ok(())
    }

    fn snapshot(&mut self, name: &str) -> Result<Exit, Failure> {
        let keys = keys::load(self.options)?;
        self.has_keys = keys.are_there();
        let snapshot = place::snapshot_with(self.options, keys, name, self.output)?;
        let mut checked = Checked::unopened(&self.namespace, name);
        let ended = self.archives(&snapshot, &mut checked);
        self.drill.snapshots.push(checked);
        ended
    }

    /// Verifies the last snapshots of all groups.
    fn all(&mut self) -> Result<Exit, Failure> {
        let keys = keys::load(self.options)?;
        self.has_keys = keys.are_there();
        let (datastore, groups) =
            place::listing_with(self.options, keys, self.output, |datastore| {
                groups_below(&self.namespace, datastore)
            })?;
        let mut exit = Exit::Done;
        for (namespace, group, is_finished) in groups {
            self.interrupt.check()?;
            let name = match namespace.is_root() {
                true => group.clone(),
                false => format!("{namespace}: {group}"),
            };
            if !is_finished {
                let text = format!("{name} has no finished snapshot: nothing of it is verified");
                let json = json!({ "event": "unfinished", "group": group, "namespace": namespace.to_string() });
                self.output.warn(text, &json);
                self.drill.unfinished.push(name);
                continue;
            }
            let mut checked = Checked::unopened(&namespace, &group);
            let ended = self.group(&datastore, &namespace, &mut checked);
            if let Err(failure) = &ended {
                let is_told = checked.archives.iter().any(|part| part.failure.is_some());
                checked.failure = Some(Told::of(failure)).filter(|_| !is_told);
            }
            self.drill.snapshots.push(checked);
            let ended = match ended {
                Err(failure) if may_go_on(&failure) => {
                    let failure = failure.about(&name);
                    self.output.fail(&failure);
                    failure.exit()
                }
                ended => ended?,
            };
            exit = exit.worse(ended);
        }
        Ok(exit)
    }

    fn group(
        &self,
        datastore: &Datastore,
        namespace: &Namespace,
        checked: &mut Checked,
    ) -> Result<Exit, Failure> {
        let datastore = datastore.in_namespace(namespace.clone());
        // Of the group, and not of the name that was listed: that snapshot may be pruned by now.
        let snapshot = place::snapshot_of(&datastore, &checked.group, self.options)?;
        let name = snapshot.name().to_string();
        let title = match namespace.is_root() {
            true => format!("{name}:"),
            false => format!("{namespace}: {name}:"),
        };
        let json =
            json!({ "event": "verifying", "snapshot": name, "namespace": namespace.to_string() });
        self.output.report(title, &json);
        self.archives(&snapshot, checked)
    }

    fn archives(&self, snapshot: &Snapshot, checked: &mut Checked) -> Result<Exit, Failure> {
        checked.open(snapshot, self.has_keys, self.drill.began);
        let names = content::select(snapshot, &self.verify.archives)?;
        let job = Job::new(self.options, self.interrupt, self.output);
        let mut exit = Exit::Done;
        for name in &names {
            self.interrupt.check()?;
            let mut report = Report::default();
            let verified = Content::open(snapshot, name).and_then(|content| {
                report = job.verify(
                    &content,
                    |digest| self.chosen.borrow_mut().choose(digest),
                    |digest| self.chosen.borrow_mut().record(digest),
                )?;
                match report.damage.is_empty() {
                    true => Ok(()),
                    false => Err(Failure::damaged(content.name(), &report.damage)),
                }
            });
            self.chosen.borrow_mut().lose(&report);
            checked.archives.push(Part {
                name: content::name_of(snapshot, name).to_owned(),
                report,
                failure: verified.as_ref().err().map(Told::of),
            });
            // Of several snapshots, an error must say which one it is about.
            let verified = verified.map_err(|failure| match self.verify.all {
                true => failure.about(checked.full_name()),
                false => failure,
            });
            match verified {
                Ok(()) => {}
                Err(failure)
                    if failure.exit() == Exit::Integrity
                        || self.verify.all && may_go_on(&failure) =>
                {
                    self.output.fail(&failure);
                    exit = exit.worse(failure.exit());
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(exit)
    }

    /// Writes the record and the reports. What can't be written is an error only where the drill
    /// itself found none.
    fn finish(mut self, ended: Result<Exit, Failure>) -> Result<Exit, Failure> {
        let saved = self.chosen.borrow_mut().save();
        self.drill.counts = self.chosen.borrow().table.counts();
        self.drill.exit = match &ended {
            Ok(exit) => *exit,
            Err(failure) => failure.exit(),
        };
        self.drill.failure = ended.as_ref().err().map(Told::of);
        if let Err(failure) = &saved {
            self.output.fail(failure);
            self.drill.exit = self.drill.exit.or(failure.exit());
        }
        for failure in drill_files::write(&self.drill, self.verify) {
            self.output.fail(&failure);
            self.drill.exit = self.drill.exit.or(failure.exit());
        }
        // Nothing is to be told of a drill that could not begin, except why.
        if ended.is_ok() || !self.drill.snapshots.is_empty() {
            let mut json = drill_json::json(&self.drill);
            json["event"] = "drill".into();
            self.output.report(drill_json::text(&self.drill), &json);
        }
        ended.map(|_| self.drill.exit)
    }
}

/// The groups of this namespace and of all below it, and whether each has a finished snapshot.
fn groups_below(
    namespace: &Namespace,
    datastore: &Datastore,
) -> chunk_restore::Result<Vec<(Namespace, String, bool)>> {
    let mut found = Vec::new();
    let mut open = vec![namespace.clone()];
    while let Some(namespace) = open.pop() {
        let datastore = datastore.in_namespace(namespace.clone());
        let groups = datastore.groups()?;
        found.extend((groups.iter()).map(|group| {
            (
                namespace.clone(),
                group.name.to_string(),
                group.last.is_some(),
            )
        }));
        let below = match datastore.namespaces() {
            Ok(below) => below,
            // Some kinds of places can't list namespaces.
            Err(error) if error.kind() == ErrorKind::Unsupported => Vec::new(),
            Err(error) => return Err(error),
        };
        open.extend(below.into_iter().rev());
    }
    Ok(found)
}

/// Whether other snapshots may be right after this failure of one.
fn may_go_on(failure: &Failure) -> bool {
    matches!(
        failure.exit(),
        Exit::Usage | Exit::NotFound | Exit::Key | Exit::Denied | Exit::Integrity
    )
}
