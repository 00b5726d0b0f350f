//! Tells the program which compiler built it. The commit is for whoever builds to tell, in
//! `S3SEAL_COMMIT`: sources do not always come with their history.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=RUSTC");
    let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(compiler).arg("--version").output();
    let said = said.map(|it| it.stdout).unwrap_or_default();
    let said = String::from_utf8_lossy(&said);
    println!("cargo::rustc-env=S3SEAL_RUSTC={}", said.trim());
}
