//! Any bytes as call frame information, registers and a stack: a walk.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| unwinder::fuzz::cfi(bytes));
