//! Forwarding headers: only trusted proxies are believed, and only as far as the first hop that is not one.
//!
//! The first line is the list of trusted proxies, the second the peer's address, the others headers (`name: value`).
#![no_main]

use std::net::{IpAddr, SocketAddr};

use http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;
use slimy_rt::server::forwarded::{MAX_TRUSTED_NETWORKS, Peer, TrustedProxies};

fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|&byte| byte == b'\n');
    let mut text = || lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let (Some(list), Some(peer)) = (text(), text()) else {
        return;
    };
    let Ok(proxies) = TrustedProxies::parse(list) else {
        return;
    };
    assert!(
        list.split(',').count() <= MAX_TRUSTED_NETWORKS
            || list.contains(",,")
            || list.contains(' ')
    );
    let peer: IpAddr = peer.trim().parse().unwrap_or([10, 0, 0, 1].into());
    let mut headers = HeaderMap::new();
    for line in lines.take(32) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(line[..colon].trim_ascii());
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let mut extensions = Extensions::new();
    let secure = peer.is_ipv6();
    extensions.insert(Peer {
        addr: SocketAddr::new(peer, 1),
        secure,
    });

    let client = proxies.client(&extensions, &headers);
    assert_eq!(client.addr, client.addr.to_canonical());
    if !proxies.trusts(peer) {
        assert_eq!(
            (client.addr, client.secure, client.proxies),
            (peer.to_canonical(), secure, 0)
        );
    }
    if client.addr != peer.to_canonical() {
        assert!(client.proxies > 0 && headers.contains_key("x-forwarded-for"));
    }
    // What a client writes left of what its proxy wrote changes nothing: the proxy appends an address that nobody trusts.
    if proxies.trusts(peer) && !proxies.trusts([203, 0, 113, 7].into()) {
        headers.append("x-forwarded-for", HeaderValue::from_static("203.0.113.7"));
        let client = proxies.client(&extensions, &headers);
        assert_eq!(client.addr, IpAddr::from([203, 0, 113, 7]));
        assert_eq!(client.proxies, 1);
    }
    // Nothing is known without a peer.
    let nobody = proxies.client(&Extensions::new(), &headers);
    if !proxies.trusts([0, 0, 0, 0].into()) {
        assert!(nobody.addr.is_unspecified() && !nobody.secure);
    }
});
