//! The program `restore`, as its users meet it: run as a program, against a datastore that a real PBS wrote.
#![cfg(all(
    feature = "pbs",
    feature = "https",
    feature = "s3",
    feature = "files",
    feature = "nbd"
))]
#![allow(
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for; also in what it calls"
)]

mod bucket;
mod contents;
mod credentials;
mod damage_map;
mod devices;
#[path = "../disks/mod.rs"]
mod disks;
mod drill;
mod drill_ends;
mod drill_parts;
mod drill_reports;
#[path = "../../examples/restore/due.rs"]
mod due;
mod failures;
mod file_systems;
mod files;
mod files_failing;
mod files_options;
mod files_paths;
mod filling;
mod getting_files;
mod home;
mod interrupt;
mod keys;
mod listing;
mod looking;
mod looking_ends;
mod master_key;
mod mount;
mod mount_files;
mod mount_metadata;
mod naming;
mod network;
mod packages;
mod packing;
mod prompt;
mod range;
mod reach;
mod reading;
mod restoring;
mod reuse;
mod running;
mod salvage;
mod serve;
mod serve_disks;
mod stdout;
mod storage;
mod targets;
mod unmount;
#[path = "../../examples/restore/verified_table.rs"]
#[allow(dead_code, reason = "the program uses more of it than the tests do")]
mod verified_table;
mod vm;
mod vm_config;
mod vm_failing;

use crate::home::Home;

#[test]
fn help_and_version_tell() {
    let home = Home::new();
    let help = home.run("--help").expect(0).text();
    for part in [
        "Exit codes:",
        "130  interrupted",
        "PBS_ENCRYPTION_PASSWORD",
        "PBS_PASSWORD",
        "AWS_ACCESS_KEY_ID",
        "--endpoint",
        "s3://",
        "Examples:",
    ] {
        assert!(help.contains(part), "{help}");
    }
    let version = format!("restore {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(home.run("--version").expect(0).text(), version);
}
