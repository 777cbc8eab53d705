//! gitoxide's way to the network: the client's own HTTPS, with its pinned root and its bounds.

use std::io::{self, BufRead, Cursor, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gix_transport::client::blocking_io::http::{self, GetResponse, PostBodyDataKind, PostResponse};

use crate::fleet_manager::{Ask, Caller, Incoming, LinkError};

/// How much of an answer is brought at once, in bytes.
const PIECE: usize = 16 << 10;

/// HTTPS with the token of one repository. Answers are read piece by piece: a large one is never in
/// memory as a whole.
#[derive(Clone)]
pub(super) struct Http {
    caller: Caller,
    authorization: String,
    /// Why the last request failed, in our own words: gitoxide hands on text only.
    failure: Arc<Mutex<Option<LinkError>>>,
}

impl Http {
    pub(super) fn new(caller: Caller, username: &str, token: &str) -> Self {
        let authorization = format!("Basic {}", STANDARD.encode(format!("{username}:{token}")));
        Self { caller, authorization, failure: Arc::default() }
    }

    pub(super) fn open(
        &self,
        ask: Ask,
        url: &str,
        headers: &[String],
        body: Option<&[u8]>,
    ) -> Result<Incoming, LinkError> {
        self.caller.git(ask, url, headers, &self.authorization, body)
    }

    /// Why the last request failed, if one did.
    pub(super) fn failure(&self) -> Option<LinkError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn fail(&self, error: LinkError) -> io::Error {
        let kind = match &error {
            LinkError::Refused { status: 401 | 403, .. } => io::ErrorKind::PermissionDenied,
            _ => io::ErrorKind::Other,
        };
        let text = crate::chain(&error);
        *self.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::new(kind, text)
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
        let incoming = self.open(Ask::GitReferences, url, &headers, None);
        let incoming = incoming.map_err(|error| gix::Error::from_error(self.fail(error)))?;
        let mut lines = Vec::new();
        for (name, value) in incoming.headers() {
            lines.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes()].concat());
            lines.push(b'\n');
        }
        let body = Later::arrived(self.clone(), incoming);
        Ok(GetResponse { headers: Cursor::new(lines), body })
    }

    fn post(
        &mut self,
        url: &str,
        _base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        _body: PostBodyDataKind,
    ) -> gix::Result<PostResponse<Self::Headers, Self::ResponseBody, Self::PostBody>> {
        let outgoing = Outgoing(Arc::default());
        let request = Request {
            url: url.to_owned(),
            headers: headers.into_iter().map(|it| it.as_ref().to_owned()).collect(),
            body: Arc::clone(&outgoing.0),
        };
        // gitoxide checks the type of an answer by its headers, which come with the body here: they
        // are the type that it asked for, or the request fails when it is sent.
        let asked_for = "content-type: application/x-git-upload-pack-result\n";
        let headers = Cursor::new(asked_for.as_bytes().to_vec());
        let body = Later::awaited(self.clone(), request);
        Ok(PostResponse { post_body: outgoing, headers, body })
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

/// The body of an answer. The request is sent when the first byte of it is read: then the request is
/// complete.
pub(super) struct Later {
    http: Http,
    state: LaterState,
    piece: Vec<u8>,
    /// What of the piece was read.
    read: usize,
}

enum LaterState {
    Awaited(Request),
    Arrived(Incoming),
    Failed,
}

struct Request {
    url: String,
    headers: Vec<String>,
    body: Arc<Mutex<Vec<u8>>>,
}

impl Later {
    fn arrived(http: Http, incoming: Incoming) -> Self {
        Self { http, state: LaterState::Arrived(incoming), piece: Vec::new(), read: 0 }
    }

    fn awaited(http: Http, request: Request) -> Self {
        Self { http, state: LaterState::Awaited(request), piece: Vec::new(), read: 0 }
    }

    /// Brings the next piece, when the one before was read.
    fn bring(&mut self) -> Result<(), LinkError> {
        let mut incoming = match std::mem::replace(&mut self.state, LaterState::Failed) {
            LaterState::Awaited(request) => {
                let body = request.body.lock().unwrap_or_else(PoisonError::into_inner).clone();
                self.http.open(Ask::GitObjects, &request.url, &request.headers, Some(&body))?
            }
            LaterState::Arrived(incoming) => incoming,
            LaterState::Failed => {
                return Err(LinkError::Nonsense("it was given up before".to_owned()));
            }
        };
        self.piece.resize(PIECE, 0);
        let length = incoming.read_piece(&mut self.piece);
        self.piece.truncate(*length.as_ref().unwrap_or(&0));
        self.read = 0;
        length?;
        self.state = LaterState::Arrived(incoming);
        Ok(())
    }
}

impl Read for Later {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.read(bytes)?;
        self.consume(length);
        Ok(length)
    }
}

impl BufRead for Later {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read == self.piece.len() {
            self.bring().map_err(|error| self.http.fail(error))?;
        }
        Ok(&self.piece[self.read..])
    }

    fn consume(&mut self, amount: usize) {
        self.read = (self.read + amount).min(self.piece.len());
    }
}
