//! The report files of a drill.

use crate::drill::Drill;
use crate::drill_arguments::Verify;
use crate::failure::Failure;
use crate::report_file::{cannot_write, write as write_file};
use crate::{drill_json, drill_junit, drill_metrics};

/// Writes the reports that were asked for. Each fails by itself.
pub(crate) fn write(drill: &Drill, verify: &Verify) -> Vec<Failure> {
    let json = verify.report_file.as_ref();
    let json = json.map(|path| write_file(path, &drill_json::file(drill), drill_json::BEGINS));
    let junit = verify.junit_file.as_ref().map(|path| {
        let xml = drill_junit::file(drill).map_err(|error| cannot_write(path, &error))?;
        write_file(path, &xml, drill_junit::BEGINS)
    });
    let metrics = verify.metrics_file.as_ref();
    let metrics =
        metrics.map(|path| write_file(path, &drill_metrics::file(drill), drill_metrics::BEGINS));
    let written = [json, junit, metrics].into_iter().flatten();
    written.filter_map(Result::err).collect()
}
