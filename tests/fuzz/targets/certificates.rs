//! See `svcops::fuzzing::check_certificates`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| svcops::fuzzing::check_certificates(bytes));
