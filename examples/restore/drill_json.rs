//! The report of a drill, for people and as JSON.

use serde_json::{Value, json};

use crate::damage;
use crate::drill::{Checked, Drill, Part, Told};
use crate::exit::Exit;
use crate::size::{Size, count};

/// A report file begins like this.
pub(crate) const BEGINS: &str = "{\n  \"format\": \"chunk-restore verify 1\",\n";

pub(crate) fn json(drill: &Drill) -> Value {
    let counts = drill.counts;
    let chances =
        (drill.chances()).map(|(bad, chance)| json!({ "bad_chunks": bad, "chance": chance }));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "began": drill.began.to_string(),
        "user": drill.user,
        "host": drill.host,
        "place": drill.place,
        "namespace": drill.namespace,
        "sample": drill.sample.map(|sample| json!({
            "number": sample.number(),
            "of": sample.of(),
        })),
        "max_age_days": drill.max_age_days,
        "result": result(drill),
        "exit_code": drill.exit as u8,
        "error": drill.failure.as_ref().map(|told| &told.facts),
        "chunks": {
            "all": counts.all(),
            "verified": counts.verified,
            "lost": counts.lost,
            "verified_before": counts.fresh,
            "not_chosen": counts.not_chosen,
            "not_reached": counts.open,
        },
        "share": drill.share(),
        "missed": chances.collect::<Vec<_>>(),
        "bytes_read": drill.bytes_read(),
        "seconds": drill.seconds,
        "mib_per_second": mib_per_second(drill),
        "snapshots": drill.snapshots.iter().map(snapshot).collect::<Vec<_>>(),
        "groups_without_snapshot": drill.unfinished,
    })
}

/// The report file.
pub(crate) fn file(drill: &Drill) -> String {
    let text = format!("{:#}\n", json(drill));
    match text.strip_prefix("{\n") {
        Some(rest) => format!("{BEGINS}{rest}"),
        None => text,
    }
}

pub(crate) fn result(drill: &Drill) -> &'static str {
    match drill.exit {
        Exit::Done => "ok",
        Exit::Integrity => "damaged",
        Exit::Interrupted => "interrupted",
        _ => "failed",
    }
}

pub(crate) fn mib_per_second(drill: &Drill) -> f64 {
    match drill.seconds > 0.0 {
        true => drill.bytes_read() as f64 / f64::from(1 << 20) / drill.seconds,
        false => 0.0,
    }
}

fn snapshot(checked: &Checked) -> Value {
    json!({
        "namespace": checked.namespace,
        "group": checked.group,
        "name": checked.name,
        "age_seconds": checked.age_seconds,
        "signature": checked.signature,
        "key": checked.key,
        "error": checked.failure.as_ref().map(|told| &told.facts),
        "archives": checked.archives.iter().map(part).collect::<Vec<_>>(),
    })
}

fn part(part: &Part) -> Value {
    let result = match &part.failure {
        None => "ok",
        Some(Told {
            exit: Exit::Integrity,
            ..
        }) => "damaged",
        Some(_) => "failed",
    };
    json!({
        "name": part.name,
        "result": result,
        "len": part.len,
        "skipped": part.skipped,
        "zeros": part.zeros,
        "chunks": part.chunks,
        "bytes_read": part.bytes_read,
        "seconds": part.seconds,
        "lost": part.lost,
        "damage": part.damage.iter().map(damage::json).collect::<Vec<_>>(),
        "error": part.failure.as_ref().map(|told| &told.facts),
    })
}

/// The last lines of a drill.
pub(crate) fn text(drill: &Drill) -> String {
    let counts = drill.counts;
    let right = drill
        .snapshots
        .iter()
        .filter(|checked| checked.is_right())
        .count();
    let snapshots = count(drill.snapshots.len() as u64, "snapshot");
    let all = count(counts.all(), "different chunk");
    let mut text = format!(
        "{right} of {snapshots} without a fault; of {all} {} verified",
        counts.verified
    );
    let others = [
        (counts.lost, "lost"),
        (counts.fresh, "verified by earlier runs"),
        (counts.not_chosen, "not in the sample"),
        (counts.open, "not reached"),
    ];
    for (number, what) in others.iter().filter(|(number, _)| *number > 0) {
        text += &format!(", {number} {what}");
    }
    let (read, seconds) = (Size::of(drill.bytes_read()), drill.seconds);
    let speed = mib_per_second(drill);
    text += &format!("\nread {read} in {seconds:.1} s ({speed:.1} MiB/s)");
    if let Some(share) = drill.share().filter(|share| *share < 1.0) {
        let chances: Vec<String> = (drill.chances())
            .map(|(bad, chance)| format!("{} for {bad}", percent(chance)))
            .collect();
        text += &format!(
            "\n{} of the chunks of these snapshots were looked at; the chance to have missed bad ones: {}",
            percent(share),
            chances.join(", "),
        );
    }
    text
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        percent if percent > 0.0 && percent < 0.1 => "less than 0.1 %".to_owned(),
        percent if percent < 100.0 && percent > 99.9 => "more than 99.9 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}
