//! The binary: hands over to the library, which the tests use too.

use std::process::ExitCode;

fn main() -> ExitCode {
    agent::main()
}
