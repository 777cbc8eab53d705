//! A wire between a client and a server that can be held at a byte: what comes after it waits, so a test
//! can do something in the middle of a transfer, for sure.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// Passes on what comes to its port, to another port of this machine.
pub struct Relay {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    to: u16,
    /// How many bytes the server may have said until it is held.
    most: AtomicU64,
    passed: AtomicU64,
    is_held: AtomicBool,
    /// How often what waited was let go of.
    cuts: AtomicU64,
}

impl Relay {
    /// Passes on what comes, to this port.
    pub fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let shared = Arc::new(Shared {
            to,
            most: AtomicU64::new(u64::MAX),
            passed: AtomicU64::new(0),
            is_held: AtomicBool::new(false),
            cuts: AtomicU64::new(0),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().filter_map(Result::ok) {
                let shared = Arc::clone(&accepting);
                // A server that is not there is one more thing that clients meet.
                thread::spawn(move || drop(shared.pass_on(&client)));
            }
        });
        Self { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Holds what the server says when it has said this many bytes more.
    pub fn hold_after(&self, bytes: u64) {
        self.shared.most.store(self.passed() + bytes, Ordering::SeqCst);
    }

    /// Whether something waits.
    pub fn is_held(&self) -> bool {
        self.shared.is_held.load(Ordering::SeqCst)
    }

    /// Breaks off what waits, with all that is still on its way, and holds nothing more.
    pub fn cut(&self) {
        // In this order: whoever goes on has to see that it was cut.
        self.shared.cuts.fetch_add(1, Ordering::SeqCst);
        self.shared.most.store(u64::MAX, Ordering::SeqCst);
    }

    /// How many bytes the server has said.
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn pass_on(&self, client: &TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(("127.0.0.1", self.to))?;
        let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
        thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
        let outcome = self.answer(&server, client);
        // The other thread has a hold on both of them as well.
        let _ = (server.shutdown(Shutdown::Both), client.shutdown(Shutdown::Both));
        outcome
    }

    fn answer(&self, mut server: &TcpStream, mut client: &TcpStream) -> io::Result<()> {
        let cuts = self.cuts.load(Ordering::SeqCst);
        let mut piece = vec![0; 16 << 10];
        loop {
            let length = server.read(&mut piece)?;
            if length == 0 {
                return Ok(());
            }
            while self.passed.load(Ordering::SeqCst) >= self.most.load(Ordering::SeqCst) {
                self.is_held.store(true, Ordering::SeqCst);
                thread::park_timeout(Duration::from_millis(5));
            }
            if self.is_held.load(Ordering::SeqCst) && cuts != self.cuts.load(Ordering::SeqCst) {
                self.is_held.store(false, Ordering::SeqCst);
                return Ok(());
            }
            client.write_all(&piece[..length])?;
            self.passed.fetch_add(length as u64, Ordering::SeqCst);
        }
    }
}
