//! The series of one operation, and the classes of statuses.

use std::sync::OnceLock;

use prometheus::{Histogram, IntCounter};

/// Series of one operation, each looked up once, when it is first needed.
#[derive(Default)]
pub(super) struct OperationSeries {
    requests: [OnceLock<IntCounter>; 5],
    pub(super) seconds: OnceLock<Histogram>,
    pub(super) first_byte: OnceLock<Histogram>,
    pub(super) upstream: OnceLock<Histogram>,
}

impl OperationSeries {
    pub(super) fn requests(&self, class: StatusClass) -> &OnceLock<IntCounter> {
        let [informational, success, redirect, client, server] = &self.requests;
        match class {
            StatusClass::Informational => informational,
            StatusClass::Success => success,
            StatusClass::Redirect => redirect,
            StatusClass::ClientError => client,
            StatusClass::ServerError => server,
        }
    }
}

/// The first digit of a status.
#[derive(Clone, Copy)]
pub(super) enum StatusClass {
    Informational,
    Success,
    Redirect,
    ClientError,
    ServerError,
}

impl StatusClass {
    /// Those that alerts divide by each other.
    pub(super) const WATCHED: [Self; 3] = [Self::Success, Self::ClientError, Self::ServerError];

    /// Anything that is no status counts as our error.
    pub(super) fn of(status: u16) -> Self {
        match status {
            100..200 => Self::Informational,
            200..300 => Self::Success,
            300..400 => Self::Redirect,
            400..500 => Self::ClientError,
            _ => Self::ServerError,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirect => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
        }
    }
}
