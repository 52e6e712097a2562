//! Any bytes as a perf map: what code is where, and what it is called.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| runtimes::fuzz::perf_map(bytes));
