//! The log, and where spans go besides it.

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line
    Json,
    /// For people
    Text,
}

/// The controller's own span, around each of ours, and without more in it.
const REPEATED: &str = "kube_runtime::controller";

/// The log. Dropping it sends the last spans to the collector, if there is one.
#[derive(Debug)]
#[must_use = "the last spans are sent when it is dropped"]
pub struct Logging {
    #[cfg(feature = "otlp")]
    _exporter: Option<super::otlp::Exporter>,
}

/// Starts the log. `collector` is the base URL of an OTLP collector, and counts only with the feature `otlp`;
/// it is spoken to by tasks of the Tokio runtime in which this is called.
///
/// # Errors
/// If the filter cannot be read, the collector's URL is none, or there is a log already.
#[cfg_attr(not(feature = "otlp"), allow(unused_variables))]
pub fn start(filter: &str, format: LogFormat, collector: Option<&str>) -> Result<Logging, String> {
    let parsed = EnvFilter::try_new(filter).map_err(|error| format!("--log {filter:?}: {error}"))?;
    let quiet = format!("{REPEATED}=warn").parse().ok().filter(|_| !filter.contains(REPEATED));
    let parsed = quiet.into_iter().fold(parsed, EnvFilter::add_directive);
    let (text, json) = match format {
        LogFormat::Text => (Some(tracing_subscriber::fmt::layer().with_ansi(false).with_writer(std::io::stderr)), None),
        LogFormat::Json => (None, Some(tracing_subscriber::fmt::layer().json().with_writer(std::io::stderr))),
    };
    let subscriber = tracing_subscriber::registry().with(parsed).with(text).with(json);
    #[cfg(feature = "otlp")]
    let (subscriber, exporter) = {
        let exporter = collector.map(super::otlp::Exporter::new).transpose()?;
        (subscriber.with(exporter.as_ref().map(super::otlp::Exporter::layer)), exporter)
    };
    subscriber.try_init().map_err(|error| format!("the log cannot start: {error}"))?;
    Ok(Logging {
        #[cfg(feature = "otlp")]
        _exporter: exporter,
    })
}
