//! HTTP/1.1 over TLS, as bare as it can be: the load shares two cores with the server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use testkit::fleet::TestFleet;
use testkit::wait::PATIENCE;

const LARGEST_ANSWER: usize = 1 << 20;

/// How to reach a server.
#[derive(Clone)]
pub(crate) struct Way {
    tls: Arc<ClientConfig>,
    /// Host and port.
    authority: String,
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    received: Vec<u8>,
}

impl Way {
    /// To this server, with a full TLS handshake for each connection.
    pub(crate) fn to(fleet: &TestFleet) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(fleet.ca()).expect("the CA file is PEM");
        roots.add(root).expect("the CA file holds a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring can do TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.resumption = Resumption::disabled();
        let authority = fleet.url().trim_start_matches("https://").to_owned();
        Self { tls: Arc::new(tls), authority }
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// Connects, and waits until both ends have agreed on keys.
    pub(crate) fn connect(&self) -> Connection {
        let (host, _) = self.authority.rsplit_once(':').expect("a test fleet has a port");
        let name = ServerName::try_from(host.to_owned()).expect("a host has a name");
        let mut socket = TcpStream::connect(&self.authority).expect("somebody listens");
        socket.set_nodelay(true).expect("a socket takes an option");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket takes a timeout");
        let mut tls = ClientConnection::new(Arc::clone(&self.tls), name).expect("a good name");
        while tls.is_handshaking() {
            tls.complete_io(&mut socket).expect("the server shakes hands");
        }
        Connection { stream: StreamOwned::new(tls, socket), received: Vec::new() }
    }
}

impl Connection {
    /// Sends a whole request, and reads the whole answer. Gives its status.
    pub(crate) fn ask(&mut self, request: &[u8]) -> u16 {
        self.send(request);
        self.receive()
    }

    /// Sends a whole request.
    pub(crate) fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).expect("the server reads");
    }

    /// Reads a whole answer. Gives its status.
    pub(crate) fn receive(&mut self) -> u16 {
        self.received.clear();
        let mut buffer = [0; 4096];
        loop {
            if let Some((status, whole)) = answer(&self.received)
                && self.received.len() >= whole
            {
                return status;
            }
            let count = self.stream.read(&mut buffer).expect("the server answers");
            assert!(count > 0 && self.received.len() < LARGEST_ANSWER, "the answer has an end");
            self.received.extend_from_slice(&buffer[..count]);
        }
    }

    /// The answer to the last request.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }
}

/// The status of an answer and the length of all of it, once its head is there.
fn answer(received: &[u8]) -> Option<(u16, usize)> {
    let head = received.windows(4).position(|it| it == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&received[..head]).expect("headers are text");
    let status = text.split(' ').nth(1).and_then(|it| it.parse().ok()).expect("there is a status");
    let length = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
    });
    let length = length.map_or(0, |it| it.expect("a length is a number"));
    Some((status, head + 4 + length))
}
