//! Every kind of key provider against the real thing: the contract, and what is its own.

mod aws_kms;
pub mod bao;
mod contract;
pub mod gate;
mod hsm;
mod kubernetes;
mod local;
pub mod moto;
mod pkcs11;
mod tls;
mod transit;
