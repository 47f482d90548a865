//! The report of a drill as JUnit XML: a test suite for each snapshot, a test case for each of its
//! files.

use std::io;

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
    let all = Tally::of(
        drill.snapshots.iter().flat_map(cases),
        drill.failure.is_some(),
    );
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

/// A test case: its name, how long it took, and what is wrong.
type Case<'a> = (&'a str, f64, Option<&'a Told>, Option<&'a Part>);

fn cases(checked: &Checked) -> impl Iterator<Item = Case<'_>> {
    let open = ("manifest", 0.0, checked.failure.as_ref(), None);
    let parts = checked.archives.iter().map(|part| {
        let seconds = part.report.elapsed.as_secs_f64();
        (&*part.name, seconds, part.failure.as_ref(), Some(part))
    });
    std::iter::once(open).chain(parts)
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
    fn of<'a>(cases: impl Iterator<Item = Case<'a>>, has_ended_early: bool) -> Tally {
        let mut tally = Tally {
            tests: 1,
            errors: u64::from(has_ended_early),
            ..Tally::default()
        };
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
    let tally = Tally::of(std::iter::empty(), drill.failure.is_some());
    let mut facts = vec![
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("user".to_owned(), drill.user.clone()),
        ("place".to_owned(), drill.place.clone()),
        ("namespace".to_owned(), drill.namespace.clone()),
        ("result".to_owned(), result(drill).to_owned()),
        ("exit_code".to_owned(), (drill.exit as u8).to_string()),
        ("chunks".to_owned(), drill.counts.all().to_string()),
        (
            "chunks_verified".to_owned(),
            drill.counts.verified.to_string(),
        ),
        (
            "chunks_verified_before".to_owned(),
            drill.counts.fresh.to_string(),
        ),
        ("chunks_lost".to_owned(), drill.counts.lost.to_string()),
        ("share".to_owned(), drill.share().to_string()),
        ("bytes_read".to_owned(), drill.bytes_read().to_string()),
        (
            "mib_per_second".to_owned(),
            format!("{:.1}", mib_per_second(drill)),
        ),
    ];
    facts.extend(
        drill
            .sample
            .map(|sample| ("sample".to_owned(), sample.to_string())),
    );
    facts.extend(
        drill
            .max_age_days
            .map(|days| ("max_age_days".to_owned(), days.to_string())),
    );
    for (bad, chance) in drill.chances() {
        facts.push((
            format!("chance_to_miss_{bad}_bad_chunks"),
            chance.to_string(),
        ));
    }
    let run = ("run", drill.seconds, drill.failure.as_ref(), None);
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
    let mut tally = Tally::of(cases(checked), false);
    tally.tests -= 1;
    let name = checked.full_name();
    let mut facts = vec![("signature".to_owned(), checked.signature.to_owned())];
    facts.extend(checked.key.clone().map(|key| ("key".to_owned(), key)));
    facts.extend(
        checked
            .age_seconds
            .map(|age| ("age_seconds".to_owned(), age.to_string())),
    );
    xml.create_element("testsuite")
        .with_attribute(("name", &*clean(&name)))
        .with_attributes(tally.attributes(seconds).iter().map(pair))
        .write_inner_content(|xml| {
            write_properties(xml, &facts)?;
            cases(checked).try_for_each(|case| write_case(xml, &name, case))
        })?;
    Ok(())
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
