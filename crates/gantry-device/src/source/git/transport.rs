//! gitoxide's way to the network: the client's own HTTPS, with its pinned root and its bounds.

use std::io::{self, BufRead, Cursor, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gix_transport::client::blocking_io::http::{self, GetResponse, PostBodyDataKind, PostResponse};

use crate::announcement;
use crate::gate::Gate;

/// The largest answer of a fetch, in bytes.
const LARGEST_ANSWER: u64 = 256 << 20;

/// HTTPS with the token of one repository.
pub(super) struct Http {
    agent: ureq::Agent,
    authorization: String,
    gate: Option<Arc<Gate>>,
}

impl Http {
    pub(super) fn new(
        agent: ureq::Agent,
        username: &str,
        token: &str,
        gate: Option<Arc<Gate>>,
    ) -> Self {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{username}:{token}")));
        Self { agent, authorization, gate }
    }

    pub(super) fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[String],
        body: Option<&[u8]>,
    ) -> io::Result<(Vec<u8>, Vec<u8>)> {
        let permit = self.gate.as_ref().map(|it| it.permit(&format!("{method} {url}"))).transpose();
        let _permit = permit.map_err(io::Error::other)?;
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        if let Some(value) = self.gate.as_ref().and_then(|it| it.announcement()) {
            request = request.header(announcement::HEADER, value);
        }
        for header in headers {
            if let Some((name, value)) = header.split_once(':') {
                request = request.header(name.trim(), value.trim());
            }
        }
        request = request.header("authorization", &self.authorization);
        let answer = match body {
            Some(body) => self.agent.run(request.body(body).map_err(io::Error::other)?),
            None => self.agent.run(request.body(()).map_err(io::Error::other)?),
        };
        let (parts, mut body) = answer.map_err(io::Error::other)?.into_parts();
        let body = body.with_config().limit(LARGEST_ANSWER).read_to_vec();
        let body = body.map_err(io::Error::other)?;
        match parts.status.as_u16() {
            200 => {}
            status @ (401 | 403) => {
                let text = format!("the fleet manager answers {status}");
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
            }
            status => return Err(io::Error::other(format!("the fleet manager answers {status}"))),
        }
        let mut lines = Vec::new();
        for (name, value) in &parts.headers {
            lines.extend_from_slice(name.as_str().as_bytes());
            lines.extend_from_slice(b": ");
            lines.extend_from_slice(value.as_bytes());
            lines.push(b'\n');
        }
        Ok((lines, body))
    }
}

impl http::Http for Http {
    type Headers = Cursor<Vec<u8>>;
    type ResponseBody = Later;
    type PostBody = Outgoing;

    fn get(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> gix::Result<GetResponse<Self::Headers, Self::ResponseBody>> {
        let headers: Vec<String> = headers.into_iter().map(|it| it.as_ref().to_owned()).collect();
        let (lines, body) =
            self.send("GET", url, &headers, None).map_err(gix::Error::from_error)?;
        Ok(GetResponse { headers: Cursor::new(lines), body: Later::ready(body) })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Self::Headers, Self::ResponseBody, Self::PostBody>> {
        let outgoing = Outgoing(Arc::default());
        let later = Later {
            request: Some(Request {
                http: Self {
                    agent: self.agent.clone(),
                    authorization: self.authorization.clone(),
                    gate: self.gate.clone(),
                },
                url: url.to_owned(),
                headers: headers.into_iter().map(|it| it.as_ref().to_owned()).collect(),
                body: Arc::clone(&outgoing.0),
            }),
            body: Cursor::default(),
        };
        // gitoxide checks the type of an answer by its headers, which come with the body here: they
        // are the type that it asked for, or the request fails when it is sent.
        let asked_for = "content-type: application/x-git-upload-pack-result\n";
        let headers = Cursor::new(asked_for.as_bytes().to_vec());
        Ok(PostResponse { post_body: outgoing, headers, body: later })
    }

    fn configure(&mut self, _config: &dyn std::any::Any) -> gix::Result {
        Ok(())
    }
}

/// The body of a request while it is written.
pub(super) struct Outgoing(Arc<Mutex<Vec<u8>>>);

impl Write for Outgoing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The body of an answer, whose request is sent when the first byte of it is read: then the request
/// is complete.
pub(super) struct Later {
    request: Option<Request>,
    body: Cursor<Vec<u8>>,
}

struct Request {
    http: Http,
    url: String,
    headers: Vec<String>,
    body: Arc<Mutex<Vec<u8>>>,
}

impl Later {
    fn ready(body: Vec<u8>) -> Self {
        Self { request: None, body: Cursor::new(body) }
    }

    fn arrived(&mut self) -> io::Result<&mut Cursor<Vec<u8>>> {
        if let Some(request) = self.request.take() {
            let body = request.body.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (lines, answer) =
                request.http.send("POST", &request.url, &request.headers, Some(&body))?;
            let lines = String::from_utf8_lossy(&lines).to_ascii_lowercase();
            if !lines.contains("application/x-git-upload-pack-result") {
                return Err(io::Error::other("the answer is not one of Git"));
            }
            self.body = Cursor::new(answer);
        }
        Ok(&mut self.body)
    }
}

impl Read for Later {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.arrived()?.read(bytes)
    }
}

impl BufRead for Later {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.arrived()?.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.body.consume(amount);
    }
}
