//! Watches a restore, and stops it when the user presses Enter.
//!
//! `cargo run --release --example progress_and_cancel -- /path/to/datastore vm/100 drive-scsi0.img disk.raw`

use chunk_restore::{Cancel, Datastore, ErrorKind, Event, FileTarget, Restore};

fn main() -> chunk_restore::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [place, snapshot, archive, file] = &arguments[..] else {
        eprintln!("usage: progress_and_cancel DATASTORE SNAPSHOT ARCHIVE FILE");
        std::process::exit(2);
    };
    let archive = Datastore::open(place)?
        .snapshot(snapshot)?
        .archive(archive)?;

    let cancel = Cancel::new();
    let on_enter = cancel.clone();
    std::thread::spawn(move || {
        if std::io::stdin()
            .read_line(&mut String::new())
            .is_ok_and(|bytes| bytes > 0)
        {
            on_enter.cancel();
        }
    });

    let restore = Restore::new().cancel(&cancel);
    let result = restore.run_with(
        &archive,
        &mut FileTarget::create(file)?,
        |event| match event {
            Event::Progress(report) => print!("\r{} of {} bytes", report.committed, report.len),
            Event::Retried(error) => eprintln!("\ntrying again: {error}"),
            _ => {}
        },
    );
    println!();
    match result {
        Err(error) if error.kind() == ErrorKind::Cancelled => println!("stopped: {error}"),
        result => println!("{}", result?),
    }
    Ok(())
}
