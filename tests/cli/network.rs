//! Places over the network: signing in, certificates, and what they are measured to do.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use testkit::{Authority, Fault, Folder, PbsOptions, PbsServer, ProxyServer, StaticServer, When};

use crate::home::{GOLDEN_RAW, Home, Run, events, finish, golden, sha256};

const KNOWN: &str = ".config/proxmox-backup/fingerprints";
const OTHER: &str = "00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00";

fn datastore() -> Arc<Folder> {
    Arc::new(Folder::new(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/datastore"),
    ))
}

/// The program against a server, with its token's secret and without a fingerprint.
fn command(home: &Home, server: &PbsServer, arguments: &str) -> Command {
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
fn a_proxy_is_named_with_its_variable_and_no_proxy_goes_round_it() {
    let home = Home::new();
    let server = PbsServer::start(datastore());
    let proxied = |variable: &str, value: &str, list: &str, except: &str| {
        let mut command = command(&home, &server, "list");
        command.env("PBS_FINGERPRINT", server.fingerprint());
        finish(command.env(variable, value).env(list, except))
    };
    let proxy = ProxyServer::start();
    proxy.refuse(403);
    for variable in ["ALL_PROXY", "all_proxy"] {
        let from = format!("(from {variable}) answered 403");
        proxied(variable, &proxy.url(), "NO_PROXY", "10.0.0.0/8")
            .expect(4)
            .says(&from);
        proxied(variable, "socks5://127.0.0.1:1", "NO_PROXY", "x")
            .expect(2)
            .says(variable);
        for except in ["*", "127.0.0.1", "example.org,127.0.0.0/8"] {
            for list in ["NO_PROXY", "no_proxy"] {
                proxied(variable, "socks5://127.0.0.1:1", list, except).expect(0);
            }
        }
    }
    // Its own client does not read this one.
    proxied("HTTPS_PROXY", &proxy.url(), "NO_PROXY", "").expect(0);
    assert_eq!(proxy.connects().len(), 2);
}

#[test]
fn a_web_server_is_reached_as_curl_reaches_it() {
    let home = Home::new();
    let server = StaticServer::https(datastore());
    let proxy = ProxyServer::start();
    proxy.refuse(403);
    let run = |variable: &str, except: &str| {
        let mut command = home.command("list vm/200/2024-06-10T10:00:00Z");
        command
            .env("PBS_REPOSITORY", server.url())
            .env("PBS_FINGERPRINT", server.fingerprint())
            .env("NO_PROXY", except);
        finish(command.env(variable, proxy.url()))
    };
    for variable in ["https_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"] {
        run(variable, "")
            .expect(4)
            .says(&format!("from {variable}"));
        run(variable, "127.0.0.1").expect(0);
    }
    run("http_proxy", "").expect(0);
}

#[test]
fn a_host_that_is_not_there_and_plain_http_are_said_at_once() {
    let home = Home::new();
    let port = {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let web = StaticServer::http(datastore());
    let begun = std::time::Instant::now();
    for (at, code, words) in [
        (format!("127.0.0.1:{port}"), 1, "cannot connect to"),
        (
            "no-such-host.invalid:8007".to_owned(),
            1,
            "cannot find the address of",
        ),
        (web.address().to_string(), 4, "speaks plain HTTP"),
    ] {
        let list = format!("list --repository root@pam@{at}:store1");
        home.run_with("PBS_PASSWORD", "x", &list)
            .expect(code)
            .says(words)
            .says(&at);
    }
    // Five attempts at one of them take 21 seconds.
    assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
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

#[test]
fn a_web_server_or_a_pve_in_place_of_a_server_is_asked_about_and_not_what_it_lacks() {
    let home = Home::new();
    let web = StaticServer::https(datastore());
    let place = format!("root@pam@{}:store1", web.address());
    let run = |arguments: &str| {
        let mut command = home.command(arguments);
        command
            .env("PBS_REPOSITORY", &place)
            .env("PBS_PASSWORD", "x")
            .env("PBS_FINGERPRINT", web.fingerprint());
        finish(&mut command)
    };
    for status in [405, 404, 501] {
        web.on_any(When::Always, Fault::Status(status));
        let before = web.counts().requests;
        for arguments in [
            "list",
            "image vm/200/2024-06-10T10:00:00Z drive-scsi0.img x",
        ] {
            run(arguments)
                .expect(1)
                .says("is it a Proxmox Backup Server?");
        }
        assert_eq!(web.counts().requests, before + 2, "{status}");
    }
}

#[test]
fn a_listing_takes_little_memory_whatever_is_in_it() {
    let home = Home::new();
    let server = PbsServer::start(datastore());
    let list = command(&home, &server, "list");
    let program = list.get_program().to_str().unwrap();
    let long = 48 << 20;
    for (listing, words) in [
        (
            format!("{{\"data\":[{}0]}}", "0,".repeat(long / 2)),
            "more than",
        ),
        (
            format!("{{\"data\":[[{}0]]}}", "0,".repeat(long / 2)),
            "too long",
        ),
        (format!("{{\"data\":{}", "[".repeat(long)), "too long"),
        (
            format!("{{\"data\":[\"{}\"]}}", "x".repeat(long)),
            "too long",
        ),
    ] {
        server.clear_faults();
        server.on_list(When::Always, Fault::Replace(listing.into_bytes()));
        let mut script = Command::new("sh");
        // Each number of the first took a hundred bytes and more.
        let line = format!("ulimit -v 700000; exec {program} list");
        home.settle(script.args(["-c", &line]));
        script.envs(
            list.get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        );
        script.env("PBS_FINGERPRINT", server.fingerprint());
        finish(&mut script).expect(1).says(words);
    }
}
