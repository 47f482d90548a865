//! Ctrl-C: the first asks to stop, the second does not wait for it. Knows nothing of what is stopped.

use std::process;

use chunk_restore::Cancel;
use serde_json::json;

use crate::exit::Exit;
use crate::output::Output;

/// Cancelled by SIGINT, SIGTERM and SIGHUP from here on.
///
/// Where one of them was ignored already, as `nohup` does for SIGHUP, all are left as they are: then such a signal goes on
/// being ignored, and any other ends the program at once.
pub(crate) fn watch(output: &Output) -> Cancel {
    let cancel = Cancel::new();
    let asked = cancel.clone();
    let output = *output;
    // It fails for that reason alone.
    let _ = ctrlc::try_set_handler(move || {
        if asked.is_cancelled() {
            process::exit(Exit::Interrupted as i32);
        }
        asked.cancel();
        let text = "stopping; interrupt once more to stop at once";
        output.remark(text, &json!({ "event": "stopping" }));
    });
    cancel
}
