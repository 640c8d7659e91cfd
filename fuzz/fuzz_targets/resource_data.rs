#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| graphhook::fuzzing::resource_data(data));
