//! What is damaged, forged or absurd is refused, for the right reason, and never panics.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

#[path = "../formats_support/mod.rs"]
mod support;

mod chunk;
mod index;
mod key;
mod manifest;
mod name;
mod small;
