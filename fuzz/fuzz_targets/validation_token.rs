#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| graphhook::fuzzing::validation_token(data));
