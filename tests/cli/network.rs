//! Places over the network: signing in, certificates, and what they are measured to do.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use testkit::{Authority, Folder, PbsOptions, PbsServer, ProxyServer, StaticServer};

use crate::home::{GOLDEN_RAW, Home, Run, events, finish, golden, sha256};

const KNOWN: &str = ".config/proxmox-backup/fingerprints";
const OTHER: &str = "00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00";

pub(crate) fn datastore() -> Arc<Folder> {
    Arc::new(Folder::new(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/datastore"),
    ))
}

/// The program against a server, with its token's secret and without a fingerprint.
pub(crate) fn command(home: &Home, server: &PbsServer, arguments: &str) -> Command {
    let mut command = home.command(arguments);
    command
        .env("PBS_REPOSITORY", server.repository("store1"))
        .env("PBS_PASSWORD", PbsServer::SECRET);
    command
}

/// The same, with its fingerprint.
fn run(home: &Home, server: &PbsServer, arguments: &str) -> Run {
    finish(command(home, server, arguments).env("PBS_FINGERPRINT", server.fingerprint()))
}

#[test]
fn a_server_is_a_place_like_a_folder() {
    let home = Home::new();
    let server = PbsServer::start(datastore());
    for list in ["list", "list --ns team/a", "list vm/200"] {
        let there = run(&home, &server, list).expect(0).text();
        assert_eq!(there, home.run(list).expect(0).text());
    }
    let image = run(&home, &server, "image vm/200 drive-scsi0.img -").expect(0);
    assert_eq!(sha256(image.stdout), GOLDEN_RAW);
    run(&home, &server, "get vm/200 out --streams 3").expect(0);
    assert_eq!(home.sha256_of("out/drive-scsi0.img"), GOLDEN_RAW);
    assert_eq!(home.names_in("out").len(), 5);
    run(
        &home,
        &server,
        "verify vm/201 --keyfile ../golden/keys/plain.key",
    )
    .expect(0);
    run(&home, &server, "verify vm/999")
        .expect(5)
        .says("vm/200");
    run(&home, &server, "list --ns other").expect(5);
}

