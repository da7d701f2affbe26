//! The parser of policy documents, with any bytes.
#![no_main]

#[path = "../../fuzzing/checks.rs"]
#[allow(dead_code)]
mod checks;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    checks::policy_text(&text);
    if let Ok(document) = serde_json::from_str(&text) {
        checks::policy_document(&document);
    }
});
