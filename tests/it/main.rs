//! Integration tests: a real proxy on a free port, in front of a real S3 server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::too_many_lines,
    clippy::type_complexity,
    clippy::disallowed_methods,
    clippy::duration_suboptimal_units,
    clippy::format_push_string,
    clippy::large_futures,
    clippy::semicolon_if_nothing_returned,
    clippy::borrow_as_ptr,
    missing_docs,
    unreachable_pub,
    reason = "a failing test may panic, tests look at the clock and the environment, and tables are long"
)]

mod attacks;
mod bucket_keys;
mod commands;
mod copies;
mod cors;
mod customer_keys;
mod deletions;
mod docs;
mod faults;
mod forms;
mod layering;
mod live;
mod model;
mod multipart;
mod objects;
mod outages;
mod providers;
mod recovery;
mod redaction;
mod refusals;
mod relayed;
mod s3ec;
mod semantics;
mod sizes;
mod status;
mod support;
mod tenants;
mod traces;
mod transparency;
mod uploads;
mod webhook;
