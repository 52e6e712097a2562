//! Any bytes as the memory of a CPython: its threads, their stacks, what their frames are named by.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| runtimes::fuzz::python(bytes));
