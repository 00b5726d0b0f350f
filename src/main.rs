//! The `s3seal` program: everything it does is in the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A request makes some hundred small allocations on one thread and frees them there.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    s3seal::cli::main()
}
