//! `restore serve`: who can reach the socket, what stands in its way, its end, and the commands that it prints.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use crate::home::{GOLDEN_RAW, Home};
use crate::interrupt::{NEVER, signal, with_default_signals, within};
use crate::running::{Running, has, is_root, sh};

pub(crate) const SERVE: &str = "serve vm/200 drive-scsi0.img";

/// What an NBD server says first.
const GREETING: &[u8; 8] = b"NBDMAGIC";

/// Begins to serve `drive-scsi0.img`; returns where it is.
pub(crate) fn serve(home: &Home, more: &str) -> (Running, String) {
    let mut serving = Running::start(home, &format!("{SERVE} {more}"));
    let uri = serving.hear("serving")["uri"].as_str().unwrap().to_owned();
    (serving, uri)
}

fn socket_of(uri: &str) -> PathBuf {
    PathBuf::from(uri.split_once("?socket=").unwrap().1)
}

/// Fails unless an NBD server answers at a socket.
#[track_caller]
fn answers(path: &Path) -> UnixStream {
    let mut stream = UnixStream::connect(path).unwrap();
    let mut greeting = [0; 8];
    stream.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, GREETING);
    stream
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn the_socket_and_its_new_folder_are_for_one_user_and_go_at_the_end() {
    within(NEVER, || {
        let home = Home::new();
        fs::create_dir(home.path("runtime")).unwrap();
        for (variable, below) in [("XDG_RUNTIME_DIR", "runtime"), ("TMPDIR", "")] {
            let mut command = with_default_signals(&home, &format!("{SERVE} --output-format json"));
            let mut serving = Running::of({
                command.env(variable, home.path(below));
                command
            });
            let uri = serving.hear("serving")["uri"].as_str().unwrap().to_owned();
            assert!(
                uri.starts_with("nbd+unix:///drive-scsi0.img?socket=/"),
                "{uri}"
            );
            let socket = socket_of(&uri);
            let folder = socket.parent().unwrap();
            assert_eq!((mode(&socket), mode(folder)), (0o600, 0o700), "{variable}");
            assert!(folder.starts_with(home.path(below)), "{uri}");
            // Nothing else is in the folder.
            assert_eq!(fs::read_dir(folder).unwrap().count(), 1);
            drop(answers(&socket));
            let ended = serving.end("TERM");
            assert_eq!(ended.code, Some(0));
            assert!(!folder.exists(), "{variable}");
        }
    });
}

#[test]
fn every_signal_ends_it_with_success_also_while_a_client_is_connected() {
    within(NEVER, || {
        for name in ["INT", "TERM", "HUP"] {
            let home = Home::new();
            let (serving, uri) = serve(&home, "--socket nbd.sock");
            let socket = socket_of(&uri);
            assert_eq!(
                socket,
                fs::canonicalize(home.path("")).unwrap().join("nbd.sock")
            );
            let mut client = answers(&socket);
            let ended = serving.end(name);
            assert_eq!(ended.code, Some(0), "{name}");
            let served = ended.last("served");
            assert_eq!(
                (&served["clients_total"], &served["fetched"]),
                (&1.into(), &0.into())
            );
            // The client has heard the end, and the socket is gone.
            let mut rest = Vec::new();
            let _ = client.read_to_end(&mut rest);
            assert_eq!(home.names_in(""), [""; 0], "{name}");
        }
    });
}

#[test]
fn a_path_of_107_bytes_is_served_and_a_longer_one_is_refused() {
    within(NEVER, || {
        let home = Home::new();
        let folder = fs::canonicalize(home.path("")).unwrap();
        let longest = "s".repeat(107 - folder.as_os_str().len() - 1);
        home.run(&format!("{SERVE} --socket {longest}x"))
            .expect(8)
            .says("has 108 bytes, and 107 are possible");
        let (serving, uri) = serve(&home, &format!("--socket {longest}"));
        assert_eq!(socket_of(&uri).as_os_str().len(), 107);
        drop(answers(&socket_of(&uri)));
        assert_eq!(serving.end("INT").code, Some(0));
        assert_eq!(home.names_in(""), [""; 0]);
    });
}

