//! Integration tests: a real proxy on a free port, in front of a real S3 server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::duration_suboptimal_units,
    clippy::format_push_string,
    clippy::large_futures,
    clippy::semicolon_if_nothing_returned,
    clippy::borrow_as_ptr,
    clippy::too_many_lines,
    clippy::type_complexity,
    missing_docs,
    unreachable_pub,
    reason = "a failing test may panic, and tests look at the clock and the environment"
)]

mod faults;
mod layering;
mod objects;
mod redaction;
mod refusals;
mod relayed;
mod support;
mod transparency;
