//! Plays answers over HTTP/1.1 by hyper. Knows nothing of what they say.

use std::collections::VecDeque;

use std::future::{Future, pending};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::play::{FLUSH, Play, Step};
use super::wire::Control;

/// The answer, or the error that makes hyper drop the connection.
pub(crate) async fn respond(play: Play, control: &Arc<Control>) -> io::Result<Response<PlayBody>> {
    for step in &play.before {
        match step {
            Step::Wait(time) => sleep(*time).await,
            Step::Stall => pending().await,
            step => return Err(end(step, control)),
        }
    }
    let mut response = Response::builder().status(play.status);
    if let Some(len) = play.content_length {
        response = response.header("content-length", len);
    }
    for (name, value) in play.headers {
        response = response.header(name, value);
    }
    let mut steps = play.body;
    let len: usize = steps.iter().map(Step::len).sum();
    if play.content_length.is_some_and(|promised| len < promised) {
        // HTTP/1.1 has no other end of a body that is short.
        steps.push_back(Step::Close);
    }
    let body = PlayBody {
        steps,
        is_flushed: false,
        control: Arc::clone(control),
        sleep: None,
    };
    let response = response.body(body);
    Ok(response.expect("the headers of an answer are valid"))
}

/// The error that ends a connection as the step says.
fn end(step: &Step, control: &Control) -> io::Error {
    match step {
        Step::Close => {}
        Step::Reset => control.reset(),
        step => panic!("HTTP/1.1 has no {step:?}"),
    }
    io::Error::other("the connection ends here")
}

/// A body that is played.
#[derive(Debug)]
pub(crate) struct PlayBody {
    steps: VecDeque<Step>,
    /// Whether what came before the end of the connection had time to reach the socket.
    is_flushed: bool,
    control: Arc<Control>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Body for PlayBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(sleep) = &mut self.sleep {
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
        }
        loop {
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Data(bytes)) if bytes.is_empty() => {}
                Some(Step::Data(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Step::Trickle(mut bytes)) => {
                    if bytes.is_empty() {
                        continue;
                    }
                    let byte = bytes.split_to(1);
                    self.steps.push_front(Step::Trickle(bytes));
                    let until = Instant::now() + Duration::from_secs(1);
                    self.sleep = Some(Box::pin(sleep_until(until)));
                    return Poll::Ready(Some(Ok(Frame::data(byte))));
                }
                Some(Step::Wait(time)) => {
                    let mut sleep = Box::pin(sleep_until(Instant::now() + time));
                    if sleep.as_mut().poll(cx).is_pending() {
                        self.sleep = Some(sleep);
                        return Poll::Pending;
                    }
                }
                Some(Step::Stall) => {
                    self.steps.push_front(Step::Stall);
                    return Poll::Pending;
                }
                Some(step) if self.is_flushed => {
                    return Poll::Ready(Some(Err(end(&step, &self.control))));
                }
                Some(step) => {
                    self.steps.push_front(step);
                    self.steps.push_front(Step::Wait(FLUSH));
                    self.is_flushed = true;
                }
            }
        }
    }
}
