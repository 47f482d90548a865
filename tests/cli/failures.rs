//! Exit codes and what is said with them, where something is wrong.

use std::fs;
use std::io;
use std::process::{Command, Stdio};

use crate::home::{GOLDEN_RAW, Home, Run, chunk_file, events, finish};
use crate::targets::with_faults;

#[test]
fn what_makes_no_sense_ends_with_2() {
    let home = Home::new();
    home.run("").expect(2).says("Usage:");
    home.run("image vm/200").expect(2).says("<ARCHIVE>");
    home.run("get vm/200").expect(2).says("<DIR>");
    home.run("get vm/200 drive-scsi0.img")
        .expect(2)
        .says("the last argument is the folder");
    for size in ["", "M", "12X", "-1", "99999999999999999999", "99999999999G"] {
        home.run(&format!("list --memory={size}"))
            .expect(2)
            .says("--memory");
    }
    home.run("verify vm").expect(2).says("vm");
    home.run("list --ns a//b").expect(2).says("a//b");
    finish(home.command("list").env_remove("PBS_REPOSITORY"))
        .expect(2)
        .says("--repository");
}

#[test]
fn a_plain_name_is_no_folder() {
    let home = Home::new();
    home.datastore();
    home.run("list --repository datastore")
        .expect(4)
        .says("dir:datastore");
    home.run("list --repository dir:datastore").expect(0);
}

#[test]
fn what_is_not_there_ends_with_5_and_the_message_says_what_is() {
    let home = Home::new();
    home.run("list --repository dir:nothing")
        .expect(5)
        .says("  because: ");
    home.run("list --ns other").expect(5).says("team");
    home.run("verify vm/999").expect(5).says("vm/200");
    home.run("verify vm/200/2024-01-01T00:00:00Z")
        .expect(5)
        .says("2024-06-10T10:00:00Z");
    home.run("image vm/200 drive-scsi9.img x")
        .expect(5)
        .says("drive-scsi0.img");
    // Before anything is done, since the first may take hours.
    let run = home
        .run("verify vm/200 drive-scsi0.img other.img")
        .expect(5)
        .says("other.img");
    assert_eq!(run.text(), "");
    home.run("get vm/200 drive-scsi0.img other.img out")
        .expect(5);
    assert!(home.names_in("").is_empty());
}

#[test]
fn damage_ends_with_7_and_leaves_nothing_that_looks_complete() {
    let home = Home::new();
    let chunk = chunk_file(&home.datastore(), 5);
    let mut blob = fs::read(&chunk).unwrap();
    *blob.last_mut().unwrap() ^= 1;
    fs::write(&chunk, blob).unwrap();
    // By one thread, what lies before the damage is written before it is met.
    let image = "image vm/200 drive-scsi0.img disk.raw --repository dir:datastore --threads 1";
    let run = home
        .run(image)
        .expect(7)
        .says("error: drive-scsi0.img: ")
        .says("corrupt");
    run.says("\n  because: ")
        .says("\n  disk.raw.partial is incomplete: the same command goes on with it\n");
    assert_eq!(home.names_in(""), ["datastore", "disk.raw.partial"]);

    let told = events(
        &home
            .run(&format!("{image} --output-format json"))
            .expect(7)
            .text(),
    );
    let retried = told
        .iter()
        .find(|event| event["event"] == "retried")
        .unwrap();
    assert_eq!(retried["position"], 5);

    fs::remove_file(&chunk).unwrap();
    let run = home.run(&format!("{image} --output-format json")).expect(7);
    assert_eq!(run.stderr, "");
    let told = events(&run.text());
    let error = told.last().unwrap();
    assert_eq!(error["exit_code"], 7);
    assert_eq!(error["event"], "error");
    assert_eq!(error["kind"], "missing");
    assert_eq!(error["position"], 5);
    assert_eq!(error["offset"], 5 * (4 << 20));
    assert_eq!(
        error["digest"].as_str(),
        chunk.file_name().unwrap().to_str()
    );
    assert_eq!(error["left"], "disk.raw.partial");
    assert!(error["causes"].is_array());
}

