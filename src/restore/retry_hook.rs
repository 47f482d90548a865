//! `RetryHook`: hears why readers ask for a chunk again.

use std::fmt;
use std::sync::Arc;

use crate::error::Error;

type Hook = dyn Fn(&Error) + Send + Sync;

/// Hears why a chunk is asked for again. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct RetryHook(Option<Arc<Hook>>);

impl RetryHook {
    pub(crate) fn new(hook: impl Fn(&Error) + Send + Sync + 'static) -> RetryHook {
        RetryHook(Some(Arc::new(hook)))
    }

    pub(crate) fn call(&self, error: &Error) {
        if let Some(hook) = &self.0 {
            hook(error);
        }
    }
}

impl fmt::Debug for RetryHook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RetryHook").field(&self.0.is_some()).finish()
    }
}
