//! `restore mount`: what the folder shows, and what programs that read get.

use std::fs::{self, File, Permissions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use rustix::fs::{SeekFrom, seek};
use testkit::{Fault, Folder, Image, SnapshotBuilder, When, Workload};

use crate::disks::Loop;
use crate::home::{Home, chunk_file, finish, golden};
use crate::interrupt::{NEVER, golden_server, on_server, signal, with_default_signals, within};
use crate::running::{Running, has, is_root, same, sh, shell, skip};

pub(crate) const GOLDEN: &str = "mount vm/200 mnt";
const SNAPSHOT: &str = "vm/100/2026-01-02T03:04:05Z";
const CHUNK: u64 = 64 << 10;

/// Whether this user can mount. If not, the test is skipped, and says so.
pub(crate) fn can_mount() -> bool {
    let device = File::options().read(true).write(true).open("/dev/fuse");
    match device {
        Err(error) => skip(&format!("/dev/fuse: {error}")),
        Ok(_) if is_root() => true,
        Ok(_) => has(&["fusermount3"]),
    }
}

/// Mounts on the folder `mnt`, which is made.
pub(crate) fn mount(home: &Home, arguments: &str) -> Running {
    let _ = fs::create_dir(home.path("mnt"));
    let mut mounted = Running::start(home, arguments);
    mounted.hear("mounted");
    mounted
}

/// What the kernel has mounted on a folder: the options, and the kind of file system.
pub(crate) fn mounted_on(folder: &Path) -> Option<String> {
    let folder = fs::canonicalize(folder).unwrap();
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut lines = table.lines();
    let found = lines.find(|line| line.split(' ').nth(4) == folder.to_str());
    found.map(str::to_owned)
}

pub(crate) fn errno(result: io::Result<impl Sized>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

pub(crate) const EIO: Option<i32> = Some(5);

#[test]
fn the_folder_shows_the_disks_and_small_files_for_reading_only() {
    if !can_mount() {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        home.run("get vm/200 truth").expect(0);
        let mounted = mount(&home, GOLDEN);
        let names = home.names_in("truth");
        assert_eq!(home.names_in("mnt"), names);
        assert!(names.contains(&"qemu-server.conf".to_owned()));
        for name in &names {
            let (shown, truth) = (home.path("mnt").join(name), home.path("truth").join(name));
            let found = fs::metadata(&shown).unwrap();
            assert_eq!(found.len(), fs::metadata(&truth).unwrap().len(), "{name}");
            assert_eq!(found.mode() & 0o7777, 0o400, "{name}");
            // The snapshot's time.
            assert_eq!(found.mtime(), 1_718_013_600, "{name}");
            assert!(same(&shown, &truth), "{name}");
            let write = File::options().write(true).open(&shown);
            assert_eq!(write.unwrap_err().kind(), io::ErrorKind::ReadOnlyFilesystem);
        }
        assert!(fs::write(home.path("mnt/new"), "").is_err());
        let options = mounted_on(&home.path("mnt")).unwrap();
        for part in ["ro,nosuid,nodev", " fuse restore "] {
            assert!(options.contains(part), "{options}");
        }
        assert!(!options.contains("allow_other"), "{options}");
        let ended = mounted.end("INT");
        assert_eq!(ended.code, Some(0));
        assert!(ended.last("unmounted")["fetched"].as_u64() > Some(0));
        assert_eq!(home.names_in("mnt"), [""; 0]);
        assert_eq!(mounted_on(&home.path("mnt")), None);
    });
}

/// Where a file has data and where it has holes, by `lseek`.
fn map(file: &File) -> Vec<(bool, u64, u64)> {
    let len = file.metadata().unwrap().len();
    let (mut map, mut offset) = (Vec::new(), 0);
    while offset < len {
        let data = match seek(file, SeekFrom::Data(offset)) {
            Ok(data) => data,
            Err(rustix::io::Errno::NXIO) => len,
            Err(error) => panic!("{error}"),
        };
        if data > offset {
            map.push((false, offset, data));
            offset = data;
            continue;
        }
        let hole = seek(file, SeekFrom::Hole(offset)).unwrap();
        map.push((true, offset, hole));
        offset = hole;
    }
    map
}

#[test]
fn zeros_are_holes_for_seek_and_for_the_room_that_a_file_takes() {
    if !can_mount() {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        // Data, zeros, zeros, data, and a short last chunk of zeros.
        let mut bytes = vec![0; 4 * CHUNK as usize + 1000];
        bytes[..CHUNK as usize].fill(1);
        bytes[3 * CHUNK as usize..4 * CHUNK as usize].fill(2);
        SnapshotBuilder::new(SNAPSHOT)
            .chunk_size(CHUNK)
            .image("mixed.img", Image::from_bytes(bytes.clone(), CHUNK))
            .image(
                "zeros.img",
                Image::new(Workload::Zeros, 1, 10 * CHUNK, CHUNK),
            )
            .write_to(&Folder::new(home.path("store")));
        let mounted = mount(&home, "mount vm/100 mnt --repository dir:store");
        let mixed = File::open(home.path("mnt/mixed.img")).unwrap();
        let expected = [
            (true, 0, CHUNK),
            (false, CHUNK, 3 * CHUNK),
            (true, 3 * CHUNK, 4 * CHUNK),
        ];
        let found = map(&mixed);
        assert_eq!(found[..3], expected);
        // Whether the index alone tells that a short chunk is zeros is for the library to say.
        assert_eq!(found[3..].len(), 1);
        assert!(mixed.metadata().unwrap().blocks() < 5 * CHUNK / 512);
        let zeros = File::open(home.path("mnt/zeros.img")).unwrap();
        assert_eq!(map(&zeros), [(false, 0, 10 * CHUNK)]);
        assert_eq!(zeros.metadata().unwrap().blocks(), 0);
        assert_eq!(
            seek(&mixed, SeekFrom::Data(1 << 40)),
            Err(rustix::io::Errno::NXIO)
        );
        sh(&home, "cp --sparse=auto mnt/mixed.img copy");
        assert!(fs::read(home.path("copy")).unwrap() == bytes);
        assert_eq!(mounted.end("INT").code, Some(0));
    });
}

