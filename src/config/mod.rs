//! What the operator asked for: plain data, no behaviour.
