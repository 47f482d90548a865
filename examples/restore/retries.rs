//! Tells why chunks of a file archive are asked for again, so that somebody who waits knows what for.

use std::time::{Duration, Instant};

use chunk_restore::{Error, Restore};
use parking_lot::Mutex;
use serde_json::Value;

use crate::failure::Failure;
use crate::output::Output;
use crate::ticker::beside_bar;

/// People are told once in this time, since a lost connection causes many retries at once.
const INTERVAL: Duration = Duration::from_secs(1);

/// Has the reads of an archive tell of their retries.
pub(crate) fn telling(restore: Restore, name: &str, output: &Output) -> Restore {
    let (name, output) = (name.to_owned(), *output);
    let told: Mutex<Option<Instant>> = Mutex::default();
    restore.on_reader_retry(move |error| tell(error, &name, output, &told))
}

fn tell(error: &Error, name: &str, output: Output, told: &Mutex<Option<Instant>>) {
    let failure = Failure::from_library(error).about(name);
    if output.is_json() {
        let mut json = failure.facts();
        json["event"] = "retried".into();
        json["archive"] = name.into();
        output.remark("", &json);
        return;
    }
    let mut told = told.lock();
    if told.is_none_or(|told| told.elapsed() >= INTERVAL) {
        *told = Some(Instant::now());
        beside_bar(|| output.remark(failure.text("retrying"), &Value::Null));
    }
}
