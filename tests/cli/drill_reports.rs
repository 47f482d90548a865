//! The report files of `verify`.

use std::fs;

use quick_xml::Reader;
use quick_xml::events::Event;
use serde_json::Value;

use crate::drill::{ALL, drill};
use crate::home::{Home, chunk_file};

const FILES: &str = "--report-file r.json --junit-file r.xml --metrics-file r.prom";

/// The elements of well-formed XML, each with its attributes.
fn elements(text: &str) -> Vec<String> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut found = Vec::new();
    let mut depth = 0;
    loop {
        let element = match reader.read_event().unwrap() {
            Event::Start(element) => {
                depth += 1;
                element
            }
            Event::Empty(element) => element,
            Event::End(_) => {
                depth -= 1;
                continue;
            }
            Event::Eof => break,
            _ => continue,
        };
        let mut shown = element.name().as_ref().to_owned();
        for attribute in element.attributes() {
            let attribute = attribute.unwrap();
            let key = attribute.key.as_ref();
            let value = &attribute.value;
            shown += &format!(" {key}={}", quick_xml::escape::unescape(value).unwrap());
        }
        found.push(shown);
    }
    assert_eq!(depth, 0);
    found
}

#[test]
fn the_reports_say_the_same_of_damage_and_replace_older_ones() {
    let home = Home::new();
    let datastore = home.datastore();
    let chunk = chunk_file(&datastore, 0);
    let digest = chunk.file_name().unwrap().to_str().unwrap().to_owned();
    let blob = fs::read(&chunk).unwrap();
    let command = format!("{ALL} {FILES}");
    for is_damaged in [true, false] {
        match is_damaged {
            true => fs::remove_file(&chunk).unwrap(),
            false => fs::write(&chunk, &blob).unwrap(),
        }
        let run = drill(&home, &command).expect(if is_damaged { 7 } else { 0 });
        let error = "error: vm/200/2024-06-10T10:00:00Z: drive-scsi0.img is damaged: 2 chunks";
        assert_eq!(run.stderr.contains(error), is_damaged, "{}", run.stderr);
        let json = fs::read(home.path("r.json")).unwrap();
        let json: Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["format"], "chunk-restore verify 1");
        assert_eq!(json["result"], if is_damaged { "damaged" } else { "ok" });
        assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));

        let xml = fs::read_to_string(home.path("r.xml")).unwrap();
        let failures = elements(&xml)
            .iter()
            .filter(|name| name.starts_with("failure"))
            .count();
        assert_eq!(
            (failures > 0, xml.contains(&digest)),
            (is_damaged, is_damaged),
            "{xml}"
        );

        let metrics = fs::read_to_string(home.path("r.prom")).unwrap();
        let place = "{place=\"./datastore\",namespace=\"\"";
        let success = format!(
            "chunk_restore_verify_success{place}}} {}\n",
            u8::from(!is_damaged)
        );
        let lost = format!(
            "chunk_restore_verify_snapshot_lost_chunks{place},group=\"vm/200\"}} {}\n",
            u8::from(is_damaged) * 2
        );
        for line in [success, lost] {
            assert!(metrics.contains(&line), "{line} is not in {metrics}");
        }
    }
    assert_eq!(
        home.names_in(""),
        ["datastore", "r.json", "r.prom", "r.xml"]
    );
}

#[test]
fn a_report_for_ci_counts_the_failures_and_errors_that_it_lists() {
    let home = Home::new();
    let manifest = "vm/200/2024-06-10T10:00:00Z/index.json.blob";
    fs::write(home.datastore().join(manifest), "no blob").unwrap();
    for (arguments, code, failures, errors) in [
        ("verify vm/200", 7, 1, 0),
        ("verify --all", 7, 1, 10),
        ("verify vm/999", 5, 0, 1),
    ] {
        drill(&home, &format!("{arguments} --junit-file r.xml")).expect(code);
        let elements = elements(&fs::read_to_string(home.path("r.xml")).unwrap());
        let listed = |name: &str| {
            let of_name = elements.iter().filter(|element| element.starts_with(name));
            of_name.count()
        };
        assert_eq!(
            (listed("failure "), listed("error ")),
            (failures, errors),
            "{elements:?}"
        );
        let all = format!("failures={failures} errors={errors}");
        assert!(elements[0].contains(&all), "{elements:?}");
    }
}

#[test]
fn names_with_signs_of_xml_and_of_metrics_stay_names() {
    let home = Home::new();
    let name = "a\"b<c>&d\\e";
    fs::rename(home.datastore(), home.path(name)).unwrap();
    let place = format!("./{name}");
    home.run(&format!("verify vm/200 {FILES} --repository {place}"))
        .expect(0);
    let xml = fs::read_to_string(home.path("r.xml")).unwrap();
    let property = format!("property name=place value={place}");
    assert!(elements(&xml).contains(&property), "{xml}");
    let metrics = fs::read_to_string(home.path("r.prom")).unwrap();
    assert!(
        metrics.contains(r#"{place="./a\"b<c>&d\\e",namespace=""} 1"#),
        "{metrics}"
    );
}

#[test]
fn a_report_that_can_not_be_written_changes_nothing_about_the_verification() {
    let home = Home::new();
    let datastore = home.datastore();
    home.write("work/notes", "precious");
    let all_right =
        "verify vm/200 --metrics-file no/r.prom --junit-file notes --report-file r.json";
    let run = drill(&home, all_right).expect(8);
    assert!(
        run.text().contains("drive-scsi0.img verified: "),
        "{}",
        run.text()
    );
    run.says("cannot write the report no/r.prom")
        .says("notes is there, and is no such report");
    assert_eq!(fs::read(home.path("notes")).unwrap(), b"precious");
    let json = fs::read(home.path("r.json")).unwrap();
    assert_eq!(
        serde_json::from_slice::<Value>(&json).unwrap()["exit_code"],
        0
    );

    fs::remove_file(chunk_file(&datastore, 0)).unwrap();
    drill(&home, "verify vm/200 --metrics-file no/r.prom")
        .expect(7)
        .says("cannot write the report no/r.prom");
}

#[test]
fn a_drill_that_can_not_begin_writes_its_reports_too() {
    let home = Home::new();
    home.run(&format!("verify --all --repository ./nowhere {FILES}"))
        .expect(5);
    let metrics = fs::read_to_string(home.path("r.prom")).unwrap();
    assert!(
        metrics.contains("chunk_restore_verify_exit_code{place=\"./nowhere\",namespace=\"\"} 5\n")
    );
    let xml = fs::read_to_string(home.path("r.xml")).unwrap();
    assert!(
        elements(&xml).iter().any(|name| name.starts_with("error")),
        "{xml}"
    );
}
