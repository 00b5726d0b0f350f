//! Connections of clients: how many are open, and which never got to send a request.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

/// Where a client connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// For S3 requests.
    S3,
    /// For metrics and health.
    Admin,
}

/// Why a connection ended before a request could be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The system could not accept it: out of file descriptors, most likely.
    Accept,
    /// The TLS handshake failed, or took too long.
    Handshake,
}

/// Counts the connections of one listener.
#[derive(Clone, Debug)]
pub struct Connections {
    open: IntGauge,
    not_accepted: IntCounter,
    bad_handshakes: IntCounter,
}

/// Counts a connection as open for as long as it lives.
#[derive(Debug)]
pub struct Open(IntGauge);

impl Listener {
    const ALL: [Self; 2] = [Self::S3, Self::Admin];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Admin => "admin",
        }
    }
}

impl Connections {
    /// The counts of a listener that shows them to nobody.
    pub fn unshown() -> prometheus::Result<Self> {
        Ok(Self {
            open: IntGauge::new("open", "open")?,
            not_accepted: IntCounter::new("not_accepted", "not accepted")?,
            bad_handshakes: IntCounter::new("bad_handshakes", "bad handshakes")?,
        })
    }

    /// A connection was accepted; it is open until the guard is dropped.
    pub fn opened(&self) -> Open {
        self.open.inc();
        Open(self.open.clone())
    }

    /// A connection ended before a request could be sent.
    pub fn refused(&self, why: Refused) {
        match why {
            Refused::Accept => self.not_accepted.inc(),
            Refused::Handshake => self.bad_handshakes.inc(),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The counts of each listener, which begin at 0.
pub(super) fn all(open: &IntGaugeVec, refused: &IntCounterVec) -> [(Listener, Connections); 2] {
    Listener::ALL.map(|listener| {
        let name = listener.name();
        let counts = Connections {
            open: open.with_label_values(&[name]),
            not_accepted: refused.with_label_values(&[name, "accept"]),
            bad_handshakes: refused.with_label_values(&[name, "handshake"]),
        };
        (listener, counts)
    })
}
