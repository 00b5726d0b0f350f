//! Sockets, and nothing of S3.
