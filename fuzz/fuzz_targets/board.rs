//! Any memory as a board.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| profile::board::fuzz(bytes));
