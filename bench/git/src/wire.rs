//! What a poll of the device client puts on the wire. A forwarder stands between client and server and
//! counts the bytes that it hands on, both ways, without the headers of TCP and IP.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use testkit::device::TestDevice;
use testkit::fleet::TestFleet;
use testkit::wait;

/// How many polls are counted.
const POLLS: usize = 9;
/// So long after its last byte an exchange is over: the client polls once a second.
const QUIET: Duration = Duration::from_millis(300);

/// A device client that polls, and nothing else happens.
pub(crate) struct Polls {
    counter: Arc<Counter>,
    _device: TestDevice,
    _fleet: TestFleet,
}

/// What the forwarder has handed on.
#[derive(Default)]
struct Counter {
    /// A connection ends when its first exchange is over.
    ends_connections: AtomicBool,
    exchanges: Mutex<Vec<Exchange>>,
}

/// A question with its answer, on a new connection with what opens it.
#[derive(Debug, Clone, Copy)]
struct Exchange {
    on_new_connection: bool,
    bytes: u64,
}

/// The exchange of a connection that goes on now: its place in the list.
struct Current {
    exchange: usize,
    last_byte: Instant,
}

impl Polls {
    /// Starts a fleet manager and a client that is let in and has its desired state.
    pub(crate) fn start() -> Self {
        let mut fleet = TestFleet::start();
        let (public, hidden) = fleet.move_behind();
        let counter = Arc::new(Counter::default());
        let listener = TcpListener::bind(("127.0.0.1", public)).expect("the server left its port");
        thread::spawn({
            let counter = Arc::clone(&counter);
            move || counter.forward(&listener, hidden)
        });
        fleet.start_server();

        let device = TestDevice::start_with(&fleet, "press-7", "jitter_percent = 0\n");
        let operator = fleet.operator();
        let id = wait::until("the client to ask to be let in", || {
            let clients = operator.get("/clients");
            clients["items"][0]["id"].as_str().map(str::to_owned)
        });
        operator.approve(&id);
        wait::until("the client to have its desired state", || {
            device.status().filter(|it| it["revision"] == 1)
        });
        Self { counter, _device: device, _fleet: fleet }
    }

    pub(crate) fn on_a_kept_connection(&self) -> u64 {
        self.usual(false)
    }

    pub(crate) fn on_new_connections(&self) -> u64 {
        self.counter.ends_connections.store(true, Ordering::Relaxed);
        self.usual(true)
    }

    /// The bytes of the one in the middle of some exchanges.
    fn usual(&self, on_new_connection: bool) -> u64 {
        let before = self.counter.exchanges().len();
        let mut bytes = wait::until("the client to poll", || {
            let exchanges = self.counter.exchanges();
            // The last one may still go on, and the first may be another than a poll.
            let over = exchanges.get(before + 1..exchanges.len().saturating_sub(1))?;
            let of_kind = over.iter().filter(|it| it.on_new_connection == on_new_connection);
            let bytes: Vec<u64> = of_kind.map(|it| it.bytes).collect();
            (bytes.len() >= POLLS).then_some(bytes)
        });
        bytes.sort_unstable();
        bytes[bytes.len() / 2]
    }
}

impl Counter {
    /// Hands every connection on to the server's port, for ever.
    fn forward(self: &Arc<Self>, listener: &TcpListener, server: u16) {
        for client in listener.incoming() {
            let client = client.expect("the listener is ours");
            let counter = Arc::clone(self);
            thread::spawn(move || {
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
                // What goes wrong with a connection ends it, and the client makes another one.
                let _ = counter.hand_on(&client, &server);
                let _ = client.shutdown(Shutdown::Both);
                let _ = server.shutdown(Shutdown::Both);
            });
        }
    }

    fn hand_on(&self, client: &TcpStream, server: &TcpStream) -> io::Result<()> {
        for stream in [client, server] {
            stream.set_nodelay(true)?;
        }
        let current = Mutex::new(Current { exchange: self.begin(true), last_byte: Instant::now() });
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = self.hand_on_one_way(client, server, &current);
                let _ = server.shutdown(Shutdown::Both);
            });
            let outcome = self.hand_on_one_way(server, client, &current);
            let _ = client.shutdown(Shutdown::Both);
            outcome
        })
    }

    fn hand_on_one_way(
        &self,
        mut from: &TcpStream,
        mut to: &TcpStream,
        current: &Mutex<Current>,
    ) -> io::Result<()> {
        from.set_read_timeout(Some(QUIET))?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            let is_quiet = |current: &Current| current.last_byte.elapsed() >= QUIET;
            match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(length) => {
                    let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
                    if is_quiet(&current) {
                        current.exchange = self.begin(false);
                    }
                    current.last_byte = Instant::now();
                    self.exchanges()[current.exchange].bytes += length as u64;
                    drop(current);
                    to.write_all(&buffer[..length])?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    let current = current.lock().unwrap_or_else(PoisonError::into_inner);
                    if is_quiet(&current) && self.ends_connections.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The place of a new exchange.
    fn begin(&self, on_new_connection: bool) -> usize {
        let mut exchanges = self.exchanges();
        exchanges.push(Exchange { on_new_connection, bytes: 0 });
        exchanges.len() - 1
    }

    fn exchanges(&self) -> std::sync::MutexGuard<'_, Vec<Exchange>> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