#[test]
fn what_takes_more_open_files_than_are_allowed_says_so_and_says_what_to_do() {
    let home = Home::new();
    let server = PbsServer::start(datastore());
    home.write(KNOWN, format!("localhost {}\n", server.fingerprint()));
    let mut said = String::new();
    for files in 4..12 {
        for place in ["../golden/datastore", &server.repository("store1")] {
            let program = home.command("image vm/200 drive-scsi0.img disk.raw --overwrite");
            let mut command = Command::new("sh");
            command.args(["-c", &format!(r#"ulimit -n {files}; exec "$@""#), "sh"]);
            command.arg(program.get_program()).args(program.get_args());
            home.settle(&mut command);
            command
                .env("PBS_REPOSITORY", place)
                .env("PBS_PASSWORD", PbsServer::SECRET);
            let run = finish(&mut command);
            if run.stderr.contains("Too many open files") {
                assert!(run.stderr.contains("`ulimit -n 4096`"), "{}", run.stderr);
                // Neither the sign-in nor the data are to blame.
                let is_ours = matches!(run.code(), Some(0 | 1 | 8));
                assert!(is_ours, "{files} files: {:?}: {}", run.code(), run.stderr);
                said += &run.stderr;
            }
        }
    }
    for part in ["cannot open disk.raw.partial", "fingerprints"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_user_signs_in_with_a_password_from_a_file() {
    let home = Home::new();
    let server = PbsServer::start(datastore());
    home.write(
        "work/secret",
        format!("{}\nnot this\n", PbsServer::PASSWORD),
    );
    let mut list = command(&home, &server, "list");
    list.env_remove("PBS_PASSWORD")
        .env("PBS_PASSWORD_FILE", "secret")
        .env("PBS_REPOSITORY", server.user_repository("store1"))
        .env("PBS_FINGERPRINT", server.fingerprint());
    assert_eq!(
        finish(&mut list).expect(0).text(),
        home.run("list").expect(0).text()
    );
}

#[test]
fn the_parts_of_a_repository_may_come_apart() {
    let home = Home::new();
    let server = PbsServer::start(datastore());
    let repository = server.repository("store1");
    let (identity, _) = repository.rsplit_once('@').unwrap();
    let mut list = command(&home, &server, "list");
    list.env_remove("PBS_REPOSITORY")
        .env("PBS_FINGERPRINT", server.fingerprint())
        .env("PBS_AUTH_ID", identity)
        .env("PBS_SERVER", server.address().ip().to_string())
        .env("PBS_PORT", server.port().to_string())
        .env("PBS_DATASTORE", "store1");
    finish(&mut list).expect(0);
    finish(list.env("PBS_DATASTORE", "a/b"))
        .expect(2)
        .says("PBS_DATASTORE");
    finish(list.env_remove("PBS_DATASTORE"))
        .expect(2)
        .says("PBS_REPOSITORY");
}

#[test]
fn refused_sign_in_ends_with_4() {
    let home = Home::new();
    let server = PbsServer::start(datastore());
    let mut wrong = command(&home, &server, "verify vm/200 --output-format json");
    wrong
        .env("PBS_FINGERPRINT", server.fingerprint())
        .env("PBS_PASSWORD", "not-the-secret");
    let said = finish(&mut wrong).expect(4).text();
    assert!(!said.contains("not-the-secret"), "{said}");
    let said = events(&said);
    assert_eq!(said.last().unwrap()["kind"], "denied");

    finish(wrong.env_remove("PBS_PASSWORD")).expect(4);
}

#[test]
fn a_certificate_that_is_not_trusted_ends_with_4_and_names_its_fingerprint() {
    let home = Home::new();
    let server = PbsServer::start(datastore());
    finish(&mut command(&home, &server, "list"))
        .expect(4)
        .says(&server.fingerprint());
    finish(command(&home, &server, "list").args(["--fingerprint", OTHER]))
        .expect(4)
        .says(OTHER)
        .says(&server.fingerprint());
    finish(command(&home, &server, "list").args(["--fingerprint", "x"]))
        .expect(2)
        .says("fingerprint 'x'");
    // The command line comes first.
    let mut list = command(&home, &server, "list");
    list.env("PBS_FINGERPRINT", OTHER)
        .args(["--fingerprint", &server.fingerprint()]);
    finish(&mut list).expect(0);
    assert!(!home.path("..").join(KNOWN).exists());
}

#[test]
fn a_server_that_was_trusted_before_is_trusted_while_it_is_the_same() {
    let home = Home::new();
    let server = PbsServer::start(datastore());
    let address = server.address();
    let line = format!("{address} {}\n", server.fingerprint());
    home.write(KNOWN, format!("127.0.0.1 {OTHER}\nnonsense\n{line}"));
    finish(&mut command(&home, &server, "list")).expect(0);

    let changed = format!("{address} {OTHER}\n");
    home.write(KNOWN, &changed);
    finish(&mut command(&home, &server, "list"))
        .expect(4)
        .says("not the one that was trusted before")
        .says("proxmox-backup/fingerprints")
        .says(OTHER)
        .says(&server.fingerprint());
    let kept = std::fs::read_to_string(home.path("..").join(KNOWN)).unwrap();
    assert_eq!(kept, changed);
}

#[test]
fn what_was_trusted_on_another_port_of_the_host_is_a_guess() {
    let home = Home::new();
    let server = PbsServer::start(datastore());
    // The official client knows servers by their hosts alone.
    home.write(KNOWN, format!("127.0.0.1 {}\n", server.fingerprint()));
    finish(&mut command(&home, &server, "list")).expect(0);
    home.write(KNOWN, format!("127.0.0.1 {OTHER}\n"));
    let said = finish(&mut command(&home, &server, "list"))
        .expect(4)
        .says(&server.fingerprint());
    assert!(!said.stderr.contains("trusted before"), "{}", said.stderr);
    assert!(!said.stderr.contains(OTHER), "{}", said.stderr);
}

#[test]
fn on_a_terminal_people_are_asked_and_their_yes_is_remembered() {
    let home = Home::new();
    let server = PbsServer::start(datastore());
    let no = on_terminal(&home, &server, "n").expect(4).text();
    assert!(no.contains(&server.fingerprint()), "{no}");
    assert!(!home.path("..").join(KNOWN).exists());

    on_terminal(&home, &server, "y").expect(0);
    let file = home.path("..").join(KNOWN);
    let known = std::fs::read_to_string(&file).unwrap();
    let line = format!("{} {}\n", server.address(), server.fingerprint());
    assert_eq!(known, line);
    let mode = file.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    finish(&mut command(&home, &server, "list")).expect(0);
}

/// Runs `restore list` on a terminal of its own, where this is typed.
fn on_terminal(home: &Home, server: &PbsServer, typed: &str) -> Run {
    let list = command(home, server, "list");
    let program = list.get_program().to_str().unwrap();
    let mut script = Command::new("sh");
    let line = format!("(sleep 1; echo {typed}; sleep 1) | script -qec '{program} list' /dev/null");
    home.settle(script.args(["-c", &line]));
    for (name, value) in list.get_envs() {
        if let Some(value) = value {
            script.env(name, value);
        }
    }
    script.env("PATH", std::env::var_os("PATH").unwrap());
    finish(&mut script)
}

#[test]
fn a_web_server_can_be_restored_from_and_not_listed() {
    let home = Home::new();
    let server = StaticServer::https(datastore());
    let run = |arguments: &str| {
        let mut command = home.command(arguments);
        command
            .env("PBS_REPOSITORY", server.url())
            .env("PBS_FINGERPRINT", server.fingerprint());
        finish(&mut command)
    };
    run("image vm/200/2024-06-10T10:00:00Z drive-scsi0.img disk.raw").expect(0);
    assert_eq!(home.sha256_of("disk.raw"), GOLDEN_RAW);
    let conf = run("image vm/200/2024-06-10T10:00:00Z qemu-server.conf - --quiet").expect(0);
    assert_eq!(conf.stdout, golden("input/vm.conf"));
    run("list").expect(1);
    let untrusted = format!("list vm/200/2024-06-10T10:00:00Z --fingerprint {OTHER}");
    run(&untrusted).expect(4).says(OTHER);
}

#[test]
fn a_root_certificate_from_a_file_and_a_proxy_do_too() {
    let home = Home::new();
    let authority = Authority::new();
    let options = PbsOptions::new().identity(authority.identity_for("127.0.0.1"));
    let server = options.start(datastore());
    home.write("work/ca.pem", authority.pem());
    let proxy = ProxyServer::start();
    let mut list = command(&home, &server, "list --ca-file ca.pem");
    finish(list.env("ALL_PROXY", proxy.url())).expect(0);
    assert!(!proxy.connects().is_empty());
    finish(&mut command(&home, &server, "list --ca-file no.pem"))
        .expect(2)
        .says("no.pem");
}

#[test]
fn bench_measures_and_chooses() {
    let home = Home::new();
    let server = PbsServer::start(datastore());
    let bench = "bench vm/200 drive-scsi0.img --seconds 2";
    let text = run(&home, &server, bench).expect(0).text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 9, "{text}");
    assert!(lines[0].starts_with("speed test of the server"), "{text}");
    assert!(lines[1].starts_with("in flight "), "{text}");
    assert!(lines[8].starts_with("choose --streams "), "{text}");

    let json = home
        .run(&format!("{bench} --output-format json"))
        .expect(0)
        .text();
    let told = events(&json);
    let of = |sort: &str| told.iter().filter(|event| event["event"] == sort).count();
    assert_eq!((of("measured"), of("chosen")), (6, 1), "{json}");
    let rows = told.iter().filter(|event| event["event"] == "measured");
    let in_flight: Vec<u64> = rows.map(|row| row["in_flight"].as_u64().unwrap()).collect();
    assert_eq!(in_flight, [1, 2, 4, 8, 16, 32]);

    home.run("bench vm/200 qemu-server.conf")
        .expect(2)
        .says("small file");
}
