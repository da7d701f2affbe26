//! The types of the resources and what is decided by them, with any JSON: an integration and an access object,
//! one after the other.
#![no_main]

#[path = "../../fuzzing/checks.rs"]
#[allow(dead_code)]
mod checks;

use serde_json::{Deserializer, Value};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut values = Deserializer::from_slice(data).into_iter::<Value>();
    if let (Some(Ok(integration)), Some(Ok(access))) = (values.next(), values.next()) {
        checks::resources(integration, access);
    }
});
