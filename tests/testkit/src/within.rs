//! A limit for tests of threads: they fail where they would hang. Knows nothing of what it runs.

use std::panic::resume_unwind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Runs `f` on a thread of its own. If it panics, so does the caller, with the same payload.
///
/// # Panics
/// It is not done within the limit. Its thread is then left behind.
pub fn within<T: Send + 'static>(limit: Duration, f: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, is_done) = mpsc::channel();
    let name = thread::current().name().unwrap_or("within").to_owned();
    let thread = thread::Builder::new().name(name);
    let thread = thread.spawn(move || {
        let result = f();
        // Whoever waited too long is gone.
        drop(done.send(result));
    });
    let thread = thread.expect("the system has threads left");
    match is_done.recv_timeout(limit) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => panic!("not done within {limit:?}"),
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(payload) => resume_unwind(payload),
            Ok(()) => unreachable!("it sends before it ends"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_comes_back() {
        assert_eq!(within(Duration::from_secs(10), || 7), 7);
    }

    #[test]
    #[should_panic(expected = "its own words")]
    fn panic_keeps_its_payload() {
        within(Duration::from_secs(10), || panic!("its own words"));
    }

    #[test]
    #[should_panic(expected = "not done within 10ms")]
    fn hanging_is_a_failure() {
        within(Duration::from_millis(10), || {
            thread::sleep(Duration::from_secs(5))
        });
    }
}
