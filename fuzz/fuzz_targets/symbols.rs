//! Any bytes as a module and its debug file: names.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| symbolizer::fuzz::symbols(bytes));
