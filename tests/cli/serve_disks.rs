//! `restore serve`: disks, their exports and what their clients read.

use std::fs;

use serde_json::Value;
use testkit::Authority;

use crate::home::{GOLDEN_LEN, GOLDEN_RAW, Home, chunk_file};
use crate::interrupt::{NEVER, within};
use crate::running::{Running, has, sh, shell};
use crate::serve::{SERVE, serve};

#[test]
fn all_disks_are_exports_with_their_names() {
    if !has(&["nbdinfo", "nbdcopy"]) {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        home.run("get vm/200 truth").expect(0);
        let mut serving = Running::start(&home, "serve vm/200 --socket nbd.sock");
        let disks = [
            "drive-efidisk0",
            "drive-scsi0",
            "drive-scsi1",
            "drive-scsi2",
        ];
        let mut found = disks.map(|_| {
            let event = serving.hear("serving");
            let uri = event["uri"].as_str().unwrap().to_owned();
            (event["export"].as_str().unwrap().to_owned(), uri)
        });
        found.sort();
        for (disk, (name, uri)) in disks.iter().zip(found) {
            assert_eq!(name, format!("{disk}.img"));
            sh(&home, &format!("nbdcopy '{uri}' {name}"));
            sh(&home, &format!("cmp {name} truth/{name}"));
        }
        let listed = sh(&home, "nbdinfo --list 'nbd+unix:///?socket=nbd.sock'");
        for disk in disks {
            assert!(
                listed.contains(&format!("export=\"{disk}.img\"")),
                "{listed}"
            );
        }
        let ended = serving.end("INT");
        let served = ended.last("served");
        assert!(served["fetched"].as_u64() > Some(0), "{served}");
        assert!(
            served["hits"].as_u64() <= served["chunks"].as_u64(),
            "{served}"
        );
        assert_eq!(served["failures"], 0, "{served}");
    });
}

#[test]
fn a_socket_that_is_handed_over_is_served() {
    if !has(&["nbdcopy"]) {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let restore = home.command(SERVE);
        let program = restore.get_program().to_str().unwrap().to_owned();
        sh(&home, &format!("nbdcopy -- [ {program} {SERVE} ] disk.raw"));
        assert_eq!(home.sha256_of("disk.raw"), GOLDEN_RAW);
        // Standard output is the image here, and nothing else.
        sh(
            &home,
            &format!("nbdcopy -- [ {program} {SERVE} ] - | cmp - disk.raw"),
        );
        let (is_done, said) = shell(
            &home,
            &format!("nbdcopy -- [ {program} {SERVE} --socket nbd.sock ] other.raw"),
        );
        assert!(!is_done);
        assert!(
            said.contains("a socket was handed over (LISTEN_FDS)"),
            "{said}"
        );
    });
}

#[test]
fn a_chunk_that_is_lost_fails_its_reads_and_no_others() {
    if !has(&["qemu-io"]) {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        fs::remove_file(chunk_file(&home.datastore(), 5)).unwrap();
        let (mut serving, uri) = serve(&home, "--socket nbd.sock --repository dir:datastore");
        let read = |offset: u64| {
            shell(
                &home,
                &format!("qemu-io -r -f raw -c 'read {offset} 4k' '{uri}'"),
            )
        };
        let (is_done, said) = read(5 * (4 << 20));
        assert!(!is_done && said.contains("Input/output error"), "{said}");
        let (is_done, said) = read(4 << 20);
        assert!(is_done, "{said}");
        let told = serving.hear("read_failed");
        assert_eq!(
            (&told["archive"], &told["position"]),
            (&"drive-scsi0.img".into(), &5.into())
        );
        let ended = serving.end("INT");
        assert_eq!(ended.code, Some(0));
        assert!(ended.last("served")["failures"].as_u64() > Some(0));
    });
}

#[test]
fn with_tls_only_clients_with_a_certificate_are_served_if_that_is_demanded() {
    if !has(&["nbdinfo"]) {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let authority = Authority::new();
        let server = authority.identity_for("127.0.0.1");
        home.write("work/server.pem", server.pem());
        home.write("work/server-key.pem", server.key_pem());
        for folder in ["with", "without"] {
            home.write(&format!("work/{folder}/ca-cert.pem"), authority.pem());
        }
        let client = authority.identity_for("client");
        home.write("work/with/client-cert.pem", client.pem());
        home.write("work/with/client-key.pem", client.key_pem());
        let tls = "--tls-cert server.pem --tls-key server-key.pem";
        for (more, without) in [("", true), ("--tls-client-ca with/ca-cert.pem", false)] {
            let (_serving, uri) = serve(&home, &format!("--listen 127.0.0.1:0 {tls} {more}"));
            assert!(uri.starts_with("nbds://127.0.0.1:"), "{uri}");
            let info = |folder: &str| {
                let folder = home.path(folder);
                let folder = folder.display();
                shell(
                    &home,
                    &format!("nbdinfo --size '{uri}?tls-certificates={folder}'"),
                )
            };
            assert_eq!(info("with"), (true, format!("{GOLDEN_LEN}\n")), "{more}");
            let (is_served, said) = info("without");
            assert_eq!(is_served, without, "{said}");
            let plain = uri.replace("nbds:", "nbd:");
            let (is_served, said) = shell(&home, &format!("nbdinfo --size '{plain}'"));
            assert!(!is_served, "{said}");
        }
        let listen = "--listen 0.0.0.0:0 --tls-client-ca with/ca-cert.pem";
        drop(serve(&home, &format!("{tls} {listen}")));
        for wrong in [
            "--tls-cert none.pem --tls-key server-key.pem",
            "--tls-cert server.pem --tls-key with/client-key.pem",
            "--tls-cert server.pem",
            "--tls-client-ca with/ca-cert.pem",
        ] {
            home.run(&format!("{SERVE} --listen 127.0.0.1:0 {wrong}"))
                .expect(2);
        }
    });
}

#[test]
fn what_is_read_is_shown() {
    if !has(&["nbdcopy"]) {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let (mut serving, uri) = serve(&home, "--socket nbd.sock");
        sh(&home, &format!("nbdcopy '{uri}' disk.raw"));
        let shown: Value = serving.hear("progress");
        assert!(shown["reads"].as_u64() > Some(0), "{shown}");
        for number in ["clients", "bytes", "chunks", "hits", "fetched", "retries"] {
            assert!(shown[number].is_u64(), "{shown}");
        }
    });
}
