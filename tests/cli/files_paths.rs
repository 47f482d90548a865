//! Paths and patterns of `restore files` that lead to nothing, or can't be meant.

use testkit::pxar::Layout;

use crate::files::{made, run, small_tree};
use crate::home::{Home, events};

#[test]
fn a_bracket_that_nothing_closes_is_refused() {
    let home = Home::new();
    made(&home, &small_tree(), &Layout::v1());
    for arguments in ["--pattern [abc", "var/[ab", "--pattern ** --pattern ![a"] {
        run(&home, &format!("files host/made root.pxar out {arguments}"))
            .expect(2)
            .says("has a `[` without a `]`");
    }
    run(&home, "find host/made root.pxar [ab").expect(2);
    assert_eq!(home.names_in(""), ["store"]);
}

#[test]
fn a_path_in_place_of_the_folder_is_recognised() {
    let home = Home::new();
    made(&home, &small_tree(), &Layout::v1());
    for path in ["etc/hosts", "./etc/hosts"] {
        run(&home, &format!("files host/made root.pxar {path}"))
            .expect(2)
            .says(&format!(
                "{path} is in root.pxar, and no folder is named to extract it into"
            ))
            .says(&format!("`restore files host/made root.pxar DIR {path}`"));
    }
    run(&home, "files host/made root.pxar")
        .expect(2)
        .says("<DIR>");
    assert_eq!(home.names_in(""), ["store"]);
    // A folder may have the name of a directory of the archive.
    run(&home, "files host/made root.pxar etc").expect(0);
    assert!(home.path("etc/etc/hosts").exists());
}

#[test]
fn what_matches_nothing_is_named() {
    let home = Home::new();
    made(&home, &small_tree(), &Layout::split());
    let command =
        "files host/made root.pxar out usr/*.conf var/*.gz --pattern *.bak --pattern !*.tmp";
    let told = run(&home, command).expect(0);
    assert_eq!(
        told.stderr,
        "warning: root.pxar: nothing matches '/usr/*.conf'\n\
         warning: root.pxar: nothing matches '*.bak'\n"
    );
    assert!(home.path("out/var/a.gz").exists());
    let told = run(
        &home,
        &format!("{command} --output-format json --overwrite --allow-existing-dirs"),
    );
    let told = events(&told.expect(0).text());
    let of_sort = |sort: &str| told.iter().filter(|event| event["event"] == sort).count();
    assert_eq!(
        (of_sort("unmatched"), of_sort("extracted")),
        (2, 1),
        "{told:?}"
    );
    assert_eq!(told[told.len() - 2]["pattern"], "*.bak");
}

#[test]
fn a_path_that_is_not_there_makes_nothing() {
    let home = Home::new();
    made(&home, &small_tree(), &Layout::v1());
    for (path, advice) in [
        (
            "etc/host",
            "`restore find host/made root.pxar PATTERN` looks for files",
        ),
        (
            "nowhere/at/all",
            "`restore find host/made root.pxar PATTERN` looks for files",
        ),
        ("etc/hosts/x", "etc/hosts is no directory"),
        (
            "etc/link/x",
            "etc/link is a symbolic link to hosts, and links are not followed",
        ),
    ] {
        run(&home, &format!("files host/made root.pxar out var {path}"))
            .expect(5)
            .says(advice);
    }
    run(&home, "files host/made root.pxar out ../etc").expect(2);
    run(&home, "files host/made other.pxar out").expect(5);
    run(&home, "files host/made root.img out")
        .expect(2)
        .says("is no file archive");
    run(&home, "files host/made root.pxar no/such/folder")
        .expect(8)
        .says("no/such/folder");
    assert_eq!(home.names_in(""), ["store"]);
}