#[test]
fn a_chunk_that_does_not_come_holds_up_no_other_read() {
    if !can_mount() {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let server = golden_server();
        let index = golden("datastore/vm/200/2024-06-10T10:00:00Z/drive-scsi0.img.fidx");
        // The digests follow a header of 4096 bytes.
        let stalled: [u8; 32] = index[4096 + 5 * 32..][..32].try_into().unwrap();
        server.on_chunk(&stalled, When::Always, Fault::Stall);
        fs::create_dir(home.path("mnt")).unwrap();
        let mut mounted = Running::of(on_server(
            with_default_signals(&home, &format!("{GOLDEN} --output-format json")),
            &server,
        ));
        mounted.hear("mounted");
        let path = home.path("mnt/drive-scsi0.img");
        // These are far enough from one another that the kernel asks for each.
        let waiting: Vec<_> = (0..4)
            .map(|number| {
                let path = path.clone();
                let offset = (5 << 22) + (number << 20);
                thread::spawn(move || File::open(path).unwrap().read_at(&mut [0; 512], offset))
            })
            .collect();
        crate::interrupt::wait_until(|| server.requests(&stalled) > 0);
        let file = File::open(&path).unwrap();
        assert_eq!(file.read_at(&mut [0; 4096], 4 << 22).unwrap(), 4096);
        fs::read(home.path("mnt/qemu-server.conf")).unwrap();
        assert_eq!(home.names_in("mnt").len(), 5);
        assert_eq!(mounted.end("TERM").code, Some(0));
        for reader in waiting {
            assert!(reader.join().unwrap().is_err());
        }
    });
}

#[test]
fn a_chunk_that_is_lost_is_an_error_for_its_bytes_and_is_told_once() {
    if !can_mount() {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        fs::remove_file(chunk_file(&home.datastore(), 5)).unwrap();
        let mut mounted = mount(&home, &format!("{GOLDEN} --repository dir:datastore"));
        let file = File::open(home.path("mnt/drive-scsi0.img")).unwrap();
        for offset in [5 << 22, (5 << 22) + 4096, 5 << 22] {
            assert_eq!(errno(file.read_at(&mut [0; 512], offset)), EIO);
        }
        assert_eq!(file.read_at(&mut [0; 512], 4 << 22).unwrap(), 512);
        let told = mounted.hear("read_failed");
        assert_eq!(
            (&told["archive"], &told["position"], &told["kind"]),
            (&"drive-scsi0.img".into(), &5.into(), &"missing".into())
        );
        let ended = mounted.end("INT");
        assert_eq!(ended.code, Some(0));
        assert!(
            ended
                .events
                .iter()
                .all(|event| event["event"] != "read_failed")
        );
    });
}

#[test]
fn another_kind_of_failure_of_the_same_chunk_is_told_too() {
    if !can_mount() {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let chunk = chunk_file(&home.datastore(), 5);
        fs::remove_file(&chunk).unwrap();
        let mut mounted = mount(&home, &format!("{GOLDEN} --repository dir:datastore"));
        let file = File::open(home.path("mnt/drive-scsi0.img")).unwrap();
        assert_eq!(errno(file.read_at(&mut [0; 512], 5 << 22)), EIO);
        assert_eq!(mounted.hear("read_failed")["kind"], "missing");
        fs::write(&chunk, b"no blob").unwrap();
        assert_eq!(errno(file.read_at(&mut [0; 512], 5 << 22)), EIO);
        let ended = mounted.end("INT");
        assert_eq!(ended.last("read_failed")["kind"], "corrupt");
    });
}

