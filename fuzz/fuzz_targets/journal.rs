//! Any bytes found in the state folder, told by a server or given as a DSN.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| agent::ship::fuzz::shipped(bytes));
