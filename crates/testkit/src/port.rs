//! Ports of the loopback interface for programs that are about to be started, and started again.

use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

/// Below the ports that Linux gives to outgoing connections: one that is free is not taken by any of those
/// before its program listens, or while it is started again.
const FIRST: u32 = 20_000;
const COUNT: u32 = 10_000;
/// Tests of one process get one after the other, those of another process others.
const APART: u32 = 101;

/// A port that nobody uses now, and that nobody else is given here.
pub fn free() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let first = process::id().wrapping_mul(APART);
    (0..COUNT)
        .map(|_| first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)))
        .map(|it| u16::try_from(FIRST + it % COUNT).expect("ports go up to 65,535"))
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("the loopback interface has a free port")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let mut ports: Vec<u16> = (0..100).map(|_| free()).collect();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 100);
    }
}