#[test]
fn a_socket_that_a_killed_server_left_behind_is_replaced() {
    within(NEVER, || {
        let home = Home::new();
        let (serving, uri) = serve(&home, "--socket nbd.sock");
        signal("KILL", serving.id());
        serving.wait();
        let socket = socket_of(&uri);
        let left = fs::symlink_metadata(&socket).unwrap();
        assert!(left.file_type().is_socket());
        let (serving, _) = serve(&home, "--socket nbd.sock");
        drop(answers(&socket));
        assert_ne!(fs::symlink_metadata(&socket).unwrap().ino(), left.ino());
        assert_eq!(serving.end("INT").code, Some(0));
        assert_eq!(home.names_in(""), [""; 0]);
    });
}

#[test]
fn nothing_else_at_the_path_of_the_socket_is_replaced() {
    within(NEVER, || {
        let home = Home::new();
        home.write("work/file", "precious");
        fs::create_dir(home.path("folder")).unwrap();
        symlink("nowhere", home.path("link")).unwrap();
        let _listener = UnixListener::bind(home.path("live")).unwrap();
        let mut before = home.names_in("");
        for (name, why) in [
            ("file", "is no socket"),
            ("folder", "is no socket"),
            ("link", "is no socket"),
            ("live", "a program is listening on"),
            ("missing/nbd.sock", "cannot make the socket"),
        ] {
            let run = home.run(&format!("{SERVE} --socket {name}"));
            run.expect(8).says(why);
        }
        if is_root() {
            drop(UnixListener::bind(home.path("foreign")).unwrap());
            chown(home.path("foreign"), Some(65534), None).unwrap();
            before = home.names_in("");
            let run = home.run(&format!("{SERVE} --socket foreign"));
            run.expect(8).says("is a socket of another user");
        }
        assert_eq!(home.names_in(""), before);
        assert_eq!(fs::read(home.path("file")).unwrap(), b"precious");
    });
}

#[test]
fn a_socket_that_another_program_put_there_meanwhile_stays() {
    within(NEVER, || {
        let home = Home::new();
        let (serving, uri) = serve(&home, "--socket nbd.sock");
        let socket = socket_of(&uri);
        fs::remove_file(&socket).unwrap();
        let _other = UnixListener::bind(&socket).unwrap();
        assert_eq!(serving.end("INT").code, Some(0));
        assert!(UnixStream::connect(&socket).is_ok());
    });
}

#[test]
fn a_group_gets_the_socket_if_it_is_named() {
    within(NEVER, || {
        let home = Home::new();
        // The name of the user's own group, or its number, may be given by everybody.
        let id = rustix::process::getegid().as_raw();
        let (serving, uri) = serve(&home, &format!("--socket nbd.sock --socket-group {id}"));
        let socket = socket_of(&uri);
        assert_eq!(mode(&socket), 0o660);
        assert_eq!(fs::metadata(&socket).unwrap().gid(), id);
        drop(serving);
        let run = home.run(&format!(
            "{SERVE} --socket nbd.sock --socket-group no-such-group"
        ));
        run.expect(2).says("there is no group 'no-such-group'");
        // A socket in a folder that nobody else can enter is of no use to a group.
        home.run(&format!("{SERVE} --socket-group {id}")).expect(2);
        if is_root() {
            let (_serving, uri) = serve(&home, "--socket nbd.sock --socket-group daemon");
            assert_eq!(fs::metadata(socket_of(&uri)).unwrap().gid(), 1);
        }
    });
}

