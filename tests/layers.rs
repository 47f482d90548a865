//! Who may know whom: the arrows between the modules point down only.

#[path = "layers/source.rs"]
mod source;

use std::collections::BTreeSet;

use source::{source, uses};

/// A module and the modules that it may use, from the bottom up. A folder's name stands for all its files.
const MAY_USE: &[(&str, &[&str])] = &[
    ("digest", &[]),
    ("cancel", &[]),
    ("reading", &[]),
    ("error", &["digest", "cancel"]),
    ("sample", &["digest", "error"]),
    ("rate_limit", &["cancel"]),
    ("place", &["error"]),
    ("memory", &["digest"]),
    (
        "net",
        &["digest", "error", "cancel", "rate_limit", "place", "memory"],
    ),
    ("format", &["digest", "error", "memory"]),
    (
        "backend",
        &[
            "digest",
            "error",
            "cancel",
            "rate_limit",
            "place",
            "reading",
            "memory",
            "net",
            "format",
        ],
    ),
    ("datastore", &["digest", "error", "format", "backend"]),
    ("target", &["error", "cancel", "memory"]),
    ("report", &["digest", "error", "format"]),
    (
        "fetch",
        &[
            "digest",
            "error",
            "cancel",
            "memory",
            "rate_limit",
            "format",
            "backend",
            "datastore",
            "target",
            "report",
        ],
    ),
    (
        "restore",
        &[
            "digest",
            "error",
            "cancel",
            "memory",
            "rate_limit",
            "format",
            "backend",
            "datastore",
            "target",
            "report",
            "fetch",
        ],
    ),
    (
        "read",
        &[
            "error",
            "digest",
            "cancel",
            "memory",
            "format",
            "datastore",
            "report",
            "target",
            "fetch",
            "restore",
        ],
    ),
    (
        "files",
        &["error", "datastore", "restore", "read", "target"],
    ),
    ("environment", &["digest", "error", "reading", "format"]),
    ("pve", &["digest", "error", "reading", "place", "format"]),
    (
        "open",
        &[
            "digest",
            "error",
            "cancel",
            "reading",
            "place",
            "net",
            "format",
            "backend",
            "datastore",
            "environment",
            "pve",
        ],
    ),
    ("nbd", &["error", "cancel", "reading", "read"]),
    ("lib", &[]),
];

/// The files of a folder from the bottom up: each may use those before it alone.
const INNER_ORDER: &[(&str, &[&str])] = &[
    (
        "fetch",
        &[
            "failure",
            "health",
            "hang_up",
            "latency",
            "patience",
            "threads",
            "seed",
            "hedge",
            "job",
            "ramp",
            "task",
            "lanes",
            "dispatcher",
            "unanswered",
            "wants",
            "late",
            "retry",
            "answers",
            "stuck",
            "held",
            "worker",
            "fetcher",
            "simulation",
        ],
    ),
    (
        "restore",
        &[
            "repeats",
            "retry_hook",
            "cache",
            "plan",
            "hash_many",
            "scan",
            "window",
            "writer",
            "commit",
            "run",
            "verify",
        ],
    ),
    (
        "nbd",
        &[
            "codec",
            "tally",
            "buffers",
            "link",
            "listener",
            "peers",
            "tls",
            "service",
            "channel",
            "answer",
            "transmission",
            "connection",
            "server",
        ],
    ),
    (
        "read",
        &[
            "report",
            "streams",
            "shelf",
            "filled",
            "shared",
            "fill",
            "driver",
            "extents",
            "cursor",
            "announced",
        ],
    ),
];

/// The files that decide what is fetched: they have no thread, no channel, no I/O and no clock, so that all their rules can be
/// tested by simulation.
const PURE: &[&str] = &[
    "failure",
    "health",
    "latency",
    "patience",
    "ramp",
    "hedge",
    "task",
    "dispatcher",
    "unanswered",
    "wants",
    "late",
    "retry",
    "answers",
    "stuck",
];

/// Kinds of place: they may know the backend's traits, and nobody but `open` may know them.
const PLACES: &[&str] = &["directory", "https", "pbs", "s3"];

/// What kinds of place on the network share: for them alone.
const NETWORK: &[&str] = &["http"];

/// Kinds of target: they know the trait and not each other, and are named by `lib` alone.
const TARGETS: &[&str] = &["device", "file", "stream"];

