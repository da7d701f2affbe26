//! The few text patterns of the rules.

use k8s_openapi::jiff::Timestamp;

/// `^[A-Z][A-Za-z0-9]*$`
pub(super) fn is_camel_case(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase()) && text.chars().all(|char| char.is_ascii_alphanumeric())
}

/// RFC 3339 in UTC without a fraction, as `metav1.Time` is written.
pub(super) fn is_time_in_seconds(text: &str) -> bool {
    text.len() == "2024-01-01T00:00:00Z".len() && text.ends_with('Z') && text.parse::<Timestamp>().is_ok()
}

/// Whether some part looks like the UUID that AWS gives to each request.
pub(super) fn has_uuid(text: &str) -> bool {
    const LENGTH: usize = 36;
    text.as_bytes().windows(LENGTH).any(|window| {
        window.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
    })
}

/// Whether some part looks like an AWS access key ID.
pub(super) fn has_access_key_id(text: &str) -> bool {
    const LENGTH: usize = 20;
    text.as_bytes().windows(LENGTH).any(|window| {
        (window.starts_with(b"AKIA") || window.starts_with(b"ASIA"))
            && window.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    })
}
