//! Standard output that takes nothing, takes little at a time, or is not there.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::home::{GOLDEN_RAW, Home, Run, chunk_file, finish, sha256};
use crate::interrupt::{NEVER, signal, wait_until, with_default_signals, within};

const IMAGE: &str = "image vm/200 drive-scsi0.img";

/// The program, as a shell runs it with this redirection.
fn shell(home: &Home, arguments: &str, redirection: &str) -> Run {
    let program = home.command(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", &format!(r#"exec "$@" {redirection}"#), "sh"]);
    command.arg(program.get_program()).args(program.get_args());
    home.settle(&mut command);
    finish(&mut command)
}

#[test]
fn standard_output_that_is_closed_takes_no_image() {
    let home = Home::new();
    shell(&home, &format!("{IMAGE} -"), ">&-")
        .expect(8)
        .says("standard output is closed");
    // Some programs hand it to their children for reading too, which is what Rust puts in place of one that is closed.
    for null in [">/dev/null", "1<>/dev/null"] {
        shell(&home, &format!("{IMAGE} -"), null).expect(0);
    }
    shell(&home, &format!("{IMAGE} -"), ">/dev/full")
        .expect(8)
        .says("No space left");
}

#[test]
fn a_pipe_that_does_not_block_gets_every_byte() {
    let home = Home::new();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    let mut child = home
        .command(&format!("{IMAGE} - --quiet"))
        .stdout(Stdio::from(writer))
        .spawn()
        .unwrap();
    let mut image = Vec::new();
    reader.read_to_end(&mut image).unwrap();
    assert_eq!(sha256(image), GOLDEN_RAW);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_report_that_cannot_be_written_costs_neither_the_list_of_damage_nor_its_exit_code() {
    let home = Home::new();
    let chunk = chunk_file(&home.datastore(), 5);
    let blob = fs::read(&chunk).unwrap();
    fs::remove_file(&chunk).unwrap();
    let run = |arguments: &str| {
        let arguments = format!("{arguments} --repository dir:datastore");
        let mut command = home.command(&arguments);
        finish(command.stdout(File::options().write(true).open("/dev/full").unwrap()))
    };
    let arguments = format!("{IMAGE} disk.raw --salvage");
    for format in ["text", "json"] {
        run(&format!("{arguments} --output-format {format}")).expect(3);
        assert_eq!(
            home.names_in(""),
            ["datastore", "disk.raw.damaged", "disk.raw.damaged.json"]
        );
        fs::remove_file(home.path("disk.raw.damaged.json")).unwrap();
    }
    run("get vm/200 out --salvage").expect(3);
    assert!(home.path("out/drive-scsi0.img.damaged.json").exists());
    assert!(home.path("out/qemu-server.conf").exists());
    fs::write(&chunk, blob).unwrap();
    run(&format!("{IMAGE} disk.raw"))
        .expect(1)
        .says("cannot write to standard output");
    assert_eq!(home.sha256_of("disk.raw"), GOLDEN_RAW);
}

#[test]
fn messages_that_nobody_reads_hold_up_no_interrupt() {
    for arguments in [
        "image vm/200 drive-scsi0.img disk.raw --output-format json",
        "verify vm/200 --output-format json",
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        fill(&writer);
        let (took, home) = within(NEVER, move || {
            let home = Home::new();
            let mut child = with_default_signals(&home, arguments)
                .stdout(Stdio::from(writer))
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            wait_until(|| waits_for_a_pipe(child.id()));
            let begun = Instant::now();
            signal("INT", child.id());
            assert_eq!(child.wait().unwrap().code(), Some(130));
            (begun.elapsed(), home)
        });
        assert!(took < Duration::from_secs(10), "{arguments}: {took:?}");
        drop(reader);

        // As after a kill: nothing has the final name, and the next run is not kept from its end.
        if arguments.starts_with("image") {
            assert_eq!(home.names_in(""), ["disk.raw.partial"]);
            home.run(arguments).expect(0);
            assert_eq!(home.sha256_of("disk.raw"), GOLDEN_RAW);
        }
    }
}

/// Leaves no room in a pipe.
fn fill(mut writer: &std::io::PipeWriter) {
    let flags = fcntl_getfl(writer).unwrap();
    fcntl_setfl(writer, flags | OFlags::NONBLOCK).unwrap();
    while writer.write(&[b'\n'; 4096]).is_ok() {}
    fcntl_setfl(writer, flags).unwrap();
}

/// Whether a thread of a process waits in a write to a pipe, by what Linux says of it.
fn waits_for_a_pipe(id: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{id}/task")).unwrap();
    threads.flatten().any(|thread| {
        let place = fs::read_to_string(thread.path().join("wchan"));
        place.is_ok_and(|place| place.contains("pipe_write"))
    })
}

#[test]
fn only_a_command_that_fills_standard_output_tells_of_errors_elsewhere() {
    let home = Home::new();
    let json = "--output-format json";
    // A group of this name leaves standard output free.
    for arguments in ["list cat --nonsense", "--repository cat list --nonsense"] {
        let told = home.run(&format!("{arguments} {json}")).expect(2);
        assert_eq!(told.stderr, "", "{arguments}");
        assert!(told.text().starts_with('{'), "{arguments}: {}", told.text());
    }
    for arguments in ["cat a b c --nonsense", "--repository x cat --nonsense"] {
        let told = home.run(&format!("{arguments} {json}")).expect(2);
        assert_eq!(told.text(), "", "{arguments}");
        assert!(told.stderr.starts_with('{'), "{arguments}: {}", told.stderr);
    }
}
