//! Where a request comes from: the peer of its TCP connection, or what trusted proxies say stands behind it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, header};
use ipnet::{IpNet, Ipv4Net};

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The most networks in a list of trusted proxies.
pub const MAX_TRUSTED_NETWORKS: usize = 1024;

/// The other end of the TCP connection: a request extension that [`serve`](super::serve::serve) inserts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub addr: SocketAddr,
    /// Whether the connection itself is over TLS.
    pub secure: bool,
}

/// Who sent a request, after trusted proxies have been believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Client {
    /// The client's address; an IPv4 address is never wrapped in an IPv6 one.
    pub addr: IpAddr,
    /// Whether the client itself spoke TLS.
    pub secure: bool,
    /// Whether the request has any header that a proxy adds, believed or not.
    pub forwarded: bool,
    /// How many trusted proxies the request came through; zero when it came directly.
    pub proxies: usize,
}

/// The networks of the proxies whose `X-Forwarded-*` headers are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Box<[IpNet]>,
}

/// A list of trusted proxies that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProxies {
    /// An entry is neither an address nor a network.
    #[error(
        "`{0}` is no network: write an address such as 10.0.0.1, or a network such as 10.0.0.0/8 or fd00::/8"
    )]
    Network(Box<str>),
    /// There are more than [`MAX_TRUSTED_NETWORKS`].
    #[error("more than {MAX_TRUSTED_NETWORKS} networks: merge neighbouring ones")]
    TooMany,
}

impl TrustedProxies {
    /// Believes nobody: forwarding headers have no effect.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Reads addresses and networks that are separated by commas, as in `10.0.0.0/8, ::1`. Empty entries are left out.
    ///
    /// # Errors
    /// [`InvalidProxies`] names the entry that is wrong.
    pub fn parse(list: &str) -> Result<Self, InvalidProxies> {
        let entries = list.split(',').map(str::trim).filter(|e| !e.is_empty());
        let networks = entries.map(network).collect::<Result<Box<[_]>, _>>()?;
        if networks.len() > MAX_TRUSTED_NETWORKS {
            return Err(InvalidProxies::TooMany);
        }
        Ok(Self { networks })
    }

    /// Whether `addr` is a trusted proxy's.
    #[must_use]
    pub fn trusts(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        self.networks.iter().any(|net| net.contains(&addr))
    }

    /// Who sent the request with these extensions and headers.
    ///
    /// `X-Forwarded-For` is read from the right; the first address that is not a trusted proxy's is the client's. An entry that is no
    /// address ends the walk: what stands left of it was not written by anybody who is believed. Without a [`Peer`] nothing is known of
    /// the connection: the address is `0.0.0.0`, and no header is believed.
    #[must_use]
    pub fn client(&self, extensions: &Extensions, headers: &HeaderMap) -> Client {
        let peer = extensions.get::<Peer>().copied().unwrap_or(Peer {
            addr: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            secure: false,
        });
        let mut client = Client {
            addr: peer.addr.ip().to_canonical(),
            secure: peer.secure,
            forwarded: headers.keys().any(is_forwarding),
            proxies: 0,
        };
        if !client.forwarded || !self.trusts(client.addr) {
            return client;
        }
        let mut believed = 0;
        let hops = headers.get_all(X_FORWARDED_FOR).iter().rev();
        for hop in hops.flat_map(from_the_right) {
            let Some(addr) = hop.and_then(address) else {
                break;
            };
            client.addr = addr;
            believed += 1;
            if !self.trusts(addr) {
                break;
            }
        }
        // The last believed hop is the client, even when it lies in a trusted network.
        client.proxies = believed.max(1);
        if let Some(scheme) = said_by_first_proxy(headers, &X_FORWARDED_PROTO, client.proxies) {
            client.secure = scheme.eq_ignore_ascii_case("https");
        }
        client
    }
}

/// What the proxy next to the client wrote into a list that each proxy may append to: with `proxies` trusted ones between, the entry that
/// far from the right, or the leftmost of a shorter list.
pub(crate) fn said_by_first_proxy<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
    proxies: usize,
) -> Option<&'a str> {
    let lines = headers.get_all(name).iter().rev();
    let entries = lines.flat_map(from_the_right).take(proxies);
    entries.last().flatten().filter(|entry| !entry.is_empty())
}

/// A line's entries from the right; a line that is not text is one unreadable entry.
fn from_the_right(line: &HeaderValue) -> impl Iterator<Item = Option<&str>> {
    let text = line.to_str().ok();
    let entries = text.into_iter().flat_map(|t| t.rsplit(',').map(str::trim));
    let unreadable = text.is_none().then_some(None);
    entries.map(Some).chain(unreadable)
}

/// Reads one hop: an address, with or without brackets and port.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim_matches('"');
    let addr = hop
        .parse::<IpAddr>()
        .or_else(|_| hop.parse::<SocketAddr>().map(|a| a.ip()));
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    addr.ok()
        .or_else(bracketed)
        .map(|a: IpAddr| a.to_canonical())
}

fn network(entry: &str) -> Result<IpNet, InvalidProxies> {
    let net = entry
        .parse::<IpNet>()
        .or_else(|_| entry.parse::<IpAddr>().map(IpNet::from));
    let net = net.map_err(|_| InvalidProxies::Network(entry.into()))?;
    // Addresses are compared unwrapped, so a network of wrapped IPv4 addresses is unwrapped too.
    if let IpNet::V6(v6) = net
        && let (Some(addr), Some(prefix)) =
            (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96))
        && let Ok(v4) = Ipv4Net::new(addr, prefix)
    {
        return Ok(IpNet::V4(v4));
    }
    Ok(net)
}

