//! Keeps secrets out of the log that clients see: what a program logs by mistake ends here.

use std::borrow::Cow;

/// What stands in a secret's place.
pub(super) const REDACTED: &str = "redacted";

/// Parts of names of fields that hold secrets.
const NAMES: [&str; 9] = [
    "token",
    "secret",
    "passw",
    "cookie",
    "authorization",
    "credential",
    "api_key",
    "apikey",
    "jwt",
];

/// Whether a field of that name is not shown.
pub(super) fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    NAMES.iter().any(|part| lower.contains(part))
}

/// A text without what looks like a secret: JSON web tokens, `Bearer …`, `Basic …`, and passwords in URLs.
pub(super) fn redacted(text: &str) -> Cow<'_, str> {
    // Nearly every text ends here.
    if !["eyJ", "earer ", "asic ", "://"]
        .iter()
        .any(|sign| text.contains(sign))
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, secret, after)) = next_secret(rest) {
        out.push_str(before);
        if !secret.is_empty() {
            out.push_str(REDACTED);
        }
        rest = after;
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The first secret, with what is before and behind it. One that is empty is none, but the search goes on behind it.
fn next_secret(text: &str) -> Option<(&str, &str, &str)> {
    let jwt = text.find("eyJ").map(|at| (at, token_len(&text[at..])));
    let bearer = ["Bearer ", "bearer ", "Basic ", "basic "]
        .iter()
        .filter_map(|word| {
            let at = text.find(word)? + word.len();
            Some((at, token_len(&text[at..])))
        });
    let url = text.find("://").map(|at| {
        let at = at + 3;
        (at, userinfo_len(&text[at..]))
    });
    let (at, len) = jwt.into_iter().chain(bearer).chain(url).min()?;
    // Behind a sign that was none.
    let end = at + len.max(text[at..].chars().next().map_or(0, char::len_utf8));
    match len {
        0 => (end > at).then(|| (&text[..end], "", &text[end..])),
        _ => Some((&text[..at], &text[at..end], &text[end..])),
    }
}

fn token_len(text: &str) -> usize {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.~+/=".contains(c);
    text.find(|c| !is_part(c)).unwrap_or(text.len())
}

/// How much of what follows `://` is a user's name and password.
fn userinfo_len(text: &str) -> usize {
    let end = text
        .find(|c: char| c.is_whitespace() || "/?#\"'<>".contains(c))
        .unwrap_or(text.len());
    match text[..end].rfind('@') {
        Some(at) if text[..at].contains(':') => at,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out_of_texts() {
        let table = [
            ("nothing to hide", "nothing to hide"),
            ("a eyJhbGciOi.eyJzdWIi.c2ln b", "a redacted b"),
            (
                "Authorization: Bearer abc.def",
                "Authorization: Bearer redacted",
            ),
            ("Basic dXNlcjpwYXNz!", "Basic redacted!"),
            (
                "redis://user:pa@ss@host:1/0 is away",
                "redis://redacted@host:1/0 is away",
            ),
            (
                "see https://example.org/a@b:c",
                "see https://example.org/a@b:c",
            ),
            ("postgres://host/db", "postgres://host/db"),
            ("eyJ", "redacted"),
            ("Bearer ", "Bearer "),
            ("Bearer  two ://", "Bearer  two ://"),
            ("Bearer ä eyJx", "Bearer ä redacted"),
        ];
        for (text, shown) in table {
            assert_eq!(redacted(text), shown, "{text}");
        }
    }

    #[test]
    fn fields_are_secret_by_their_names() {
        for name in [
            "token",
            "accessToken",
            "JWT_SECRET",
            "password",
            "set-cookie",
            "api_key",
        ] {
            assert!(is_secret(name), "{name}");
        }
        for name in ["user", "code", "address", "socket", "key", "session"] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
