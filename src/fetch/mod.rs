//! Fetches chunks: from several places, many at once, with retries, other places and hedged requests.
//!
//! A consumer [wants](Want) chunks, and hears of each what became of it ([`Outcome`]). Between the two stand
//!
//! - the `Dispatcher`, which decides which chunk is asked for next, at which place, and what becomes of an answer. It has no
//!   threads, does no I/O and has no clock, so that all of its rules are tested by simulation;
//! - a lane of workers for each place: threads that fetch and decode, each over a connection of its own;
//! - the [`Fetcher`], which joins the two, and which the consumer drives from one thread.
//!
//! The consumer decides in which order it wants chunks, and what it does with them.
//!
//! # What bounds how much is in flight
//!
//! Each bound holds below the one before it:
//!
//! | bound | of | where |
//! |---|---|---|
//! | memory: each chunk from its want to its end | a consumer | `memory::MemoryShare`, `Fetcher::set_slots` |
//! | jobs with the workers: twice the requests in flight, and 32 at the least where these adapt | a lane | `Dispatcher::has_room` |
//! | requests in flight: the number that was asked for, or what the latency shows to be of use | a lane | `InFlightRamp` |
//! | the same, until the first answer comes: few, and more the longer it takes | a lane | `unanswered.rs` |
//! | the same, after the place asked for less: half, and slowly more again | a lane | `InFlightRamp::record_refusal` |
//! | an equal part of the lane's; and two more requests for the worker that a reader's lane keeps for urgent jobs | a worker | `LaneSettings::share_of` |
//! | streams that the peer takes | a connection | `Connection::depth` |
//! | chunks that are decoded at once; in a reader's lane, those that nobody waits for leave one to the others | all runs together | `memory::DecodePermits` |
//!
//! # What bounds the time
//!
//! | what happens | what is done | where |
//! |---|---|---|
//! | a chunk is missing, corrupt or unreadable | the next place, then another look at all | `retry.rs` |
//! | a place refuses, or can't be reached | the next place; pauses that grow; the chunk loses no attempt | `retry.rs` |
//! | a place fails three times in a row | it is left aside, and tried with one chunk at a time | `health.rs` |
//! | a chunk is late | a second request, and the first answer counts | `hedge.rs` |
//! | a connection is far slower than others | it is ended | `stuck.rs` |
//! | a chunk does not come over three connections, while others do | the want fails | `retry.rs` |
//! | nothing comes for as long as there is patience | the want fails | `stuck.rs`, `patience.rs` |

mod answers;
mod dispatcher;
mod failure;
mod fetcher;
mod hang_up;
mod health;
mod hedge;
mod held;
mod job;
mod lanes;
mod late;
mod latency;
mod patience;
mod ramp;
mod retry;
pub(crate) mod seed;
#[cfg(test)]
mod simulation;
mod stuck;
mod task;
mod threads;
mod unanswered;
mod wants;
mod worker;

pub(crate) use dispatcher::{Outcome, Rules, Tally};
pub(crate) use fetcher::{FetchSettings, Fetcher};
pub(crate) use hedge::HedgeRules;
pub(crate) use job::Urgency;
pub(crate) use lanes::{Part, Staff, hedging_lanes, lanes_of};
pub(crate) use task::Want;
pub(crate) use threads::Threads;
