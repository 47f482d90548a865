//! The connection of a place that answers one request at a time. Such a place only needs a function
//! that fetches one blob.

use crate::backend::{Answer, Connection, Request};
use crate::error::FetchError;

/// The connection of a place that answers one request at a time. `fetch` puts the blob of a chunk into the request's
/// [`buffer`](Request::buffer).
///
/// An error of `fetch` is the answer to that one request, and `fetch` is called again for the next one. Where `fetch` holds a
/// socket that broke, it must therefore connect anew by itself.
///
/// ```
/// use chunk_restore::backend::{self, Connection, FetchError};
/// use std::{fs::File, io::Read, path::Path};
///
/// fn connection(folder: &Path) -> Box<dyn Connection + '_> {
///     backend::one_by_one(move |request| {
///         let path = folder.join(request.digest().to_string());
///         let file = File::open(path).map_err(FetchError::of_file)?;
///         let mut blob = Vec::new();
///         // One byte more than the limit shows that the file is too long.
///         let most = request.limit() as u64 + 1;
///         file.take(most).read_to_end(&mut blob).map_err(FetchError::of_file)?;
///         request.buffer().extend_from_slice(&blob);
///         Ok(())
///     })
/// }
/// # connection(Path::new("/mnt/chunks"));
/// ```
pub fn one_by_one<'a, F>(fetch: F) -> Box<dyn Connection + 'a>
where
    F: FnMut(&mut Request) -> Result<(), FetchError> + 'a,
{
    Box::new(OneByOne {
        fetch,
        requested: None,
    })
}

struct OneByOne<F> {
    fetch: F,
    requested: Option<Request>,
}

impl<F: FnMut(&mut Request) -> Result<(), FetchError>> Connection for OneByOne<F> {
    fn request(&mut self, request: Request) -> Result<(), FetchError> {
        self.requested = Some(request);
        Ok(())
    }

    fn receive(&mut self) -> Result<Answer, FetchError> {
        let Some(mut request) = self.requested.take() else {
            return Err(FetchError::Fatal("nothing was requested".into()));
        };
        let result = (self.fetch)(&mut request);
        Ok(request.answer(result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::memory::Buffer;

    #[test]
    fn an_error_ends_one_request_and_not_the_connection() {
        let mut calls = 0;
        let mut connection = one_by_one(|request| {
            calls += 1;
            match calls {
                1 => Err(FetchError::Missing),
                _ => {
                    request.buffer().extend_from_slice(b"blob");
                    Ok(())
                }
            }
        });
        let mut ask = |id| {
            let request = Request::new(id, Digest::from([1; 32]), 4, Buffer::new());
            connection.request(request).expect("it takes a request");
            connection.receive().expect("the connection lives")
        };
        let (first, second) = (ask(1), ask(2));
        assert_eq!((first.id(), second.id()), (1, 2));
        assert!(matches!(first.into_blob(), Err(FetchError::Missing)));
        assert_eq!(second.into_blob().expect("it was fetched")[..], *b"blob");
    }
}
