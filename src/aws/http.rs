//! One HTTP client for all calls to AWS.

use std::sync::OnceLock;

use aws_smithy_http_client::{
    Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnectorSettings, SharedHttpConnector},
    runtime_components::RuntimeComponents,
};

/// The connector that the SDK would make by default, but made once. A service client that is given none
/// makes two of its own, and there is a service client for each pass: each would parse all roots of trust
/// again, and none would find a connection that another has left open.
///
/// Its timeouts are those of the first call, as they are the same for all.
#[derive(Debug, Default)]
pub(super) struct OneConnector(OnceLock<SharedHttpConnector>);

impl HttpClient for OneConnector {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let make = || {
            let mut connector = Connector::builder()
                .tls_provider(Provider::Rustls(CryptoMode::AwsLc))
                .connector_settings(settings.clone())
                .proxy_config(ProxyConfig::from_env());
            connector.set_sleep_impl(components.sleep_impl());
            SharedHttpConnector::new(connector.build())
        };
        self.0.get_or_init(make).clone()
    }
}
