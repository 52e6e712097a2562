//! Any bytes as files of /proc.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sampler::fuzz::proc_files(bytes));
