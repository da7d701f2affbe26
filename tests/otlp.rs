//! Spans reach an OpenTelemetry collector: the operator as a process, and a receiver of the test's own.

// A test fails by an assertion.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::{Request, Response, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use testkit::{
    Result,
    fixture::{SOON, Scenario},
    wait::eventually,
};
use tokio::net::TcpListener;

/// What came in: path, type and body.
type Received = Arc<Mutex<Vec<(String, String, Vec<u8>)>>>;

/// Receives what is posted, and gives its base URL.
async fn receiver(received: Received) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let received = Arc::clone(&received);
            let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                let received = Arc::clone(&received);
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await?.to_bytes().to_vec();
                    let kind = head.headers.get("content-type").and_then(|it| it.to_str().ok()).unwrap_or_default();
                    received.lock().unwrap().push((head.uri.path().to_owned(), kind.to_owned(), body));
                    Ok::<_, hyper::Error>(Response::new(Full::<Bytes>::default()))
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    url
}

/// Strings are as they are in protobuf.
fn says(received: &Received, words: &[&str]) -> bool {
    let has = |body: &[u8], word: &str| body.windows(word.len()).any(|part| part == word.as_bytes());
    let received = received.lock().unwrap();
    words.iter().all(|word| received.iter().any(|(_, _, body)| has(body, word)))
}

#[tokio::test]
async fn passes_and_reconciles_are_sent_as_spans() -> Result<()> {
    let received = Received::default();
    let url = receiver(Arc::clone(&received)).await;
    let operator = env!("CARGO_BIN_EXE_port-aws-operator");
    let mut it = Scenario::builder("otlp", operator).args(["--otlp-endpoint", &url]).start().await?;
    it.integration("aws-prod", |_| ()).await?;
    it.ready("aws-prod").await?;
    // The last spans are sent at the end.
    it.stop_operator().await?;
    let account = it.account().to_owned();
    let words = ["port-aws-operator", "pass", "Ensure", "reconcile", "outcome", "Ready", "aws-prod", &account];
    eventually("the spans", SOON, async || Ok(says(&received, &words).then_some(()))).await?;
    for (path, kind, _) in received.lock().unwrap().iter() {
        assert_eq!((path.as_str(), kind.as_str()), ("/v1/traces", "application/x-protobuf"));
    }
    assert!(!says(&received, &["AKIA"]) && !says(&received, &["ASIA"]), "no credentials");
    it.finish().await
}
