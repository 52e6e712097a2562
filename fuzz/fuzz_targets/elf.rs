//! Any bytes as a mapped file: its layout, and the unwind information in it.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unwinder::fuzz::elf(bytes));
