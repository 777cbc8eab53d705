//! A server that does what it is told: it stands where clients expect a fleet manager, and hands their
//! requests on to a real one, or plays a part of its own. It counts what it is asked.

use std::io::{self, BufRead as _, BufReader, Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::http::Http;

/// Who gives up first is the client; this is only so that no thread stays.
const MOST_ENDLESS: u64 = 2 << 30;

/// A server that does what it is told. Dropping it lets nobody in any more.
pub struct Meddler {
    port: u16,
    shared: Arc<Shared>,
}

/// What a client asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: String,
    /// With the query.
    pub path: String,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    /// A header, if it is there.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }
}

/// What is done about a request.
#[derive(Debug, Clone)]
pub enum Part {
    /// It is handed on to the real server, and its answer back.
    Honest,
    /// As [`Part::Honest`], with a `Date` of one's own.
    Dated(String),
    /// As [`Part::Honest`], and the connection is closed in the middle of the body.
    Halved,
    /// These bytes, and the connection is closed.
    Say(Vec<u8>),
    /// These bytes, and then nothing more.
    SayAndHang(Vec<u8>),
    /// The first bytes, and then the second again and again.
    SayWithoutEnd(Vec<u8>, Vec<u8>),
}

type Play = dyn Fn(&Asked) -> Part + Send + Sync;

struct Shared {
    tls: Mutex<Arc<ServerConfig>>,
    play: Mutex<Arc<Play>>,
    /// The real server.
    behind: Option<Http>,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicU64,
    written: AtomicU64,
    over: AtomicBool,
}

impl Meddler {
    /// Listens on a port of the loopback interface; without `behind` nothing can be handed on.
    pub fn start(port: u16, tls: Arc<ServerConfig>, behind: Option<Http>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).expect("the port is free");
        let port = listener.local_addr().expect("a listener has an address").port();
        let shared = Arc::new(Shared {
            tls: Mutex::new(tls),
            play: Mutex::new(Arc::new(|_: &Asked| Part::Honest)),
            behind,
            asked: Mutex::default(),
            connections: AtomicU64::new(0),
            written: AtomicU64::new(0),
            over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                if accepting.over.load(Ordering::Relaxed) {
                    return;
                }
                accepting.connections.fetch_add(1, Ordering::Relaxed);
                let shared = Arc::clone(&accepting);
                // Clients that hang up in the middle are what this is for.
                thread::spawn(move || drop(shared.serve(stream)));
            }
        });
        Self { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Does this about every further request.
    pub fn play(&self, play: impl Fn(&Asked) -> Part + Send + Sync + 'static) {
        *lock(&self.shared.play) = Arc::new(play);
    }

    /// Shows this certificate from now on.
    pub fn show(&self, tls: Arc<ServerConfig>) {
        *lock(&self.shared.tls) = tls;
    }

    /// Everything that was asked, in order.
    pub fn asked(&self) -> Vec<Asked> {
        lock(&self.shared.asked).clone()
    }

    /// How often somebody has called.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many bytes were sent without end.
    pub fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let tls = Arc::clone(&lock(&self.tls));
        let connection = ServerConnection::new(tls).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        let asked = read_request(&mut stream)?;
        lock(&self.asked).push(asked.clone());
        let play = Arc::clone(&lock(&self.play));
        match play(&asked) {
            Part::Honest => stream.write_all(&self.hand_on(&asked, None))?,
            Part::Dated(date) => stream.write_all(&self.hand_on(&asked, Some(&date)))?,
            Part::Halved => {
                let whole = self.hand_on(&asked, None);
                let head = whole.windows(4).position(|it| it == b"\r\n\r\n").map_or(0, |it| it + 4);
                stream.write_all(&whole[..head + (whole.len() - head) / 2])?;
            }
            Part::Say(bytes) => stream.write_all(&bytes)?,
            Part::SayAndHang(bytes) => {
                stream.write_all(&bytes)?;
                // Until the client has had enough.
                let _ = stream.read(&mut [0]);
                return Ok(());
            }
            Part::SayWithoutEnd(first, again) => {
                stream.write_all(&first)?;
                let mut written = 0;
                while written < MOST_ENDLESS {
                    stream.write_all(&again)?;
                    written += again.len() as u64;
                    self.written.fetch_add(again.len() as u64, Ordering::Relaxed);
                }
            }
        }
        stream.conn.send_close_notify();
        stream.flush()
    }

    fn hand_on(&self, asked: &Asked, date: Option<&str>) -> Vec<u8> {
        let behind = self.behind.as_ref().expect("there is a real server to hand on to");
        let headers: Vec<(&str, &str)> = asked
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(|(name, _)| !matches!(*name, "host" | "connection" | "content-length"))
            .collect();
        let body = (!asked.body.is_empty()).then_some(asked.body.as_slice());
        let Ok(answer) = behind.try_send(&asked.method, &asked.path, &headers, body) else {
            return say(502, &[], b"");
        };
        let headers: Vec<(&str, &str)> = answer
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .map(
                |(name, value)| {
                    if name == "date" { (name, date.unwrap_or(value)) } else { (name, value) }
                },
            )
            .filter(|(name, _)| {
                !matches!(*name, "connection" | "content-length" | "transfer-encoding")
            })
            .collect();
        say(answer.status, &headers, &answer.body)
    }
}

/// A whole answer with its length.
pub fn say(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} x\r\nconnection: close\r\n");
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &format!("content-length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

fn read_request(stream: &mut StreamOwned<ServerConnection, TcpStream>) -> io::Result<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = || -> io::Result<String> {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(io::Error::other("no request"));
    };
    let mut headers = Vec::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Asked { method, path, headers, body })
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
