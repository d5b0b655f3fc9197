//! The small languages of flag values: times, rates, addresses.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use slimy_rt::protocol::client::PacketRate;

/// Reads `90s`, `15m`, `12h`, `1d` or `500ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let form = || "write a time such as 500ms, 90s, 15m, 12h or 1d".to_owned();
    let unit = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(form)?;
    let (count, unit) = text.split_at(unit);
    let count: u64 = count.parse().map_err(|_| form())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(form()),
    };
    let millis = count.checked_mul(millis).ok_or_else(form)?;
    Ok(Duration::from_millis(millis))
}

/// Reads the time for which something lives: what lives for no time is a mistake.
pub(crate) fn lifetime(text: &str) -> Result<Duration, String> {
    let time = duration(text)?;
    (!time.is_zero())
        .then_some(time)
        .ok_or_else(|| "it would be over at once: give a time above zero".to_owned())
}

/// How long a client that lost its connection can resume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recovery(pub(crate) Option<Duration>);

impl FromStr for Recovery {
    type Err = String;

    /// Reads a time, or `off`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "off" => Ok(Self(None)),
            time => duration(time).map(Some).map(Self),
        }
    }
}

/// A bound on packets, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PacketLimit(pub(crate) Option<PacketRate>);

impl FromStr for PacketLimit {
    type Err = String;

    /// Reads `200/1s`; bursts may be twice that. `0` or `off` is no limit.
    fn from_str(text: &str) -> Result<Self, String> {
        if matches!(text, "0" | "off") {
            return Ok(Self(None));
        }
        let form = || "write it as 200/1s, or 0 for no limit".to_owned();
        let (packets, per) = text.split_once('/').ok_or_else(form)?;
        let packets: u32 = packets.parse().map_err(|_| form())?;
        let per = duration(per)?;
        if packets == 0 || per.is_zero() {
            return Err(form());
        }
        Ok(Self(Some(PacketRate {
            packets,
            per,
            burst: packets.saturating_mul(2),
        })))
    }
}

/// Reads `127.0.0.1:3080`, `[::1]:3080` or `localhost:3080`.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, String> {
    let numeric = match text.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}"),
        None => text.to_owned(),
    };
    let form = "write an address and a port, such as 127.0.0.1:3080 or [::]:3080";
    numeric.parse().map_err(|_| form.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        for (text, millis) in [
            ("500ms", 500),
            ("90s", 90_000),
            ("15m", 900_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
        }
        for bad in [
            "",
            "soon",
            "1",
            "s",
            "-1s",
            "1.5h",
            "1 h",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn packet_rates_allow_bursts_of_twice_that() {
        let rate = PacketRate {
            packets: 200,
            per: Duration::from_secs(1),
            burst: 400,
        };
        assert_eq!("200/1s".parse(), Ok(PacketLimit(Some(rate))));
        assert_eq!("0".parse(), Ok(PacketLimit(None)));
        for bad in ["", "often", "200", "0/1s", "5/0s", "-1/1s"] {
            assert!(bad.parse::<PacketLimit>().is_err(), "{bad}");
        }
    }

    #[test]
    fn addresses_are_numeric_or_localhost() {
        assert_eq!(
            listen_address("localhost:1"),
            Ok(([127, 0, 0, 1], 1).into())
        );
        assert!(listen_address("[::1]:3080").is_ok());
        for bad in ["nowhere", "127.0.0.1", "example.org:80", "localhost:"] {
            assert!(listen_address(bad).is_err(), "{bad}");
        }
    }
}