#[test]
fn verify_tells_every_damaged_archive() {
    let home = Home::new();
    let datastore = home.datastore();
    fs::remove_file(chunk_file(&datastore, 0)).unwrap();
    home.write(
        "work/datastore/vm/200/2024-06-10T10:00:00Z/qemu-server.conf.blob",
        "no blob",
    );
    let run = home.run("verify vm/200 --repository ./datastore").expect(7);
    let run = run
        .says("drive-scsi0.img: lost: 4194304 bytes at offset 0 (position 0): chunk ")
        .says(" is missing\n")
        .says("error: drive-scsi0.img is damaged: 2 chunks are lost: 2 missing\n")
        .says("qemu-server.conf");
    assert!(
        run.text().contains("drive-efidisk0.img verified: "),
        "{}",
        run.text()
    );
}

#[test]
fn targets_that_fail_end_with_8() {
    let home = Home::new();
    home.write("work/disk.raw", "precious");
    let image = "image vm/200 drive-scsi0.img";
    home.run(&format!("{image} disk.raw"))
        .expect(8)
        .says("disk.raw exists already");
    assert_eq!(fs::read(home.path("disk.raw")).unwrap(), b"precious");
    home.run(&format!("{image} no/disk.raw"))
        .expect(8)
        .says("no/disk.raw");
    home.run("get vm/200 no/out")
        .expect(8)
        .says("cannot make the folder no/out");
    home.run("get vm/200 disk.raw")
        .expect(8)
        .says("cannot restore into disk.raw");
    home.run(&format!("{image} --overwrite disk.raw")).expect(0);
    assert_eq!(home.sha256_of("disk.raw"), GOLDEN_RAW);
}

#[test]
fn half_an_image_in_a_pipe_is_no_success() {
    let home = Home::new();
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    let mut command = home.command("image vm/200 drive-scsi0.img -");
    let child = command
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(8));
}

#[test]
#[cfg(target_os = "linux")]
fn what_can_not_be_said_is_no_success() {
    let home = Home::new();
    for arguments in [
        "list",
        "list --groups",
        "list vm/200",
        "list --output-format json",
        "verify vm/200",
        "verify vm/200 --output-format json",
        "get vm/200 out",
        "--help",
        "--version",
    ] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full");
        let mut command = home.command(arguments);
        let child = command.stdout(full.unwrap()).stderr(Stdio::piped()).spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments}: {said}");
        assert!(
            said.contains("cannot write to standard output"),
            "{arguments}: {said}"
        );
        closed(&home, arguments)
            .expect(1)
            .says("standard output is closed");
    }
    // What was restored is there all the same.
    assert_eq!(home.sha256_of("out/drive-scsi0.img"), GOLDEN_RAW);
    assert_eq!(home.names_in("out").len(), 5);

    closed(&home, "image vm/200 drive-scsi0.img -")
        .expect(8)
        .says("standard output is closed");
    closed(&home, "get vm/200 quiet --quiet").expect(0);
}

/// Runs the program without a standard output.
fn closed(home: &Home, arguments: &str) -> Run {
    let restore = home.command(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", r#"exec "$@" >&-"#, "sh"]);
    command.arg(restore.get_program()).args(restore.get_args());
    home.settle(&mut command);
    finish(&mut command)
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    let home = Home::new();
    for arguments in [
        "list",
        "verify vm/200",
        "list --output-format json",
        "--help",
    ] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut command = home.command(arguments);
        let child = command
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), said.as_str()),
            (Some(0), ""),
            "{arguments}"
        );
    }
}

