//! The `s3seal` program: everything it does is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    s3seal::cli::main()
}
