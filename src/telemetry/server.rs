//! A small HTTP server for what the operator tells of itself.

use std::{collections::BTreeMap, convert::Infallible, fmt, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// Connections at once; more wait.
const CONNECTIONS: usize = 32;
/// Longest wait for the head of a request, so that nobody holds a connection by saying nothing.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest connection, so that nobody holds one by reading slowly.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a handler answers.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

type Handler = Box<dyn Fn() -> Answer + Send + Sync>;

/// Which path is answered by what.
#[derive(Default)]
pub struct Routes(BTreeMap<&'static str, Handler>);

impl fmt::Debug for Routes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Routes {
    /// Adds a path.
    #[must_use]
    pub fn with(mut self, path: &'static str, handler: impl Fn() -> Answer + Send + Sync + 'static) -> Self {
        self.0.insert(path, Box::new(handler));
        self
    }

    fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let plain = |status: StatusCode| Answer { status, content_type: "text/plain", body: format!("{status}\n") };
        let answer = match self.0.get(request.uri().path()) {
            None => plain(StatusCode::NOT_FOUND),
            Some(_) if !matches!(*request.method(), Method::GET | Method::HEAD) => {
                plain(StatusCode::METHOD_NOT_ALLOWED)
            }
            Some(handler) => handler(),
        };
        let mut response = Response::new(Full::from(answer.body));
        *response.status_mut() = answer.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
        response
    }
}

/// Opens the address, and answers there until the process ends. Gives the address, whose port the system
/// chooses where it is 0.
///
/// # Errors
/// If the address cannot be opened.
pub async fn serve(address: &str, routes: Routes) -> Result<SocketAddr, String> {
    let failed = |error| format!("{address} cannot be opened: {error}");
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    let (routes, turns) = (Arc::new(routes), Arc::new(Semaphore::new(CONNECTIONS)));
    tokio::spawn(async move {
        // The semaphore is never closed, so this goes on.
        while let Ok(turn) = Arc::clone(&turns).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let routes = Arc::clone(&routes);
                    tokio::spawn(async move {
                        converse(stream, routes).await;
                        drop(turn);
                    });
                }
                Err(error) => {
                    // No file handle is left, say: the next try should not come at once.
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    });
    Ok(local)
}

async fn converse(stream: TcpStream, routes: Arc<Routes>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = routes.answer(&request);
        async move { Ok::<_, Infallible>(response) }
    });
    let mut server = http1::Builder::new();
    // One request each: an idle connection would take another one's place.
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).keep_alive(false);
    match tokio::time::timeout(TIMEOUT, server.serve_connection(TokioIo::new(stream), service)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a connection ends early"),
        Err(_) => tracing::debug!("a connection took too long"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_methods_are_told_apart() {
        let answer = || Answer { status: StatusCode::OK, content_type: "text/plain", body: "yes".to_owned() };
        let routes = Routes::default().with("/known", answer);
        let status = |method: Method, path: &'static str| {
            let mut request = Request::new(());
            *request.method_mut() = method;
            *request.uri_mut() = hyper::Uri::from_static(path);
            routes.answer(&request).status().as_u16()
        };
        assert_eq!(status(Method::GET, "/known?x=1"), 200);
        assert_eq!(status(Method::HEAD, "/known"), 200);
        assert_eq!(status(Method::POST, "/known"), 405);
        assert_eq!(status(Method::GET, "/unknown"), 404);
    }
}