#[test]
fn a_program_reads_every_failure_as_json() {
    let home = Home::new();
    for (arguments, code, kind) in [
        ("list --bogus --output-format json", 2, "usage"),
        ("--output-format=json image vm/200", 2, "usage"),
        ("list --memory=1X --output-format json", 2, "usage"),
        ("--output-format json", 2, "usage"),
        ("lst --output-format json", 2, "usage"),
        ("list --ns a//b --output-format json", 2, "invalid"),
        (
            "list --repository dir:nowhere --output-format json",
            5,
            "not_found",
        ),
        (
            "verify vm/201 --keyfile no.key --output-format json",
            6,
            "key",
        ),
        ("verify vm/201 --output-format json", 6, "key"),
        ("get vm/200 no/out --output-format json", 8, "target"),
    ] {
        let run = home.run(arguments).expect(code);
        assert_eq!(run.stderr, "", "{arguments}");
        let told = events(&run.text());
        let error = told.last().unwrap();
        assert_eq!(
            (&error["event"], &error["kind"]),
            (&"error".into(), &kind.into()),
            "{arguments}"
        );
        assert_eq!(error["exit_code"], code, "{arguments}");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty())
        );
        assert!(
            error["causes"].is_array() && error.get("scope").is_some(),
            "{error}"
        );
    }
    // What fills standard output has its errors beside it.
    let run = home.run("image vm/200 - --output-format json").expect(2);
    assert_eq!((run.text().as_str(), events(&run.stderr).len()), ("", 1));
}

#[test]
#[cfg(target_os = "linux")]
fn a_machine_that_lacks_descriptors_is_no_damage() {
    let home = Home::new();
    let restore = home.command("verify vm/200 --output-format json");
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n 5; exec "$@""#, "sh"]);
    command.arg(restore.get_program()).args(restore.get_args());
    home.settle(&mut command);
    let run = finish(&mut command).expect(1);
    let error = events(&run.text()).pop().unwrap();
    assert_eq!(
        (&error["kind"], &error["scope"]),
        (&"resources".into(), &"ours".into()),
        "{error}"
    );
    assert!(
        error["advice"]
            .as_str()
            .is_some_and(|advice| advice.contains("ulimit -n")),
        "{error}"
    );
}

#[test]
#[cfg(target_os = "linux")]
fn fewer_threads_than_wanted_are_enough() {
    let home = Home::new();
    let verify = "verify vm/200 drive-scsi0.img --threads 8";
    // There are a thread for signals, and one that fetches.
    with_faults(&home, "threads=2", verify).expect(0);
    with_faults(&home, "threads=1", verify)
        .expect(1)
        .says("cannot start the thread");
}

#[test]
fn what_is_not_known_yet_is_asked_for_by_name() {
    let home = Home::new();
    home.run_with(
        "PBS_ENCRYPTION_PASSWORD",
        "",
        "verify vm/204 --keyfile ../golden/keys/pbkdf2.key",
    )
    .expect(2)
    .says("PBS_ENCRYPTION_PASSWORD is empty");
    home.write("work/empty", "\nsecond\n");
    home.run_with(
        "PBS_ENCRYPTION_PASSWORD_FILE",
        "empty",
        "verify vm/204 --keyfile ../golden/keys/pbkdf2.key",
    )
    .expect(2)
    .says("cannot read the secret that PBS_ENCRYPTION_PASSWORD_FILE names")
    .says("its first line is empty");
    home.run_with("PBS_PASSWORD", "", "list --repository localhost:store")
        .expect(2)
        .says("PBS_PASSWORD is empty");
    home.run("verify vm/204 --keyfile ../golden/keys/pbkdf2.key")
        .expect(6)
        .says("PBS_ENCRYPTION_PASSWORD_FILE");
    home.run("verify vm/201").expect(6).says("--keyfile");
    home.run("list --repository store")
        .expect(4)
        .says("error: store: cannot list the datastore\n  because: the password of root@pam is not known")
        .says("the folder is dir:store");
    home.run("list --repository http://example.org/store")
        .expect(1)
        .says("https://");
}
