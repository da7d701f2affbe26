//! Answers of AWS's query protocol, and the parameters of its requests.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::Refusal;
use crate::world::Params;

/// The parameters in a form.
pub fn parse_form(body: &str) -> Params {
    let decode = |text: &str| percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned();
    let pairs = body.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (decode(key), decode(value))).collect()
}

/// A list among parameters: `prefix.1`, `prefix.2` and so on, each with the same suffix.
pub fn list<'a>(params: &'a Params, prefix: &str, suffix: &str) -> Vec<&'a str> {
    (1..).map_while(|index| params.get(&format!("{prefix}.member.{index}{suffix}")).map(String::as_str)).collect()
}

/// Text with what XML takes for markup escaped.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Text as IAM encodes documents.
pub fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// An element.
pub fn element(name: &str, content: &str) -> String {
    format!("<{name}>{content}</{name}>")
}

/// A list of elements.
pub fn members(name: &str, each: impl Iterator<Item = String>) -> String {
    element(name, &each.map(|content| element("member", &content)).collect::<String>())
}

/// A whole answer.
pub fn answer(action: &str, result: &str) -> String {
    let result = element(&format!("{action}Result"), result);
    element(
        &format!("{action}Response"),
        &format!("{result}<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>"),
    )
}

/// A whole refusal.
pub fn refusal(refusal: &Refusal) -> String {
    let Refusal { code, .. } = refusal;
    format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>refused</Message></Error><RequestId>1</RequestId></ErrorResponse>"
    )
}

/// A moment in seconds since 1970, as XML has it.
pub fn moment(seconds: i64) -> String {
    k8s_openapi::jiff::Timestamp::from_second(seconds).unwrap_or_default().to_string()
}
