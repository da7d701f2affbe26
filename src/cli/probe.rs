use std::{
    io::{Read as _, Write as _},
    net::{TcpStream, ToSocketAddrs as _},
    thread,
    time::{Duration, Instant},
};

/// `port-aws-operator probe`: for an image that has no other HTTP client. Plain HTTP, as the operator serves it.
#[derive(Debug, clap::Args)]
pub struct ProbeArgs {
    /// What is asked, as <http://HOST:PORT/PATH>
    #[arg(value_name = "URL")]
    pub url: String,

    /// Seconds within which the answer has to become 200; 0 means that it is asked once
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub wait: u64,
}

const TIMEOUT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);
/// More of an answer is not read: its first line decides.
const MAX_ANSWER: u64 = 64 << 10;

impl ProbeArgs {
    /// Asks until the answer is 200, or until the time is over.
    ///
    /// # Errors
    /// If the last answer was another one, or there was none.
    pub fn run(&self) -> Result<(), String> {
        let (host, path) = parse(&self.url)?;
        let end = Instant::now() + Duration::from_secs(self.wait);
        loop {
            // A new connection each time: the first one to a new Service may be lost.
            let error = match ask(host, path) {
                Ok((200, _)) => return Ok(()),
                Ok((status, body)) => format!("{}: status {status}: {}", self.url, body.trim()),
                Err(error) => format!("{}: {error}", self.url),
            };
            if Instant::now() + PAUSE > end {
                return Err(error);
            }
            thread::sleep(PAUSE);
        }
    }
}

/// Host with port, and path.
fn parse(url: &str) -> Result<(&str, &str), String> {
    let rest = url.strip_prefix("http://").ok_or_else(|| format!("{url}: not an address of the kind http://"))?;
    let slash = rest.find('/').unwrap_or(rest.len());
    let (host, path) = rest.split_at(slash);
    Ok((host, if path.is_empty() { "/" } else { path }))
}

/// The status of the answer, and its text.
fn ask(host: &str, path: &str) -> Result<(u16, String), String> {
    let failed = |error: std::io::Error| error.to_string();
    let address = host.to_socket_addrs().map_err(failed)?.next().ok_or("no such host")?;
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT).map_err(failed)?;
    stream.set_read_timeout(Some(TIMEOUT)).map_err(failed)?;
    stream.set_write_timeout(Some(TIMEOUT)).map_err(failed)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(failed)?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).map_err(failed)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|text| text.parse().ok()).ok_or("the answer is not HTTP")?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Ok((status, body.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that gives one answer after the other.
    fn serve(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 1024];
                let length = stream.read(&mut request).unwrap();
                assert!(request[..length].starts_with(b"GET /readyz HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        format!("http://{address}/readyz")
    }

    const NOT_YET: &str = "HTTP/1.1 503 Service Unavailable\r\n\r\nnot yet\n";
    const READY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

    #[test]
    fn it_asks_again_until_the_answer_is_good() {
        assert_eq!(ProbeArgs { url: serve(&[NOT_YET, READY]), wait: 60 }.run(), Ok(()));
    }

    #[test]
    fn asked_once_a_bad_answer_is_told() {
        let error = ProbeArgs { url: serve(&[NOT_YET, READY]), wait: 0 }.run().unwrap_err();
        assert!(error.ends_with("status 503: not yet"), "{error}");
    }

    #[test]
    fn what_is_no_http_is_an_error() {
        assert!(ProbeArgs { url: serve(&["SSH-2.0\r\n"]), wait: 0 }.run().is_err());
        assert!(ProbeArgs { url: "https://127.0.0.1/".to_owned(), wait: 60 }.run().is_err());
        assert!(ProbeArgs { url: "http://127.0.0.1:1".to_owned(), wait: 0 }.run().is_err());
    }

    #[test]
    fn a_path_may_be_missing() {
        assert_eq!(parse("http://a:1/b/c"), Ok(("a:1", "/b/c")));
        assert_eq!(parse("http://a:1"), Ok(("a:1", "/")));
    }
}
