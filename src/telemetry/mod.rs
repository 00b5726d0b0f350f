//! Watching it: metrics, logs, access log.
