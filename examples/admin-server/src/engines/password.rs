//! Passwords in URLs: noticed, and never shown.

/// Whether the URL holds a password, before the host or in its query.
pub(crate) fn has_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else {
        return false;
    };
    let (authority, query) = match rest.split_once('?') {
        Some((before, query)) => (before, query),
        None => (rest, ""),
    };
    // A password with a slash in it is no valid URL, but no less a password.
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    let in_query = query.split('&').any(|pair| {
        let mut decoded = form_urlencoded::parse(pair.as_bytes());
        decoded
            .next()
            .is_some_and(|(name, value)| name == "password" && !value.is_empty())
    });
    in_query
        || user
            .split_once(':')
            .is_some_and(|(_, password)| !password.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_noticed() {
        for with in [
            "redis://:pw@h",
            "rediss://u:pw@h:1/0?prefix=x",
            "postgres://u:p@w@h/db",
            "postgres://u:p/w@h/db",
            "postgres://h/db?user=u&password=pw",
        ] {
            assert!(has_password(with), "{with}");
        }
        for without in [
            "memory:",
            "uploads:/a:b@c",
            "redis://h",
            "redis://u@h:1",
            "redis://u:@h",
            "postgres://h/db?password=",
            "postgres:///db?host=/run/a:b",
        ] {
            assert!(!has_password(without), "{without}");
        }
    }
}
