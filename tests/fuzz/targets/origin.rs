//! Origins: no page gets in that is neither listed nor the server's own, and refused ones get no CORS header.
//!
//! The first line is the list, the second the `Origin`, the third the `Host`, the fourth `X-Forwarded-Host`.
#![no_main]

use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use slimy_rt::server::{
    forwarded::{Client, TrustedProxies},
    origin::{Decision, Origins},
};

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(4, |&byte| byte == b'\n');
    let list = lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let Some(Ok(origins)) = list.map(Origins::parse) else {
        return;
    };
    let mut headers = HeaderMap::new();
    for name in ["origin", "host", "x-forwarded-host"] {
        if let Some(Ok(value)) = lines.next().map(HeaderValue::from_bytes) {
            headers.insert(name, value);
        }
    }
    // A client that came directly: the forwarded host must not matter.
    let client: Client = TrustedProxies::none().client(&http::Extensions::new(), &headers);
    let decision = origins.decide(&headers, &client);
    let mut without = headers.clone();
    without.remove("x-forwarded-host");
    assert_eq!(decision, origins.decide(&without, &client));

    let mut answer = HeaderMap::new();
    decision.cors(&mut answer);
    let origin = headers.get(header::ORIGIN);
    let allowed = answer.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    match &decision {
        Decision::Absent => assert!(origin.is_none() && allowed.is_none()),
        Decision::Own(value) => {
            assert_eq!(Some(value), origin);
            assert!(allowed.is_none());
            // Its own origin needs no list.
            assert!(Origins::own().decide(&headers, &client).is_allowed());
            same_authority(value, headers.get(header::HOST));
        }
        Decision::Listed(value) => {
            assert_eq!((Some(value), Some(value)), (origin, allowed));
            assert!(answer.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
            assert_ne!(value, "null");
            // What is on the list once written as a list of its own is still allowed.
            let alone = Origins::parse(value.to_str().expect("text")).expect("an origin");
            assert!(alone.decide(&headers, &client).is_allowed());
        }
        Decision::Foreign | Decision::Malformed => {
            assert!(origin.is_some() && answer.is_empty());
            assert!(decision.preflight::<()>().is_none());
        }
        Decision::Any => panic!("nobody asked for that"),
    }
});

/// The host that a browser would show is the one the request went to, but for case and the default port.
fn same_authority(origin: &HeaderValue, host: Option<&HeaderValue>) {
    let text = |value: &HeaderValue| value.to_str().expect("text").to_ascii_lowercase();
    let (origin, host) = (text(origin), text(host.expect("a host")));
    let authority = origin.split_once("://").expect("an origin").1;
    if !authority.contains('[') {
        let bare = |text: &str| text.split(':').next().unwrap_or_default().to_owned();
        assert_eq!(bare(authority), bare(&host));
    }
}
