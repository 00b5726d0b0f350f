//! Who is calling and what the body claims: pure, `now` and secrets are arguments.
