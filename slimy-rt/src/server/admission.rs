//! How many clients may connect: all together, from one address, and per second.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use super::{Bound, Config, lock};
use crate::protocol::client::{Budget, PacketRate};

/// Counts connections against the bounds.
#[derive(Debug)]
pub(crate) struct Admission {
    max_connections: usize,
    max_per_ip: usize,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    connections: usize,
    per_ip: HashMap<IpAddr, usize>,
    handshakes: Option<Budget>,
}

/// Why a handshake is refused with 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("`max_connections` is reached")]
    Connections,
    #[error("`max_connections_per_ip` is reached")]
    Address,
    #[error("`handshakes_per_second` is reached")]
    Handshakes,
}

impl Full {
    pub(crate) fn bound(self) -> Bound {
        match self {
            Self::Connections => Bound::MaxConnections,
            Self::Address => Bound::MaxConnectionsPerIp,
            Self::Handshakes => Bound::HandshakesPerSecond,
        }
    }
}

/// One connection's place; dropping it gives the place back.
#[derive(Debug)]
pub(crate) struct Permit {
    admission: Arc<Admission>,
    addr: IpAddr,
}

impl Admission {
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        let handshakes = (config.handshakes_per_second > 0).then(|| {
            let packets = config.handshakes_per_second;
            Budget::new(
                PacketRate {
                    packets,
                    per: Duration::from_secs(1),
                    burst: packets,
                },
                now,
            )
        });
        Self {
            max_connections: config.max_connections,
            max_per_ip: config.max_connections_per_ip,
            state: Mutex::new(State {
                connections: 0,
                per_ip: HashMap::new(),
                handshakes,
            }),
        }
    }

    pub(crate) fn admit(self: &Arc<Self>, addr: IpAddr, now: Instant) -> Result<Permit, Full> {
        let mut state = lock(&self.state);
        if self.max_connections > 0 && state.connections >= self.max_connections {
            return Err(Full::Connections);
        }
        if self.max_per_ip > 0
            && state
                .per_ip
                .get(&addr)
                .is_some_and(|n| *n >= self.max_per_ip)
        {
            return Err(Full::Address);
        }
        if state
            .handshakes
            .as_mut()
            .is_some_and(|handshakes| !handshakes.take(now))
        {
            return Err(Full::Handshakes);
        }
        state.connections += 1;
        if self.max_per_ip > 0 {
            *state.per_ip.entry(addr).or_default() += 1;
        }
        Ok(Permit {
            admission: Arc::clone(self),
            addr,
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = lock(&self.admission.state);
        state.connections -= 1;
        if let Some(count) = state.per_ip.get_mut(&self.addr) {
            *count -= 1;
            if *count == 0 {
                state.per_ip.remove(&self.addr);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        Config {
            max_connections: 3,
            max_connections_per_ip: 2,
            ..Config::default()
        }
    }

    #[test]
    fn places_are_bounded_and_given_back() {
        let (now, a, b) = (Instant::now(), [127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let admission = Arc::new(Admission::new(&config(), now));
        let first = admission.admit(a, now).unwrap();
        let _second = admission.admit(a, now).unwrap();
        assert_eq!(admission.admit(a, now).unwrap_err(), Full::Address);
        let _third = admission.admit(b, now).unwrap();
        assert_eq!(admission.admit(b, now).unwrap_err(), Full::Connections);
        drop(first);
        assert!(admission.admit(a, now).is_ok());
    }

    #[test]
    fn handshakes_per_second_are_bounded() {
        let now = Instant::now();
        let config = Config {
            handshakes_per_second: 5,
            ..Config::default()
        };
        let admission = Arc::new(Admission::new(&config, now));
        let addr = [127, 0, 0, 1].into();
        let accepted = (0..10)
            .filter(|_| admission.admit(addr, now).is_ok())
            .count();
        assert_eq!(accepted, 5);
        assert!(
            admission
                .admit(addr, now + Duration::from_millis(250))
                .is_ok()
        );
    }
}
