//! Any bytes as an envelope.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| profile::wire::fuzz::envelope(bytes));
