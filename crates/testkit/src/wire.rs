//! What a poll of the device client puts on the wire. A forwarder stands between client and server and
//! counts the bytes that it hands on, both ways, without the headers of TCP and IP.

mod server_hello;

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::device::TestDevice;
use crate::fleet::TestFleet;
use crate::wait;

/// How many polls are counted, where each costs no more than the time to the next.
const POLLS: usize = 5;
/// How many are counted for which the server has to start again.
const COSTLY_POLLS: usize = 3;
/// So long after its last byte an exchange is over: the client polls once a second.
const QUIET: Duration = Duration::from_millis(300);

/// A device client that polls, and nothing else happens.
pub struct Polls {
    counter: Arc<Counter>,
    /// The client.
    pub device: TestDevice,
    /// Its fleet manager, behind the forwarder.
    pub fleet: TestFleet,
}

/// What comes before the question of an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// Nothing: the connection was there.
    None,
    /// A handshake that takes up an earlier TLS session.
    Resumed,
    /// A handshake with certificates.
    Full,
}

/// What the forwarder has handed on.
#[derive(Default)]
struct Counter {
    /// A connection ends when its first exchange is over.
    ends_connections: AtomicBool,
    exchanges: Mutex<Vec<Exchange>>,
}

/// A question with its answer and what opened the connection.
#[derive(Debug, Clone, Copy)]
struct Exchange {
    opening: Opening,
    bytes: u64,
}

/// The exchange of a connection that goes on now: its place in the list.
struct Current {
    exchange: usize,
    last_byte: Instant,
}

impl Polls {
    /// Starts a fleet manager, and a client that `device` makes and that is let in here, and waits until
    /// it has its desired state. Its jitter has to be 0.
    pub fn start(device: impl FnOnce(&TestFleet) -> TestDevice) -> Self {
        let mut fleet = TestFleet::start();
        let (public, hidden) = fleet.move_behind();
        let counter = Arc::new(Counter::default());
        let listener = TcpListener::bind(("127.0.0.1", public)).expect("the server left its port");
        thread::spawn({
            let counter = Arc::clone(&counter);
            move || counter.forward(&listener, hidden)
        });
        fleet.start_server();

        let device = device(&fleet);
        let operator = fleet.operator();
        let id = wait::until("the client to ask to be let in", || {
            let clients = operator.get("/clients");
            clients["items"][0]["id"].as_str().map(str::to_owned)
        });
        operator.approve(&id);
        wait::until("the client to have its desired state", || {
            device.status().filter(|it| it["revision"] == 1)
        });
        Self { counter, device, fleet }
    }

    /// The bytes of a poll on a connection that is there.
    pub fn on_a_kept_connection(&self) -> u64 {
        self.counter.ends_connections.store(false, Ordering::Relaxed);
        self.usual(Opening::None)
    }

    /// The bytes of a poll with a connection that takes up an earlier TLS session, as most do: clients
    /// poll more seldom than servers keep connections. From now on each poll is one.
    pub fn on_resumed_sessions(&self) -> u64 {
        self.counter.ends_connections.store(true, Ordering::Relaxed);
        self.usual(Opening::Resumed)
    }

    /// The bytes of a poll with a connection to a server that knows no earlier TLS session.
    pub fn on_new_sessions(&mut self) -> u64 {
        self.counter.ends_connections.store(true, Ordering::Relaxed);
        let mut bytes = Vec::new();
        while bytes.len() < COSTLY_POLLS {
            self.fleet.stop();
            self.fleet.start_server();
            let before = self.count();
            let first = wait::until("the client to poll", || self.over(before).first().copied());
            // The client may have called already while the server started.
            if first.opening == Opening::Full {
                bytes.push(first.bytes);
            }
        }
        middle(bytes)
    }

    /// How many exchanges there were. When the client has nothing but polls to do, each is a poll.
    pub fn count(&self) -> usize {
        self.counter.exchanges().len()
    }

    /// Waits until the client has polled so many times more.
    pub fn wait_for(&self, polls: usize) {
        let before = self.count();
        let mut seen = before;
        while seen < before + polls {
            seen = wait::until("the client to poll", || Some(self.count()).filter(|it| *it > seen));
        }
    }

    /// The bytes of the one in the middle of some exchanges.
    fn usual(&self, opening: Opening) -> u64 {
        let before = self.count();
        middle(wait::until("the client to poll", || {
            // The first may be another than a poll.
            let over = self.over(before + 1);
            let of_kind = over.iter().filter(|it| it.opening == opening);
            let bytes: Vec<u64> = of_kind.map(|it| it.bytes).collect();
            (bytes.len() >= POLLS).then_some(bytes)
        }))
    }

    /// The exchanges after the first so many. The last one may still go on and is left out.
    fn over(&self, before: usize) -> Vec<Exchange> {
        let exchanges = self.counter.exchanges();
        exchanges.get(before..exchanges.len().saturating_sub(1)).unwrap_or_default().to_vec()
    }
}

fn middle(mut bytes: Vec<u64>) -> u64 {
    bytes.sort_unstable();
    bytes[bytes.len() / 2]
}

impl Counter {
    /// Hands every connection on to the server's port, for ever.
    fn forward(self: &Arc<Self>, listener: &TcpListener, server: u16) {
        for client in listener.incoming() {
            let client = client.expect("the listener is ours");
            let counter = Arc::clone(self);
            thread::spawn(move || {
                // While the server starts, the client waits and does not see it.
                let server = wait::until("the server to accept connections", || {
                    TcpStream::connect(("127.0.0.1", server)).ok()
                });
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
        let exchange = self.begin(Opening::Full);
        let current = Mutex::new(Current { exchange, last_byte: Instant::now() });
        thread::scope(|scope| {
            scope.spawn(|| {
                let _ = self.hand_on_one_way(client, server, &current);
                let _ = server.shutdown(Shutdown::Both);
            });
            let outcome = self
                .see_hello(server, exchange)
                .and_then(|()| self.hand_on_one_way(server, client, &current));
            let _ = client.shutdown(Shutdown::Both);
            outcome
        })
    }

    /// Notes whether the server takes up an earlier session; what it says is left to be handed on.
    fn see_hello(&self, server: &TcpStream, exchange: usize) -> io::Result<()> {
        let mut hello = [0; server_hello::ENOUGH];
        let length = server.peek(&mut hello)?;
        if server_hello::resumes(&hello[..length]) {
            self.exchanges()[exchange].opening = Opening::Resumed;
        }
        Ok(())
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
                        current.exchange = self.begin(Opening::None);
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
    fn begin(&self, opening: Opening) -> usize {
        let mut exchanges = self.exchanges();
        exchanges.push(Exchange { opening, bytes: 0 });
        exchanges.len() - 1
    }

    fn exchanges(&self) -> std::sync::MutexGuard<'_, Vec<Exchange>> {
        self.exchanges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
