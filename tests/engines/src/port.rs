//! Ports that stay one's own while nothing listens on them.

use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::directory;

/// The lowest port that is given out: below are those of well-known services.
const LOWEST: u16 = 15_000;
/// Where the ephemeral ports begin when the system does not say.
const EPHEMERAL: u16 = 32_768;

/// A port of 127.0.0.1 which no other test process takes, also while its server is down.
///
/// It is not an ephemeral one: those are given to outgoing connections, and a client that tries again and again to reach a dead port in that
/// range connects to itself sooner or later.
#[derive(Debug)]
pub(crate) struct Port {
    number: u16,
    _held: File,
}

impl Port {
    pub(crate) fn reserve() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let count = u32::from(first_ephemeral().saturating_sub(LOWEST).max(1_000));
        let directory = directory::root().join("ports");
        // The error that matters comes from the lock below.
        let _ = fs::create_dir(&directory);
        // Test processes begin at different places, so that they seldom meet.
        let begin = process::id().wrapping_mul(7_919);
        for _ in 0..count {
            let next = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
            let number = LOWEST + (next % count) as u16;
            let Some(held) = directory::try_lock(&directory.join(number.to_string())) else {
                continue;
            };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok() {
                return Self {
                    number,
                    _held: held,
                };
            }
        }
        panic!("no port of {LOWEST} to {} is free", first_ephemeral());
    }

    pub(crate) fn number(&self) -> u16 {
        self.number
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

fn first_ephemeral() -> u16 {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let first = range.ok().and_then(|range| {
        let first = range.split_whitespace().next()?;
        first.parse().ok()
    });
    first.filter(|first| *first > LOWEST).unwrap_or(EPHEMERAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ports_differ_and_are_free() {
        let (one, other) = (Port::reserve(), Port::reserve());
        assert_ne!(one.number(), other.number());
        for port in [one, other] {
            assert!(port.number() < first_ephemeral());
            TcpListener::bind(port.addr()).unwrap();
        }
    }
}
