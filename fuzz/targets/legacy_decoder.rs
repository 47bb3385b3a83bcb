#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| quintet_testkit::fuzz::legacy_decoder::run(bytes));