#[test]
fn strangers_are_let_in_only_if_that_is_said() {
    within(NEVER, || {
        let home = Home::new();
        for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:10809"] {
            let run = home.run(&format!("{SERVE} --listen {address}"));
            run.expect(2)
                .says("everybody who reaches")
                .says("--tls-client-ca")
                .says("--allow-unauthenticated");
        }
        home.run(&format!("{SERVE} --allow-unauthenticated"))
            .expect(2);
        home.run(&format!("{SERVE} --listen 127.0.0.1:0 --socket nbd.sock"))
            .expect(2);
        for (more, who) in [
            ("--listen 127.0.0.1:0", "127.0.0.1"),
            ("--listen 0.0.0.0:0 --allow-unauthenticated", "0.0.0.0"),
        ] {
            let mut serving = Running::start(&home, &format!("{SERVE} {more}"));
            let warned = serving.hear("unauthenticated");
            let address = warned["address"].as_str().unwrap();
            let uri = serving.hear("serving");
            assert_eq!(uri["uri"], format!("nbd://{address}/drive-scsi0.img"));
            let port = address.strip_prefix(who).unwrap();
            let mut client = TcpStream::connect(format!("127.0.0.1{port}")).unwrap();
            let mut greeting = [0; 8];
            client.read_exact(&mut greeting).unwrap();
            assert_eq!(&greeting, GREETING);
            assert_eq!(serving.end("INT").code, Some(0));
        }
    });
}

#[test]
fn what_holds_no_disk_is_not_served() {
    let home = Home::new();
    home.run("serve host/tree").expect(2).says("holds no disks");
    home.run("serve vm/200 qemu-server.conf")
        .expect(2)
        .says("is a small file, and no disk");
    home.run("serve vm/200 drive-scsi9.img").expect(5);
    home.run("serve vm/999").expect(5);
}

#[test]
fn a_disk_whose_index_is_lost_does_not_keep_the_others_from_being_served() {
    within(NEVER, || {
        let home = Home::new();
        let datastore = home.datastore();
        let snapshot = datastore.join("vm/200/2024-06-10T10:00:00Z");
        fs::remove_file(snapshot.join("drive-scsi1.img.fidx")).unwrap();
        let mut serving =
            Running::start(&home, "serve vm/200 --socket s --repository dir:datastore");
        assert_eq!(serving.hear("error")["exit_code"], 7);
        serving.hear("serving");
        drop(answers(&home.path("s")));
        assert_eq!(serving.end("INT").code, Some(7));
        home.run("serve vm/200 drive-scsi1.img --repository dir:datastore")
            .expect(7);
    });
}

/// Begins to serve, and reads what people see of it until it serves.
fn serve_for_people(home: &Home, arguments: &str) -> (Child, String) {
    let mut child = with_default_signals(home, arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    while !text.ends_with("Ctrl-C ends the server\n") {
        assert_ne!(said.read_line(&mut text).unwrap(), 0, "{text}");
    }
    (child, text)
}

#[test]
fn the_commands_that_are_printed_work() {
    if !has(&["nbdcopy", "qemu-img"]) {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let (mut child, text) = serve_for_people(&home, &format!("{SERVE} --socket nbd.sock"));
        let commands = text.lines().filter_map(|line| line.strip_prefix("  "));
        let mut count = 0;
        for command in commands {
            // A machine is not started here.
            if !command.starts_with("qemu-system") {
                sh(&home, command);
            }
            count += 1;
        }
        assert_eq!(count, 4, "{text}");
        assert_eq!(home.sha256_of("disk.raw"), GOLDEN_RAW);
        for made in ["disk.qcow2", "overlay.qcow2"] {
            sh(
                &home,
                &format!("qemu-img compare -f raw -F qcow2 disk.raw {made}"),
            );
        }
        // What is written into the overlay stays there.
        sh(
            &home,
            "qemu-io -f qcow2 -c 'write -P 7 0 64k' overlay.qcow2",
        );
        sh(
            &home,
            "qemu-img convert -f qcow2 -O raw overlay.qcow2 changed.raw",
        );
        assert_ne!(home.sha256_of("changed.raw"), GOLDEN_RAW);
        signal("INT", child.id());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    });
}
