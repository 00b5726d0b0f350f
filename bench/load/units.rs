//! Runs the unit tests of the load runner's pure parts, which a bench target without harness
//! cannot.

#![cfg(test)]
#![allow(dead_code, reason = "the load runner itself uses the rest")]

mod chunked;
mod error;
mod pattern;
mod proc;
mod stats;
mod wire;