fn is_forwarding(name: &HeaderName) -> bool {
    name == header::FORWARDED
        || name == header::VIA
        || name.as_str().starts_with("x-forwarded-")
        || matches!(
            name.as_str(),
            "x-real-ip" | "cf-connecting-ip" | "true-client-ip"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(trusted: &str, peer: &str, headers: &[(&'static str, &str)]) -> Client {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let mut extensions = Extensions::new();
        extensions.insert(Peer {
            addr: peer.parse().unwrap(),
            secure: false,
        });
        let proxies = TrustedProxies::parse(trusted).unwrap();
        proxies.client(&extensions, &map)
    }

    fn addr(trusted: &str, peer: &str, lines: &[&str]) -> String {
        let headers: Vec<_> = lines.iter().map(|l| ("x-forwarded-for", *l)).collect();
        client(trusted, peer, &headers).addr.to_string()
    }

    #[test]
    fn untrusted_peers_are_the_client() {
        let headers = [
            ("x-forwarded-for", "9.9.9.9"),
            ("x-forwarded-proto", "https"),
        ];
        let seen = client("10.0.0.0/8", "192.0.2.1:5", &headers);
        assert_eq!(seen.addr.to_string(), "192.0.2.1");
        assert!(!seen.secure && seen.forwarded && seen.proxies == 0);
        assert!(!client("", "192.0.2.1:5", &[]).forwarded);
    }

    #[test]
    fn the_first_untrusted_hop_from_the_right_is_the_client() {
        let t = "10.0.0.0/8,::1";
        let cases: &[(&[&str], &str)] = &[
            (&[], "10.0.0.1"),
            (&["1.1.1.1"], "1.1.1.1"),
            (&["6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
            (&["6.6.6.6", "1.1.1.1, 10.0.0.2"], "1.1.1.1"),
            (&["10.0.0.9, 10.0.0.2"], "10.0.0.9"),
            (&["1.1.1.1, junk, 10.0.0.2"], "10.0.0.2"),
            (&["junk"], "10.0.0.1"),
            (&["1.1.1.1,"], "10.0.0.1"),
            (&["1.1.1.1:8080"], "1.1.1.1"),
            (&["[2001:db8::1]:8080"], "2001:db8::1"),
            (&["[2001:db8::1]"], "2001:db8::1"),
            (&["\"[2001:db8::1]\""], "2001:db8::1"),
            (&["::ffff:1.1.1.1"], "1.1.1.1"),
            (&["1.1.1.1", "ä"], "10.0.0.1"),
        ];
        for (lines, expected) in cases {
            assert_eq!(addr(t, "10.0.0.1:5", lines), *expected, "{lines:?}");
        }
        assert_eq!(addr(t, "[::ffff:10.0.0.1]:5", &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(
            addr("::ffff:10.0.0.0/104", "10.0.0.1:5", &["1.1.1.1"]),
            "1.1.1.1"
        );
    }

    #[test]
    fn the_proxy_next_to_the_client_says_whether_it_spoke_tls() {
        let secure = |hops, proto: &str| {
            let headers = [("x-forwarded-for", hops), ("x-forwarded-proto", proto)];
            client("10.0.0.0/8", "10.0.0.1:5", &headers).secure
        };
        assert!(secure("1.1.1.1", "https"));
        assert!(secure("1.1.1.1", "HTTPS"));
        assert!(!secure("1.1.1.1", "http"));
        // The left entry was sent by the client itself.
        assert!(!secure("1.1.1.1", "https, http"));
        assert!(secure("1.1.1.1, 10.0.0.2", "https, http"));
        assert!(secure("1.1.1.1, 10.0.0.2", "https"));
        assert!(client("10.0.0.1", "10.0.0.1:5", &[("x-forwarded-proto", "https")]).secure);
    }

    #[test]
    fn counts_the_proxies_between() {
        let proxies = |hops| {
            let headers = [("x-forwarded-for", hops)];
            client("10.0.0.0/8", "10.0.0.1:5", &headers).proxies
        };
        assert_eq!(proxies("1.1.1.1"), 1);
        assert_eq!(proxies("1.1.1.1, 10.0.0.2"), 2);
        assert_eq!(proxies("10.0.0.3, 10.0.0.2"), 2);
        assert_eq!(proxies("junk"), 1);
    }

    #[test]
    fn lists_are_checked() {
        assert_eq!(
            TrustedProxies::parse(" , ").unwrap(),
            TrustedProxies::none()
        );
        let error = TrustedProxies::parse("10.0.0.0/8, 10.0.0.0/33").unwrap_err();
        assert_eq!(error, InvalidProxies::Network("10.0.0.0/33".into()));
        assert!(TrustedProxies::parse("localhost").is_err());
        assert!(TrustedProxies::parse(&"1.1.1.1,".repeat(MAX_TRUSTED_NETWORKS + 1)).is_err());
    }

    #[test]
    fn without_a_peer_nothing_is_believed() {
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("1.1.1.1"));
        let client = TrustedProxies::parse("127.0.0.0/8")
            .unwrap()
            .client(&Extensions::new(), &headers);
        assert!(client.addr.is_unspecified());
        assert_eq!(client.proxies, 0);
    }
}
