//! Hands what libFuzzer makes up to `annals::fuzzing::lines`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| annals::fuzzing::lines(input));
