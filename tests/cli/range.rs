//! Parts of archives, to standard output and into files.

use std::fs;

use crate::home::{GOLDEN_LEN, GOLDEN_RAW, Home, events, sha256};

const IMAGE: &str = "image vm/200 drive-scsi0.img";

/// The whole image, from the golden snapshot.
fn whole(home: &Home) -> Vec<u8> {
    let image = home.run(&format!("{IMAGE} - --quiet")).expect(0).stdout;
    assert_eq!(sha256(&image), GOLDEN_RAW);
    image
}

#[test]
fn a_range_is_what_it_says_to_the_byte() {
    let home = Home::new();
    let whole = whole(&home);
    for (range, start, len) in [
        ("0+1", 0, 1),
        ("4MiB+100", 4 << 20, 100),
        ("4194300+12MiB", 4_194_300, 12 << 20),
        ("20M+1G", 20 << 20, GOLDEN_LEN as usize - (20 << 20)),
        ("25178168+1", 25_178_168, 1),
    ] {
        let run = home
            .run(&format!("{IMAGE} - --range {range} --quiet"))
            .expect(0);
        assert!(run.stdout == whole[start..start + len], "{range}");
    }
    home.run(&format!("{IMAGE} part --range 5000000+9000000"))
        .expect(0);
    assert!(fs::read(home.path("part")).unwrap() == whole[5_000_000..14_000_000]);
    let tree = home.run("get host/tree tree.pxar . --raw").expect(0);
    assert_eq!(tree.stderr, "");
    let part = home
        .run("image host/tree tree.pxar - --range 3000000+1000001 --quiet")
        .expect(0);
    let tree = fs::read(home.path("tree.pxar")).unwrap();
    assert!(part.stdout == tree[3_000_000..4_000_001]);
}

#[test]
fn a_range_fetches_only_what_it_needs() {
    let home = Home::new();
    let told = home
        .run(&format!(
            "{IMAGE} part --range 20MiB+1 --output-format json"
        ))
        .expect(0);
    let told = events(&told.text());
    let restored = told.last().unwrap();
    assert_eq!(restored["chunks"], 1);
    assert_eq!(
        (&restored["len"], &restored["committed"]),
        (&1.into(), &1.into())
    );
}

#[test]
fn ranges_of_nothing_end_with_2() {
    let home = Home::new();
    for (range, why) in [
        ("5", "not a range"),
        ("+5", "begins with a number"),
        ("5+", "begins with a number"),
        ("0+0", "no bytes"),
        ("18446744073709551615+1", "too large"),
        ("25178169+1", "has 25178169 bytes"),
        ("1T+1", "has 25178169 bytes"),
    ] {
        home.run(&format!("{IMAGE} part --range {range}"))
            .expect(2)
            .says(why);
    }
    home.run("image vm/200 qemu-server.conf part --range 0+1")
        .expect(2)
        .says("small file");
    assert!(home.names_in("").is_empty());
}
