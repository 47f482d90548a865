//! The output of a zip archive. It remembers why a write failed, and takes nothing after the end.
//!
//! [`zip::ZipWriter`] writes the end of the archive when it is dropped, also after an error. An
//! archive that is cut off must not look whole, so the sink drops all bytes after the first error.

use std::cell::RefCell;
use std::io::{self, BufWriter, Write};

use ::zip::result::ZipError;

use crate::error::{Error, ErrorKind};
use crate::files::pack::{WRITE_LEN, output_error};

pub(super) struct Sink<W: Write>(RefCell<State<W>>);

struct State<W: Write> {
    output: BufWriter<W>,
    is_closed: bool,
    /// Why a write failed.
    error: Option<io::Error>,
}

impl<W: Write> Sink<W> {
    pub(super) fn new(output: W) -> Sink<W> {
        Sink(RefCell::new(State {
            output: BufWriter::with_capacity(WRITE_LEN, output),
            is_closed: false,
            error: None,
        }))
    }

    /// Takes no more bytes.
    pub(super) fn close(&self) {
        self.0.borrow_mut().is_closed = true;
    }

    /// The error that a failure of the zip archive comes from.
    pub(super) fn error(&self, error: ZipError) -> Error {
        match (self.0.borrow_mut().error.take(), error) {
            (Some(error), _) | (None, ZipError::Io(error)) => output_error(error),
            (None, error) => {
                Error::new(ErrorKind::Target, "the zip archive can't be written").because(error)
            }
        }
    }
}

impl<W: Write> Write for &Sink<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .borrow_mut()
            .try_to(|output| output.write(bytes), bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().try_to(BufWriter::flush, ())
    }
}

impl<W: Write> State<W> {
    fn try_to<T>(
        &mut self,
        write: impl FnOnce(&mut BufWriter<W>) -> io::Result<T>,
        if_closed: T,
    ) -> io::Result<T> {
        if self.is_closed {
            return Ok(if_closed);
        }
        write(&mut self.output).map_err(|error| {
            let kind = error.kind();
            if kind != io::ErrorKind::Interrupted {
                self.is_closed = true;
                self.error = Some(error);
            }
            kind.into()
        })
    }
}
