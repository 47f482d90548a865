//! The way to servers: proxies, hosts that are not there, other servers, and answers that are too much.

use std::process::Command;

use testkit::{Fault, PbsServer, ProxyServer, StaticServer, When};

use crate::home::{Home, finish};
use crate::network::{command, datastore};

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
