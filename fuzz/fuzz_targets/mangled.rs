//! Any text as a mangled name.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| symbolizer::fuzz::mangled(bytes));
