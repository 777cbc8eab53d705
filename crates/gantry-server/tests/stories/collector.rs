//! A collector as far as traces need one: it takes OTLP over HTTP, decodes it with OpenTelemetry's own
//! definitions, and keeps what it was sent.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use testkit::wait;

/// A collector that listens on a port of the loopback interface.
pub(crate) struct Collector {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    refuses: AtomicBool,
    taken: Mutex<Vec<Taken>>,
}

/// A request that was taken.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    /// The request line and the headers, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        Self::start_at(0)
    }

    /// Listens on this port, where nobody did before.
    pub(crate) fn start_at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let port = listener.local_addr().expect("a listener has an address").port();
        let shared = Arc::new(Shared::default());
        let taking = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let shared = Arc::clone(&taking);
                // A server that is killed hangs up.
                thread::spawn(move || drop(shared.take(&stream)));
            }
        });
        Self { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Refuses everything from now on, or nothing.
    pub(crate) fn refuses(&self, all: bool) {
        self.shared.refuses.store(all, Ordering::SeqCst);
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        lock(&self.shared.taken).clone()
    }

    /// All spans so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let requests = self.taken();
        let resources = requests.iter().flat_map(|it| it.decoded().resource_spans);
        let scopes = resources.flat_map(|it| it.scope_spans);
        scopes.flat_map(|it| it.spans).collect()
    }

    /// Waits for a span for which this holds.
    pub(crate) fn span(&self, what: &str, is_meant: impl Fn(&Span) -> bool) -> Span {
        wait::until(what, || self.spans().into_iter().find(&is_meant))
    }
}

impl Taken {
    pub(crate) fn decoded(&self) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest::decode(self.body.as_slice()).expect("it is OTLP")
    }
}

impl Shared {
    fn take(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head)? == 0 {
                    return Ok(());
                }
            }
            let head = head.to_ascii_lowercase();
            let length = head.lines().find_map(|it| it.strip_prefix("content-length: "));
            let mut body = vec![0; length.and_then(|it| it.parse().ok()).unwrap_or(0)];
            reader.read_exact(&mut body)?;
            let refuses = self.refuses.load(Ordering::SeqCst);
            if !refuses {
                lock(&self.taken).push(Taken { head, body });
            }
            let status = if refuses { "500 x" } else { "200 OK" };
            write!(&mut &*stream, "HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n")?;
        }
    }
}

/// The value of an attribute, as text.
pub(crate) fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let attribute = attributes.iter().find(|it| it.key == name)?;
    Some(match &attribute.value {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => text.clone(),
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => number.to_string(),
        Some(AnyValue { value: Some(Value::BoolValue(is)) }) => is.to_string(),
        other => panic!("{name} is {other:?}"),
    })
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