#[test]
fn the_warning_of_a_failed_read_names_the_disk() {
    if !can_mount() {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        fs::remove_file(chunk_file(&home.datastore(), 5)).unwrap();
        fs::create_dir(home.path("mnt")).unwrap();
        let arguments = format!("{GOLDEN} --repository dir:datastore");
        let mut command = with_default_signals(&home, &arguments);
        let mut mounted = command.stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(mounted.stderr.take().unwrap());
        let mut lines = said.lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("is mounted on")));
        let file = File::open(home.path("mnt/drive-scsi0.img")).unwrap();
        assert_eq!(errno(file.read_at(&mut [0; 512], 5 << 22)), EIO);
        signal("INT", mounted.id());
        let named =
            lines.any(|line| line.starts_with("warning: a read of drive-scsi0.img failed: "));
        assert!(mounted.wait().unwrap().success());
        assert!(named);
    });
}

#[test]
fn other_users_can_read_it_only_if_that_is_said() {
    if !can_mount()
        || !(is_root() || skip("only root can become another user"))
        || !has(&["setpriv"])
    {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        fs::set_permissions(home.path(".."), Permissions::from_mode(0o755)).unwrap();
        let cat = "setpriv --reuid=65534 --clear-groups cat mnt/qemu-server.conf";
        let mounted = mount(&home, GOLDEN);
        assert!(!shell(&home, cat).0);
        assert_eq!(mounted.end("INT").code, Some(0));
        let mounted = mount(&home, &format!("{GOLDEN} --allow-other"));
        sh(&home, cat);
        let options = mounted_on(&home.path("mnt")).unwrap();
        for part in ["allow_other", "default_permissions", "ro,nosuid,nodev"] {
            assert!(options.contains(part), "{options}");
        }
        assert_eq!(mounted.end("INT").code, Some(0));
    });
}

#[test]
fn what_is_missing_for_a_mount_is_said() {
    let home = Home::new();
    home.write("work/file", "");
    home.run("mount vm/200 missing")
        .expect(8)
        .says("make the folder first");
    home.run("mount vm/200 file").expect(8).says("is no folder");
    if !(is_root() || skip("only root can hide /dev")) || !has(&["unshare"]) {
        return;
    }
    // Where there is no such device. Only this command sees the empty folder.
    fs::create_dir(home.path("mnt")).unwrap();
    let restore = home.command("mount vm/200 mnt");
    let mut command = Command::new("unshare");
    let script = r#"mount -t tmpfs none /dev && exec "$@""#;
    command.args(["--mount", "sh", "-c", script, "sh"]);
    command.arg(restore.get_program()).args(restore.get_args());
    home.settle(&mut command);
    command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    finish(&mut command)
        .expect(8)
        .says("cannot open /dev/fuse")
        .says("modprobe fuse");
}

/// An ext4 file system of which a copy was made while it was mounted, as a backup of a running machine is: its journal
/// was not yet replayed.
fn dirty_ext4(home: &Home) -> Option<Vec<u8>> {
    sh(home, "truncate -s 32M fs.img && mkfs.ext4 -q -F fs.img");
    let device = sh(home, "losetup --find --show fs.img");
    let device = device.trim();
    fs::create_dir(home.path("fs")).unwrap();
    sh(home, &format!("mount {device} fs"));
    fs::create_dir(home.path("fs/folder")).unwrap();
    fs::write(home.path("fs/folder/file"), vec![7; 300_000]).unwrap();
    sh(home, "sync -f fs/folder/file");
    let image = fs::read(device).unwrap();
    sh(home, &format!("umount fs && losetup -d {device}"));
    Some(image)
}

#[test]
fn a_file_system_inside_can_be_mounted_though_its_journal_is_dirty() {
    if !can_mount() || !has(&["mkfs.ext4", "dumpe2fs", "losetup"]) {
        return;
    }
    // Only root has loop devices.
    if Loop::thin(1 << 20).is_none() {
        return;
    }
    within(NEVER, || {
        let home = Home::new();
        let Some(image) = dirty_ext4(&home) else {
            return;
        };
        let clean = fs::read(home.path("fs.img")).unwrap();
        SnapshotBuilder::new(SNAPSHOT)
            .chunk_size(CHUNK)
            .image("dirty.img", Image::from_bytes(image, CHUNK))
            .image("clean.img", Image::from_bytes(clean, CHUNK))
            .write_to(&Folder::new(home.path("store")));
        let mounted = mount(&home, "mount vm/100 mnt --repository dir:store");
        fs::create_dir(home.path("inside")).unwrap();
        for (name, is_dirty) in [("dirty.img", true), ("clean.img", false)] {
            let said = sh(&home, &format!("dumpe2fs -h mnt/{name} 2>/dev/null"));
            assert_eq!(said.contains("needs_recovery"), is_dirty, "{said}");
            sh(&home, &format!("mount -o ro,loop,noload mnt/{name} inside"));
            assert!(fs::read(home.path("inside/folder/file")).unwrap() == vec![7; 300_000]);
            sh(&home, "umount inside");
        }
        assert_eq!(mounted.end("INT").code, Some(0));
    });
}
