//! The end of `restore mount`, whoever ends it.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::thread;

use testkit::{Fault, When};

use crate::home::Home;
use crate::interrupt::{NEVER, golden_server, on_server, with_default_signals, within};
use crate::mount::{GOLDEN, can_mount, mount, mounted_on};
use crate::running::{Running, is_root, sh, skip};

#[test]
fn a_file_that_is_open_and_being_read_does_not_keep_it_from_ending() {
    if !can_mount() {
        return;
    }
    within(NEVER, || {
        for name in ["INT", "TERM"] {
            let home = Home::new();
            let server = golden_server();
            server.on_any_chunk(When::Always, Fault::Stall);
            fs::create_dir(home.path("mnt")).unwrap();
            let mut mounted = Running::of(on_server(
                with_default_signals(&home, &format!("{GOLDEN} --output-format json")),
                &server,
            ));
            mounted.hear("mounted");
            let file = File::open(home.path("mnt/drive-scsi0.img")).unwrap();
            let reading = file.try_clone().unwrap();
            let reader = thread::spawn(move || reading.read_at(&mut [0; 512], 0));
            crate::interrupt::wait_until(|| server.counts().chunk_requests > 0);
            let ended = mounted.end(name);
            assert_eq!(ended.code, Some(0), "{name}");
            assert!(reader.join().unwrap().is_err());
            // Those that have it open get an error too, and the folder is free.
            assert!(file.read_at(&mut [0; 512], 0).is_err());
            assert_eq!(mounted_on(&home.path("mnt")), None);
            assert_eq!(home.names_in("mnt"), [""; 0]);
        }
    });
}

#[test]
fn whoever_unmounts_the_folder_ends_it() {
    if !can_mount() {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let mounted = mount(&home, GOLDEN);
        match is_root() {
            true => sh(&home, "umount mnt"),
            false => sh(&home, "fusermount3 -u mnt"),
        };
        let ended = mounted.wait();
        assert_eq!(ended.code, Some(0));
        ended.last("unmounted");
    });
}

#[test]
fn a_mount_that_somebody_took_away_before_is_no_failure_at_the_end() {
    if !can_mount() || !(is_root() || skip("only root can unmount a folder lazily")) {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let mounted = mount(&home, GOLDEN);
        // An open file keeps the file system alive, so that the program does not hear of the end.
        let _open = File::open(home.path("mnt/drive-scsi0.img")).unwrap();
        sh(&home, "umount --lazy mnt");
        let ended = mounted.end("INT");
        assert_eq!(ended.code, Some(0));
        ended.last("unmounted");
    });
}

#[test]
fn a_mount_below_another_one_is_named_and_the_other_one_stays() {
    if !can_mount() || !(is_root() || skip("only root can mount a tmpfs")) {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let mounted = mount(&home, GOLDEN);
        sh(&home, "mount -t tmpfs none mnt");
        fs::write(home.path("mnt/file"), "of somebody").unwrap();
        let ended = mounted.end("INT");
        let kept = fs::read(home.path("mnt/file"));
        sh(&home, "umount mnt && umount mnt");
        assert_eq!(ended.code, Some(8));
        let error = ended.last("error").to_string();
        assert!(
            error.contains("something else is mounted over it"),
            "{error}"
        );
        assert_eq!(kept.unwrap(), b"of somebody");
    });
}

#[test]
fn what_somebody_else_has_mounted_on_the_folder_since_stays() {
    if !can_mount() || !(is_root() || skip("only root can mount a tmpfs")) {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let mounted = mount(&home, GOLDEN);
        let _open = File::open(home.path("mnt/drive-scsi0.img")).unwrap();
        sh(&home, "umount --lazy mnt && mount -t tmpfs none mnt");
        fs::write(home.path("mnt/file"), "of somebody").unwrap();
        let ended = mounted.end("INT");
        let kept = fs::read(home.path("mnt/file"));
        sh(&home, "umount mnt");
        assert_eq!(ended.code, Some(0));
        assert_eq!(kept.unwrap(), b"of somebody");
    });
}
