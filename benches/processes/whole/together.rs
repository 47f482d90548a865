//! Many restores at once in one process, against as many one after another. Knows nothing of what is in them.

use std::cell::RefCell;
use std::thread;

use crate::cells::{Cell, Content, Disk, Place, Scale};
use crate::child::Task;
use crate::compare::Compared;
use crate::lab::Lab;
use crate::measure::{Figures, Used};
use crate::support::null::Null;

/// Restores.
const MANY: usize = 64;

/// Speed and memory of small restores, all at once.
pub(crate) fn compared(lab: &RefCell<Lab>, scale: Scale) -> Vec<Compared> {
    let disk = Disk::new(Content::Typical, scale.len / 16);
    let cell = Cell::new(Place::Pbs, disk, 7, 0);
    let mut peaks = Vec::new();
    let speed = Compared::ratio(
        &format!("speed, pbs, 7 ms, {MANY} restores at once / one after another"),
        "",
        scale.pairs,
        || {
            let run = lab.borrow_mut().work("together", cell);
            peaks.push(run.peak_mib());
            run.speed()
        },
        || lab.borrow_mut().work("apart", cell).speed(),
    );
    let name = format!("peak RSS, MiB, {MANY} restores at once");
    vec![speed, Compared::plain(&name, "", peaks)]
}

/// All restores at once, each on a thread of its own.
pub(crate) fn together(task: &Task) -> Figures {
    measure(task, |restore| {
        thread::scope(|scope| {
            for _ in 0..MANY {
                scope.spawn(restore);
            }
        });
    })
}

/// One restore after another.
pub(crate) fn apart(task: &Task) -> Figures {
    measure(task, |restore| (0..MANY).for_each(|_| restore()))
}

/// One archive and one `Restore` for all of them, as a program would have that restores a batch.
fn measure(task: &Task, run: impl FnOnce(&(dyn Fn() + Sync))) -> Figures {
    let archive = task.remote();
    let restore = task.restore();
    let used = Used::now();
    run(&|| {
        let report = restore.run(&archive, &mut Null);
        report.expect("the place is sound");
    });
    Figures {
        logical: (MANY as u64 * task.number("len")) as f64,
        ..used.figures()
    }
}
