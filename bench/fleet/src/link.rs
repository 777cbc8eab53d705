//! The way to the server: HTTP/1.1 over TLS 1.3, with one root and the patience of the device client. Each
//! client keeps a ticket of its own, with which its next connection resumes the session.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, NamedGroup, RootCertStore};
use testkit::fleet::TestFleet;
use tokio::net::TcpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// As `gantry-device` has them.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
const WHOLE_PATIENCE: Duration = Duration::from_secs(60);
/// One address has some 28,000 ports, of which each connection takes one.
const ADDRESSES: u32 = 64;
/// Files that are open for other reasons than a connection.
const OTHER_FILES: u64 = 500;

/// How to reach one server.
pub(crate) struct Way {
    tls: ClientConfig,
    name: ServerName<'static>,
    /// Host and port.
    authority: String,
    port: u16,
    sockets: Arc<Semaphore>,
    dialled: AtomicU32,
}

/// The newest ticket of one client.
#[derive(Default)]
pub(crate) struct Ticket(Mutex<Option<Tls13ClientSessionValue>>);

/// A way to one client's answers: the connection that is open, else a new one. Dropped, it is closed.
pub(crate) struct Connection {
    way: Arc<Way>,
    ticket: Arc<Ticket>,
    open: Option<Open>,
}

struct Open {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

/// What the server said.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("nobody takes the connection")]
    Connect(#[source] std::io::Error),
    #[error("the connection broke")]
    Broken(#[from] hyper::Error),
    #[error("it took too long")]
    Timeout,
}

impl Way {
    pub(crate) fn to(fleet: &TestFleet) -> Self {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(fleet.ca()).expect("the CA file is PEM");
        roots.add(root).expect("the CA file holds a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("ring can do TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let authority = fleet.url().trim_start_matches("https://").to_owned();
        let (host, port) = authority.rsplit_once(':').expect("a test fleet has a port");
        Self {
            tls,
            name: ServerName::try_from(host.to_owned()).expect("a host has a name"),
            port: port.parse().expect("a port is a number"),
            sockets: Arc::new(Semaphore::new(most_sockets())),
            dialled: AtomicU32::new(0),
            authority,
        }
    }

    /// What resumes the session of this ticket if it holds. Nothing is sent before somebody asks.
    pub(crate) fn connection(self: &Arc<Self>, ticket: &Arc<Ticket>) -> Connection {
        Connection { way: Arc::clone(self), ticket: Arc::clone(ticket), open: None }
    }

    async fn connect(&self, ticket: &Arc<Ticket>) -> Result<Open, LinkError> {
        let sockets = Arc::clone(&self.sockets).acquire_owned().await;
        let socket = sockets.expect("the semaphore is never closed");
        let connected = timeout(CONNECT_PATIENCE, self.connect_with(socket, ticket)).await;
        connected.map_err(|_| LinkError::Timeout)?
    }

    async fn connect_with(
        &self,
        permit: OwnedSemaphorePermit,
        ticket: &Arc<Ticket>,
    ) -> Result<Open, LinkError> {
        let number = self.dialled.fetch_add(1, Ordering::Relaxed) % ADDRESSES;
        let own = Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + number);
        let connect = async {
            let socket = TcpSocket::new_v4()?;
            socket.bind(SocketAddr::from((own, 0)))?;
            let stream = socket.connect((Ipv4Addr::LOCALHOST, self.port).into()).await?;
            stream.set_nodelay(true)?;
            let mut tls = self.tls.clone();
            tls.resumption = Resumption::store(Arc::clone(ticket) as Arc<dyn ClientSessionStore>);
            TlsConnector::from(Arc::new(tls)).connect(self.name.clone(), stream).await
        };
        let stream = connect.await.map_err(LinkError::Connect)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move {
            let _held = permit;
            // A request that waits hears of an error too.
            drop(connection.await);
        });
        Ok(Open { sender, driver })
    }
}

impl Connection {
    /// Host and port, as requests name them.
    pub(crate) fn authority(&self) -> &str {
        &self.way.authority
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, LinkError> {
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.way.connect(&self.ticket).await?,
        };
        let answer = timeout(WHOLE_PATIENCE, open.ask(request)).await;
        let answer = answer.map_err(|_| LinkError::Timeout)??;
        if answer.header("connection") != Some("close") {
            self.open = Some(open);
        }
        Ok(answer)
    }

    /// Keeps the connection until the server ends it, as the device client does with one that it is not
    /// going to use soon.
    pub(crate) fn leave_open(self) {
        let Some(Open { sender, driver }) = self.open else { return };
        tokio::spawn(async move {
            drop(driver.await);
            drop(sender);
        });
    }
}

impl Open {
    async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Answer, LinkError> {
        self.sender.ready().await?;
        let (parts, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer { status: parts.status, headers: parts.headers, body })
    }
}

impl Answer {
    /// A header, if it is there and is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How long the server asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.parse().ok().map(Duration::from_secs)
    }

    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// As many connections as this process may have files for; who comes later waits.
fn most_sockets() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    let most = limit.unwrap_or(u64::MAX).saturating_sub(OTHER_FILES);
    usize::try_from(most).unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS)
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

impl ClientSessionStore for Ticket {
    fn set_kx_hint(&self, _server: ServerName<'static>, _group: NamedGroup) {}

    fn kx_hint(&self, _server: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _server: ServerName<'static>, _value: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _server: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _server: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _server: ServerName<'static>, value: Tls13ClientSessionValue) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    fn take_tls13_ticket(&self, _server: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
