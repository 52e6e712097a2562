//! Any bytes as the payload of an item.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| profile::wire::fuzz::received(bytes));
