//! `restore verify`: fetches and checks snapshots, or chosen chunks of them, and writes nothing but
//! its reports and its record.

use std::cell::RefCell;
use std::time::Instant;

use chunk_restore::format::Namespace;
use chunk_restore::{Datastore, Digest, ErrorKind, Event, GroupInfo, OpenOptions, Snapshot};
use serde_json::json;

use crate::chosen::Chosen;
use crate::content::{self, Content};
use crate::drill::{Checked, Drill, Part, Told};
use crate::drill_arguments::{DAY_SECONDS, Verify};
use crate::due::Due;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::interrupt::{Interrupt, Running};
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
        due: Due {
            today: u16::try_from(days).unwrap_or_default(),
            max_age: verify.max_age,
        },
        takes_all: !verify.is_drill(),
        sample: verify.sample,
        record: None,
        table: Table::default(),
    };
    drill.max_age_days = verify.new_only.as_ref().map(|_| verify.max_age);
    let mut run = Run {
        verify,
        options,
        interrupt,
        output,
        labels,
        namespace,
        drill,
        chosen: RefCell::new(chosen),
        has_keys: false,
        running: None,
    };
    let begun = Instant::now();
    let opened = found.and_then(|_| run.open_record(&repositories));
    let ended = opened.and_then(|()| match verify.snapshot.as_deref() {
        Some(name) => run.snapshot(name),
        None => run.all(),
    });
    run.drill.seconds = begun.elapsed().as_secs_f64();
    run.drill.failure = ended.as_ref().err().map(Told::of);
    // Damage is told before whatever ended the run early.
    let ended = ended.map_err(|failure| match failure.exit() {
        Exit::Interrupted => failure,
        _ if run.drill.is_damaged() => failure.with_exit(Exit::Integrity),
        _ => failure,
    });
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
    /// The names of the places, without passwords.
    labels: Vec<String>,
    namespace: Namespace,
    drill: Drill,
    chosen: RefCell<Chosen>,
    has_keys: bool,
    /// Holds signals off.
    running: Option<Running<'a>>,
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

    /// What the datastore is opened with: the keys, and the cancel of its own requests.
    fn opening(&mut self) -> Result<OpenOptions, Failure> {
        let keys = keys::load(self.options)?;
        self.has_keys = keys.are_there();
        Ok(place::with_keys(self.options, keys).cancel(self.interrupt.cancel()))
    }

    /// From here on, a signal cancels the drill and does not end the program: there are a record and
    /// reports to write.
    fn hold_signals(&mut self) -> Result<(), Failure> {
        if self.verify.is_drill() {
            self.running = Some(self.interrupt.run()?);
        }
        Ok(())
    }

    fn snapshot(&mut self, name: &str) -> Result<Exit, Failure> {
        let opening = self.opening()?;
        let snapshot = place::snapshot_with(self.options, opening, name, self.output)?;
        self.hold_signals()?;
        let mut checked = Checked::unopened(&self.namespace, name);
        checked.open(&snapshot, self.has_keys, self.drill.began);
        let ended = self.archives(&snapshot, &mut checked);
        self.drill.snapshots.push(checked);
        ended
    }

    /// Verifies the last snapshots of all groups.
    fn all(&mut self) -> Result<Exit, Failure> {
        let opening = self.opening()?;
        let (datastore, found) = place::listing(self.options, opening, self.output, |datastore| {
            groups_below(&self.namespace, datastore)
        })?;
        self.hold_signals()?;
        let mut exit = Exit::Done;
        for (namespace, groups) in found {
            let datastore = datastore.in_namespace(namespace.clone());
            place::tell_passed_over(&datastore, None, self.output);
            exit = exit.worse(self.groups(&datastore, &namespace, &groups)?);
        }
        match self.drill.snapshots.is_empty() {
            true => Err(self.nothing()),
            false => Ok(exit),
        }
    }

    /// Verifies the last snapshots of these groups.
    fn groups(
        &mut self,
        datastore: &Datastore,
        namespace: &Namespace,
        groups: &[GroupInfo],
    ) -> Result<Exit, Failure> {
        let mut exit = Exit::Done;
        for group in groups {
            self.interrupt.check()?;
            let mut checked = Checked::unopened(namespace, &group.name.to_string());
            let name = checked.full_name();
            if group.last.is_none() {
                let text = format!("{name} has no finished snapshot: nothing of it is verified");
                let json = json!({ "event": "unfinished", "group": checked.group, "namespace": checked.namespace });
                self.output.warn(text, &json);
                self.drill.unfinished.push(name);
                continue;
            }
            let ended = self.group(datastore, &mut checked);
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

    /// A drill that verified nothing has not proved anything.
    fn nothing(&self) -> Failure {
        let within = match self.namespace.is_root() {
            true => String::new(),
            false => format!(" in namespace {}", self.namespace),
        };
        let message = format!("no group with a finished snapshot{within}: nothing was verified");
        Failure::usage(message).with_exit(Exit::NotFound).advises(
            "`list --groups` shows the groups that the user may see; --ns names another namespace",
        )
    }

    fn group(&self, datastore: &Datastore, checked: &mut Checked) -> Result<Exit, Failure> {
        // Of the group, and not of the name that was listed: that snapshot may be pruned by now.
        let (name, labels) = (&checked.group, &self.labels);
        let snapshot = place::snapshot_of(datastore, name, self.options, labels, self.output)?;
        checked.open(&snapshot, self.has_keys, self.drill.began);
        let title = format!("{}:", checked.full_name());
        let json = json!({ "event": "verifying", "snapshot": checked.name, "namespace": checked.namespace });
        self.output.report(title, &json);
        self.archives(&snapshot, checked)
    }

    fn archives(&self, snapshot: &Snapshot, checked: &mut Checked) -> Result<Exit, Failure> {
        let names = content::select(snapshot, &self.verify.archives)?;
        let job = Job::new(self.options, self.interrupt, self.output);
        let mut exit = Exit::Done;
        for name in &names {
            self.interrupt.check()?;
            let mut part = Part::named(content::name_of(snapshot, name));
            let verified = self.archive(&job, snapshot, name, &mut part);
            part.failure = verified.as_ref().err().map(Told::of);
            checked.archives.push(part);
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

    /// Verifies an archive or small file, and keeps in `part` what is found, also if the verification
    /// ends early.
    fn archive(
        &self,
        job: &Job<'_>,
        snapshot: &Snapshot,
        name: &str,
        part: &mut Part,
    ) -> Result<(), Failure> {
        let content = Content::open(snapshot, name)?;
        let choose = |digest: &Digest| self.chosen.borrow_mut().choose(digest);
        let report = job.verify(&content, choose, |event| {
            part.observe(event);
            match event {
                Event::Fetched(digest) => self.chosen.borrow_mut().record(digest),
                Event::Lost(damage) => self.chosen.borrow_mut().lose(&damage.digest),
                _ => {}
            }
        })?;
        part.take(&report);
        match report.damage.is_empty() {
            true => Ok(()),
            false => Err(Failure::damaged(content.name(), &report.damage)),
        }
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
        drop(self.running);
        ended.map(|_| self.drill.exit)
    }
}

/// The groups of this namespace and of all below it.
fn groups_below(
    namespace: &Namespace,
    datastore: &Datastore,
) -> chunk_restore::Result<Vec<(Namespace, Vec<GroupInfo>)>> {
    let mut found = Vec::new();
    let mut open = vec![namespace.clone()];
    while let Some(namespace) = open.pop() {
        let datastore = datastore.in_namespace(namespace.clone());
        found.push((namespace, datastore.groups()?));
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