#[test]
fn arrows_between_modules_point_down() {
    let files = source();
    let mut wrong = Vec::new();
    for (module, text) in &files {
        let top = module
            .split('/')
            .next()
            .expect("split gives at least one part");
        let (_, allowed) = (MAY_USE.iter().find(|(name, _)| *name == top))
            .unwrap_or_else(|| panic!("module {top} is in no layer: add it to MAY_USE"));
        for used in uses(text) {
            let mut parts = used.split("::");
            let (first, second) = (
                parts.next().unwrap_or_default(),
                parts.next().unwrap_or_default(),
            );
            let down = first == top || allowed.contains(&first);
            let apart = if first == "backend" && PLACES.contains(&second) {
                top == "open" || module.starts_with(&format!("backend/{second}"))
            } else if first == "backend" && NETWORK.contains(&second) {
                top == "backend"
            } else if first == "target" && TARGETS.contains(&second) {
                module.ends_with(second)
            } else {
                true
            };
            if !down || !apart {
                wrong.push(format!("{module} uses crate::{used}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_files_of_the_engine_stand_in_one_order() {
    let files = source();
    let mut wrong = Vec::new();
    for (folder, order) in INNER_ORDER {
        let rank = |file: &str| order.iter().position(|name| *name == file);
        for (module, text) in &files {
            let Some(file) = module.strip_prefix(&format!("{folder}/")) else {
                continue;
            };
            let file = file.split('/').next().unwrap_or(file);
            if file == "mod" {
                continue;
            }
            let own = rank(file).unwrap_or_else(|| panic!("{module} has no place in INNER_ORDER"));
            for used in uses(text) {
                let mut parts = used.split("::");
                if parts.next() != Some(folder) {
                    continue;
                }
                let used = rank(parts.next().unwrap_or_default());
                if used.is_some_and(|used| used > own) {
                    wrong.push(format!(
                        "{module} uses {folder}/{}",
                        order[used.unwrap_or(0)]
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_decides_about_fetching_has_no_thread_and_no_clock() {
    let files = source();
    for name in PURE {
        let module = format!("fetch/{name}");
        let folder = format!("{module}/mod");
        let (_, text) = files
            .iter()
            .find(|(file, _)| *file == module || *file == folder)
            .expect("it is there");
        // Their tests may take the time.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in [
            "Instant::now",
            "thread::",
            "crossbeam_channel",
            "std::io",
            "std::fs",
            "sleep(",
        ] {
            assert!(!text.contains(word), "{module} has {word}");
        }
    }
}

#[test]
fn no_async_runtime_is_among_the_normal_dependencies() {
    // Only of the features that this test was built with: the crates of others may never have been downloaded.
    let features = [
        ("pbs", cfg!(feature = "pbs")),
        ("https", cfg!(feature = "https")),
        ("s3", cfg!(feature = "s3")),
        ("files", cfg!(feature = "files")),
        ("nbd", cfg!(feature = "nbd")),
        ("tls", cfg!(feature = "tls")),
        ("master-key", cfg!(feature = "master-key")),
    ];
    let features = features.iter().filter(|(_, is_on)| *is_on);
    let features: Vec<_> = features.map(|(name, _)| *name).collect();
    let output = std::process::Command::new(env!("CARGO"))
        .args(["tree", "--package", "chunk-restore", "--edges", "normal"])
        .args(["--prefix", "none", "--offline", "--no-default-features"])
        .args(["--features", &features.join(",")])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs the tests, so it can be run");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).expect("names of crates are ASCII");
    let crates: BTreeSet<_> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(
        crates.contains("crossbeam-channel"),
        "that is no dependency tree: {tree}"
    );
    for runtime in [
        "tokio",
        "async-std",
        "smol",
        "futures-executor",
        "async-executor",
        "hyper",
        "reqwest",
    ] {
        assert!(!crates.contains(runtime), "{runtime} is a dependency");
    }
}

#[test]
fn no_threads_are_shared_with_the_program_that_embeds_the_library() {
    for (module, text) in source() {
        // Rayon's parallel iterators and slices run in its global pool, which panics where it can't have its threads.
        for call in [
            ".par_",
            "into_par_iter",
            "rayon::join",
            "rayon::scope",
            "rayon::spawn",
        ] {
            assert!(!text.contains(call), "{module} calls {call}");
        }
    }
}

#[test]
fn only_the_layout_knows_where_the_files_of_a_datastore_lie() {
    for (module, text) in source() {
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        for line in lines.filter(|_| module != "backend/layout") {
            for name in [
                "\"index.json.blob",
                "\"client.log.blob",
                "\"rsa-encrypted",
                "\".protected",
                "\".chunks",
                "\".cnt",
                "\"ns/",
                "ns/{",
                "/owner\"",
            ] {
                assert!(!line.contains(name), "{module} knows {name}: {line}");
            }
        }
    }
}

#[test]
fn only_one_file_uses_the_unbuffered_interface_of_rustls() {
    let files = source();
    let users: Vec<_> = files
        .iter()
        .filter(|(_, text)| text.contains("rustls::unbuffered"))
        .map(|(module, _)| module)
        .collect();
    assert_eq!(users, ["net/records"]);
}
