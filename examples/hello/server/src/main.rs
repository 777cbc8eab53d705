//! The workload of the example application: a web server that answers every request with a
//! greeting from its environment. It needs nothing but the kernel, so that its container image can
//! be built from scratch, without a registry.
//!
//! `hello-server` serves on port 8080; `hello-server check` asks that port once and exits 0 when it
//! answers, which is the container's health check.

use std::io::{BufRead, BufReader, Error, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, process, thread};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

const PORT: u16 = 8080;
const PATIENCE: Duration = Duration::from_secs(2);
const LONGEST_REQUEST: u64 = 8 * 1024;

fn main() -> ExitCode {
    let outcome = match env::args().nth(1).as_deref() {
        None => serve(),
        Some("check") => check(),
        Some(other) => {
            Err(Error::other(format!("unknown argument {other:?}: give none, or `check`")))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("hello-server: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), Error> {
    let greeting = env::var("GREETING").unwrap_or_default();
    if greeting.is_empty() {
        return Err(Error::other("the environment variable GREETING is missing or empty"));
    }
    // The first process of a container gets no default action for SIGTERM, so it has to ask.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    thread::spawn(move || {
        if signals.forever().next().is_some() {
            process::exit(0);
        }
    });

    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?;
    say(&format!("hello-server: greeting with {greeting:?} on port {PORT}"));
    for stream in listener.incoming() {
        // A client that went away is no reason to stop greeting the others.
        if let Err(error) = stream.and_then(|stream| answer(&stream, &greeting)) {
            say(&format!("hello-server: a request failed: {error}"));
        }
    }
    Ok(())
}

fn answer(mut stream: &TcpStream, greeting: &str) -> Result<(), Error> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    for line in BufReader::new(stream).take(LONGEST_REQUEST).lines() {
        if line?.is_empty() {
            break;
        }
    }
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{greeting}\n",
        greeting.len() + 1
    )
}

fn check() -> Result<(), Error> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut status = String::new();
    BufReader::new(stream).take(LONGEST_REQUEST).read_line(&mut status)?;
    if status.starts_with("HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(Error::other(format!("the server answered {:?}", status.trim_end())))
    }
}

#[expect(clippy::print_stderr, reason = "a container's log is what it prints")]
fn say(line: &str) {
    eprintln!("{line}");
}
