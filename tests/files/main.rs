//! File archives: what a real PBS wrote comes out as it was backed up, and hostile archives are refused.
#![allow(clippy::unwrap_used, reason = "a test that can't be set up has failed")]

mod again;
mod catalog;
mod crafted;
mod damage;
mod decode;
mod decoding;
mod describe;
mod extract;
mod golden;
mod lookup;
mod made;
mod pack_damage;
mod pack_ends;
mod rerun;
mod salvage;
mod selecting;
#[path = "../support/mod.rs"]
mod support;
mod surroundings;
mod tar;
mod unpack;
mod zip;
