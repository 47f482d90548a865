//! The report of a drill as JUnit XML: a test suite for each snapshot, a test case for each of its
//! files.

use std::{io, iter};

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use crate::drill::{Checked, Drill, Part, Told};
use crate::drill_json::{mib_per_second, result};
use crate::exit::Exit;
use crate::shown::shown_lines;

/// A report begins like this.
pub(crate) const BEGINS: &str =
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites name=\"chunk-restore verify\"";

pub(crate) fn file(drill: &Drill) -> io::Result<String> {
    let mut xml = Xml::new_with_indent(Vec::new(), b' ', 2);
    xml.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let run = iter::once(run_case(drill));
    let all = Tally::of(run.chain(drill.snapshots.iter().flat_map(cases)));
    xml.create_element("testsuites")
        .with_attribute(("name", "chunk-restore verify"))
        .with_attributes(all.attributes(drill.seconds).iter().map(pair))
        .write_inner_content(|xml| {
            write_run(xml, drill)?;
            drill
                .snapshots
                .iter()
                .try_for_each(|checked| write_suite(xml, checked))
        })?;
    let text = String::from_utf8(xml.into_inner()).map_err(io::Error::other)?;
    Ok(text + "\n")
}

type Xml = Writer<Vec<u8>>;

/// A test case: its name, how long it took, what is wrong, and the archive or small file.
type Case<'a> = (&'a str, f64, Option<&'a Told>, Option<&'a Part>);

fn cases(checked: &Checked) -> impl Iterator<Item = Case<'_>> {
    let open = ("manifest", 0.0, checked.failure.as_ref(), None);
    let parts = checked
        .archives
        .iter()
        .map(|part| (&*part.name, part.seconds, part.failure.as_ref(), Some(part)));
    iter::once(open).chain(parts)
}

/// The test case of the run as a whole.
fn run_case(drill: &Drill) -> Case<'_> {
    ("run", drill.seconds, drill.failure.as_ref(), None)
}

/// How many test cases there are, and how many of them are not all right.
#[derive(Default)]
struct Tally {
    tests: u64,
    failures: u64,
    errors: u64,
}

impl Tally {
    /// Damage is a failure, as JUnit calls it; whatever kept a file from being verified is an error.
    fn of<'a>(cases: impl Iterator<Item = Case<'a>>) -> Tally {
        let mut tally = Tally::default();
        for (_, _, told, _) in cases {
            tally.tests += 1;
            match told.map(|told| told.exit) {
                None => {}
                Some(Exit::Integrity) => tally.failures += 1,
                Some(_) => tally.errors += 1,
            }
        }
        tally
    }

    fn attributes(&self, seconds: f64) -> [(&'static str, String); 4] {
        [
            ("tests", self.tests.to_string()),
            ("failures", self.failures.to_string()),
            ("errors", self.errors.to_string()),
            ("time", format!("{seconds:.3}")),
        ]
    }
}

/// The suite for the run as a whole, with the facts that hold for all snapshots.
fn write_run(xml: &mut Xml, drill: &Drill) -> io::Result<()> {
    let run = run_case(drill);
    let tally = Tally::of(iter::once(run));
    let counts = drill.counts;
    let mut facts = vec![
        fact("version", env!("CARGO_PKG_VERSION")),
        fact("user", &drill.user),
        fact("place", &drill.place),
        fact("namespace", &drill.namespace),
        fact("result", result(drill)),
        fact("exit_code", drill.exit as u8),
        fact("chunks", counts.all()),
        fact("chunks_verified", counts.verified),
        fact("chunks_verified_before", counts.fresh),
        fact("chunks_lost", counts.lost),
        fact("bytes_read", drill.bytes_read()),
        fact(
            "mib_per_second",
            format_args!("{:.1}", mib_per_second(drill)),
        ),
    ];
    facts.extend(drill.share().map(|share| fact("share", share)));
    facts.extend(drill.sample.map(|sample| fact("sample", sample)));
    facts.extend(drill.max_age_days.map(|days| fact("max_age_days", days)));
    facts.extend(
        (drill.chances())
            .map(|(bad, chance)| fact(&format!("chance_to_miss_{bad}_bad_chunks"), chance)),
    );
    xml.create_element("testsuite")
        .with_attribute(("name", "drill"))
        .with_attributes(tally.attributes(drill.seconds).iter().map(pair))
        .with_attribute(("timestamp", &*drill.began.strftime("%FT%T").to_string()))
        .with_attribute(("hostname", &*clean(&drill.host)))
        .write_inner_content(|xml| {
            write_properties(xml, &facts)?;
            write_case(xml, "drill", run)
        })?;
    Ok(())
}

fn write_suite(xml: &mut Xml, checked: &Checked) -> io::Result<()> {
    let seconds = cases(checked).map(|(_, seconds, ..)| seconds).sum();
    let tally = Tally::of(cases(checked));
    let name = checked.full_name();
    let mut facts = vec![fact("signature", checked.signature)];
    facts.extend(checked.key.as_ref().map(|key| fact("key", key)));
    facts.extend(checked.age_seconds.map(|age| fact("age_seconds", age)));
    xml.create_element("testsuite")
        .with_attribute(("name", &*clean(&name)))
        .with_attributes(tally.attributes(seconds).iter().map(pair))
        .write_inner_content(|xml| {
            write_properties(xml, &facts)?;
            cases(checked).try_for_each(|case| write_case(xml, &name, case))
        })?;
    Ok(())
}

/// The name and the value of a property.
fn fact(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

fn write_properties(xml: &mut Xml, facts: &[(String, String)]) -> io::Result<()> {
    xml.create_element("properties")
        .write_inner_content(|xml| {
            for (name, value) in facts {
                let value = clean(value);
                let property = [("name", &**name), ("value", &*value)];
                xml.create_element("property")
                    .with_attributes(property)
                    .write_empty()?;
            }
            Ok(())
        })?;
    Ok(())
}

fn write_case(xml: &mut Xml, suite: &str, case: Case<'_>) -> io::Result<()> {
    let (name, seconds, told, part) = case;
    let (suite, name, time) = (clean(suite), clean(name), format!("{seconds:.3}"));
    let attributes = [("classname", &*suite), ("name", &*name), ("time", &*time)];
    let element = xml.create_element("testcase").with_attributes(attributes);
    let Some(told) = told else {
        element.write_empty()?;
        return Ok(());
    };
    let sort = match told.exit {
        Exit::Integrity => "failure",
        _ => "error",
    };
    let message = clean(&told.text);
    let lines = part.map(Part::damage_lines).unwrap_or_default();
    element.write_inner_content(|xml| {
        xml.create_element(sort)
            .with_attribute(("message", &*message))
            .write_text_content(BytesText::new(&clean(&lines)))?;
        Ok(())
    })?;
    Ok(())
}

fn pair<'a>((name, value): &'a (&'static str, String)) -> (&'a str, &'a str) {
    (name, value)
}

/// Text without the characters that XML can't hold. The writer escapes those with a meaning in XML.
fn clean(text: &str) -> String {
    shown_lines(text).replace(['\u{fffe}', '\u{ffff}'], "\u{fffd}")
}
