//! Finding one cookie among all that a browser sends.

use std::borrow::Cow;

use http::header::COOKIE;

use super::{AuthError, Handshake};

/// The value of the only cookie of that name, URL-decoded.
///
/// Tolerates what browsers send besides: several `Cookie` headers, spaces, empty pairs, pairs without a name, values with `=`, in quotes, or,
/// in other cookies, of any bytes. Two cookies of the name are refused: which of them a proxy or another program looked at cannot be known.
pub(super) fn find<'a>(handshake: &'a Handshake, name: &str) -> Result<Cow<'a, str>, AuthError> {
    let pairs = handshake
        .header_bytes(&COOKIE)
        .flat_map(|header| header.split(|&byte| byte == b';'));
    let mut values = pairs.filter_map(|pair| {
        let end = pair.iter().position(|&byte| byte == b'=')?;
        (pair[..end].trim_ascii() == name.as_bytes()).then(|| pair[end + 1..].trim_ascii())
    });
    let value = values.next().ok_or(AuthError::Missing)?;
    if values.next().is_some() {
        return Err(invalid("there are two cookies of the token's name"));
    }
    match unquote(value) {
        b"" => Err(AuthError::Missing),
        value => url_decode(value).ok_or_else(|| invalid("the cookie is not UTF-8")),
    }
}

/// Whether a cookie can have this name: a token (RFC 9110, section 5.6.2).
#[cfg(feature = "jwt")]
pub(super) fn is_name(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

fn unquote(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

/// Resolves `%41`; a `%` that begins no such triple stands for itself. `None` when the result is not UTF-8.
fn url_decode(value: &[u8]) -> Option<Cow<'_, str>> {
    if !value.contains(&b'%') {
        return std::str::from_utf8(value).ok().map(Cow::Borrowed);
    }
    let mut decoded = Vec::with_capacity(value.len());
    let mut rest = value;
    while let [first, tail @ ..] = rest {
        rest = tail;
        decoded.push(match (first, tail) {
            (b'%', [high, low, behind @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                rest = behind;
                hex(*high) << 4 | hex(*low)
            }
            _ => *first,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

/// The value of an ASCII hexadecimal digit.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// An error whose text is fixed, so that nothing of a cookie gets into it.
fn invalid(problem: &'static str) -> AuthError {
    AuthError::Invalid(problem.into())
}

/// The token in the cookie of that name: `None` when there is none, an error when it is refused.
#[cfg(fuzzing)]
pub fn jwt_cookie(handshake: &Handshake, name: &str) -> Result<Option<String>, String> {
    match find(handshake, name) {
        Ok(value) => Ok(Some(value.into_owned())),
        Err(AuthError::Missing) => Ok(None),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use http::{HeaderMap, HeaderValue};

    use super::*;

    fn handshake(cookies: &[&[u8]]) -> Handshake {
        let mut headers = HeaderMap::new();
        for cookie in cookies {
            headers.append(COOKIE, HeaderValue::from_bytes(cookie).unwrap());
        }
        Handshake::builder(&headers, IpAddr::V4(Ipv4Addr::LOCALHOST)).build()
    }

    fn value(cookies: &[&[u8]]) -> Result<String, AuthError> {
        find(&handshake(cookies), "t").map(Cow::into_owned)
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        for cookies in [
            &[b"t=a.b=c".as_slice()][..],
            &[b"  t = a.b=c "],
            &[b"x=1; t=a.b=c; y=2"],
            &[b";;x=1;;t=a.b=c;"],
            &[b"nameless; t=a.b=c"],
            &[b"=odd; t=a.b=c"],
            &[b"T=other; tt=other; xt=other; t=a.b=c"],
            &[b"t=\"a.b=c\""],
            &[b"t=a%2Eb%3dc"],
            &[b"x=1", b"t=a.b=c", b"y=2"],
            &[b"latin=\xe9; t=a.b=c"],
            &[b"latin=\xe9", b"t=a.b=c"],
            &[b"bad=%ff; t=a.b=c"],
        ] {
            assert_eq!(value(cookies).unwrap(), "a.b=c", "{cookies:?}");
        }
    }

    #[test]
    fn no_cookie_is_missing() {
        for cookies in [
            &[][..],
            &[b"".as_slice()],
            &[b"x=t"],
            &[b"t"],
            &[b"t="],
            &[b"t=\"\""],
            &[b"T=a"],
        ] {
            assert!(
                matches!(value(cookies), Err(AuthError::Missing)),
                "{cookies:?}"
            );
        }
    }

    #[test]
    fn two_of_the_name_are_refused_even_when_they_agree() {
        for cookies in [
            &[b"t=a; t=a".as_slice()][..],
            &[b"t=a", b"t=b"],
            &[b"t=a; t="],
            &[b"t=a", b"x=\xe9; t=b"],
        ] {
            assert!(
                matches!(value(cookies), Err(AuthError::Invalid(_))),
                "{cookies:?}"
            );
        }
    }

    #[test]
    fn escapes_are_resolved_or_stand_for_themselves() {
        for (cookie, expected) in [
            (b"t=%C3%a9".as_slice(), "é"),
            (b"t=%", "%"),
            (b"t=%4", "%4"),
            (b"t=%zz%41", "%zzA"),
            (b"t=%25%34%31", "%41"),
            (b"t=a+b", "a+b"),
        ] {
            assert_eq!(value(&[cookie]).unwrap(), expected);
        }
        for cookie in [b"t=%ff".as_slice(), b"t=%C3", b"t=\xe9"] {
            assert!(
                matches!(value(&[cookie]), Err(AuthError::Invalid(_))),
                "{cookie:?}"
            );
        }
    }

    #[cfg(feature = "jwt")]
    #[test]
    fn names_are_tokens() {
        assert!(is_name("slimy_admin_token") && is_name("__Host-x.y"));
        for bad in ["", "a b", "a=b", "a;b", "ä", "a\"", "a\0"] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
