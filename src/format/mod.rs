//! The object format, version 1: pure and sans-IO.
