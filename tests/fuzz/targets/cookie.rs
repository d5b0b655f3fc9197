//! `Cookie` headers: the token is found as a plain reader finds it; no token and no claims make the authenticator panic.
//!
//! Lines of the input are `Cookie` headers; the last line is also tried as claims, rightly signed.
#![no_main]

use std::{
    net::Ipv4Addr,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use http::{HeaderMap, HeaderValue, header::COOKIE};
use libfuzzer_sys::fuzz_target;
use serde_json::value::RawValue;
use slimy_rt::{
    auth::{Handshake, JwtAuthenticator, JwtConfig},
    fuzzing::jwt_cookie,
};

const NAME: &str = "t";
const NOW: Duration = Duration::from_secs(1_700_000_000);

static AUTHENTICATOR: LazyLock<JwtAuthenticator> = LazyLock::new(|| {
    let config = JwtConfig::new(["a secret of the fuzz target, long enough"]).cookie_name(NAME);
    config.build().expect("a complete configuration")
});

fuzz_target!(|input: &[u8]| {
    let mut headers = HeaderMap::new();
    let lines = input.split(|&byte| byte == b'\n');
    for line in lines.clone() {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(COOKIE, value);
        }
    }
    let handshake = Handshake::builder(&headers, Ipv4Addr::LOCALHOST.into()).build();
    let found = jwt_cookie(&handshake, NAME);
    assert_eq!(found.clone().map_err(drop), plain(&headers));
    let now = SystemTime::UNIX_EPOCH + NOW;
    if let Ok(Some(token)) = found {
        assert!(
            AUTHENTICATOR.verify(&token, now).is_err(),
            "nobody signed this"
        );
    }

    let claims = lines.last().and_then(|line| std::str::from_utf8(line).ok());
    let claims = claims.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
    let Some(Ok(token)) = claims.map(|claims| AUTHENTICATOR.sign(&claims)) else {
        return;
    };
    if let Ok(identity) = AUTHENTICATOR.verify(&token, now) {
        assert!(!identity.user.id.as_str().is_empty());
        assert!(identity.expires_at.is_some_and(|at| at > now));
    }
});

/// The same rules, written for a whole header as text of bytes.
fn plain(headers: &HeaderMap) -> Result<Option<String>, ()> {
    let mut found: Vec<Vec<u8>> = Vec::new();
    for header in headers.get_all(COOKIE) {
        for pair in header.as_bytes().split(|&byte| byte == b';') {
            let mut halves = pair.splitn(2, |&byte| byte == b'=');
            if let (Some(name), Some(value)) = (halves.next(), halves.next())
                && name.trim_ascii() == NAME.as_bytes()
            {
                found.push(value.trim_ascii().to_vec());
            }
        }
    }
    let mut value = match found.len() {
        0 => return Ok(None),
        1 => found.remove(0),
        _ => return Err(()),
    };
    if value.len() >= 2 && value.starts_with(b"\"") && value.ends_with(b"\"") {
        value = value[1..value.len() - 1].to_vec();
    }
    if value.is_empty() {
        return Ok(None);
    }
    let mut decoded = Vec::new();
    let mut at = 0;
    while at < value.len() {
        let digits = value
            .get(at + 1..at + 3)
            .and_then(|d| std::str::from_utf8(d).ok());
        let digits = digits.filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        match digits.map(|d| u8::from_str_radix(d, 16)) {
            Some(Ok(byte)) if value[at] == b'%' => {
                decoded.push(byte);
                at += 3;
            }
            _ => {
                decoded.push(value[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).map(Some).map_err(drop)
}
