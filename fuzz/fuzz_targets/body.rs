//! Every target: the body that has the name of this program.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| talkoot_fuzz::run(env!("CARGO_BIN_NAME"), data));
