//! A limit for tests of threads: they fail where they would hang. Knows nothing of what it runs.

use std::env;
use std::panic::resume_unwind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// Runs `f` on a thread of its own. If it panics, so does the caller, with the same payload.
///
/// On a slow machine, such as an emulated one, CHUNK_RESTORE_SLOWER says how many times as long the limit is.
///
/// # Panics
/// `f` is not done within the limit, and its thread is left behind; or CHUNK_RESTORE_SLOWER is no number.
pub fn within<T: Send + 'static>(limit: Duration, f: impl FnOnce() -> T + Send + 'static) -> T {
    let limit = limit * slower(env::var("CHUNK_RESTORE_SLOWER").ok().as_deref());
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

fn slower(set: Option<&str>) -> u32 {
    set.map_or(1, |text| {
        text.parse()
            .expect("CHUNK_RESTORE_SLOWER is a whole number")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_grow_as_the_environment_says() {
        assert_eq!([None, Some("1"), Some("20")].map(slower), [1, 1, 20]);
    }

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
    #[should_panic(expected = "not done within")]
    fn hanging_is_a_failure() {
        within(Duration::from_millis(10), || {
            thread::sleep(Duration::from_secs(5))
        });
    }
}
