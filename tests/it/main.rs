//! Integration tests: a real proxy on a free port, in front of a real S3 server.

fn main() {}
