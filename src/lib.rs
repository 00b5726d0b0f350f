//! s3seal: a transparent client-side-encryption proxy in front of S3.
//!
//! Objects are encrypted before they leave, under a fresh data key per object that is wrapped by a
//! key-encryption key the storage provider never holds. See the [`manual`] for
//! what is promised, and [`mod@format`] for the bytes that are stored.
//!
//! # The rooms
//!
//! A directory is a room with one job. Rooms only look down this list; `tests/it/layering.rs`
//! holds the rule.
//!
//! | layer | room | job |
//! |---|---|---|
//! | 0 | [`secret`], [`s3`], [`keys::types`] | secrets, the S3 protocol as data, names of keys: pure |
//! | 1 | [`mod@format`], [`s3ec`], [`auth`] | the object format; one that is read only, of the Amazon S3 Encryption Client; who is calling and what the body claims: pure, sans-IO |
//! | 2 | `body`, `upstream`, [`keys`] | streaming adapters, the real S3, the key hierarchy |
//! | 3 | `error`, `telemetry` | every failure as an S3 error; metrics, logs and traces |
//! | 4 | `ops`, `bulk` | one file per operation that is not a plain forward; commands that walk a prefix |
//! | 5 | `proxy` | one request through the house |
//! | 6 | `server`, `webhook`, `app`, `cli`, `dev` | sockets, the admission webhook of Kubernetes, composition root, commands |
//!
//! `config` is plain data: each room reads its own part of it.
//!
//! With `default-features = false` only the pure rooms are built: enough to parse, seal and open
//! stored objects, and what the fuzz targets link against.

#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation,
        clippy::struct_field_names,
        reason = "a failing test may panic"
    )
)]

pub mod auth;
pub mod format;
pub mod keys;
pub mod manual;
pub mod s3;
pub mod s3ec;
pub mod secret;

#[cfg(feature = "proxy")]
pub mod app;
#[cfg(feature = "proxy")]
pub mod aws;
#[cfg(feature = "proxy")]
pub mod body;
#[cfg(feature = "proxy")]
pub mod bulk;
#[cfg(feature = "proxy")]
pub mod cli;
#[cfg(feature = "proxy")]
pub mod config;
#[cfg(feature = "dev")]
pub mod dev;
#[cfg(feature = "proxy")]
pub mod error;
#[cfg(feature = "proxy")]
pub mod ops;
#[cfg(feature = "proxy")]
pub mod proxy;
#[cfg(feature = "proxy")]
pub mod server;
#[cfg(feature = "proxy")]
pub mod telemetry;
#[cfg(feature = "proxy")]
pub mod upstream;
#[cfg(feature = "proxy")]
pub mod webhook;
