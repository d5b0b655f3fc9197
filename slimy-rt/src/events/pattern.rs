//! Names of namespaces: exact ones, and patterns for those that come and go.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

type Predicate = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Which names a namespace answers to.
#[derive(Clone)]
pub(crate) enum Pattern {
    Exact(Arc<str>),
    Segments(Arc<str>),
    Matching(Predicate),
}

impl Pattern {
    pub(crate) fn new(text: &str) -> Self {
        if text.contains(['{', '}']) {
            Self::Segments(text.into())
        } else {
            Self::Exact(text.into())
        }
    }

    pub(crate) fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *name,
            Self::Segments(pattern) => pairs(pattern, name).is_some(),
            Self::Matching(predicate) => name.starts_with('/') && accepts(predicate, name),
        }
    }

    /// What stands in `name` where the pattern has `{parameter}`.
    pub(crate) fn parameter<'a>(&self, name: &'a str, parameter: &str) -> Option<&'a str> {
        let Self::Segments(pattern) = self else {
            return None;
        };
        let is_it = |segment: &str| placeholder(segment) == Some(parameter);
        pairs(pattern, name)?.find_map(|(segment, value)| is_it(segment).then_some(value))
    }

    /// Whether this can be a namespace's name or pattern.
    pub(crate) fn is_valid(&self) -> bool {
        let is_bad = |c: char| c == ',' || c == '?' || c.is_control();
        match self {
            Self::Exact(name) => name.starts_with('/') && !name.contains(is_bad),
            Self::Segments(pattern) => {
                let names: Vec<_> = pattern.split('/').filter_map(placeholder).collect();
                let is_literal = |segment: &str| !segment.contains(['{', '}']);
                let unique = |name: &&str| names.iter().filter(|n| *n == name).count() == 1;
                pattern.starts_with('/')
                    && !pattern.contains(is_bad)
                    && pattern
                        .split('/')
                        .all(|segment| placeholder(segment).is_some() || is_literal(segment))
                    && names.iter().all(unique)
            }
            Self::Matching(_) => true,
        }
    }
}

/// Asks a program's function. Clients choose the names: one that makes it panic is not accepted, and ends nothing else.
fn accepts(predicate: &Predicate, name: &str) -> bool {
    catch_unwind(AssertUnwindSafe(|| predicate(name))).unwrap_or_else(|_| {
        tracing::error!("a function that says which namespaces there are panicked");
        false
    })
}

/// A whole segment `{name}`.
fn placeholder(segment: &str) -> Option<&str> {
    let name = segment.strip_prefix('{')?.strip_suffix('}')?;
    let is_name = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_name.then_some(name)
}

/// The segments of a pattern beside those of a name that matches it.
fn pairs<'p, 'n>(
    pattern: &'p str,
    name: &'n str,
) -> Option<impl Iterator<Item = (&'p str, &'n str)> + use<'p, 'n>> {
    let pairs = || pattern.split('/').zip(name.split('/'));
    let is_match = |(segment, value): (&str, &str)| match placeholder(segment) {
        Some(_) => !value.is_empty(),
        None => segment == value,
    };
    let same_length = pattern.split('/').count() == name.split('/').count();
    (same_length && pairs().all(is_match)).then(pairs)
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(text) | Self::Segments(text) => f.write_str(text),
            Self::Matching(_) => f.write_str("(a function)"),
        }
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_match_segment_by_segment() {
        let pattern = Pattern::new("/tenants/{tenant}/rooms/{room}");
        assert!(pattern.is_valid());
        assert!(pattern.matches("/tenants/a/rooms/b c"));
        for other in [
            "/tenants/a/rooms",
            "/tenants/a/rooms/",
            "/tenants//rooms/b",
            "/tenants/a/rooms/b/c",
            "/tenants/a/room/b",
            "tenants/a/rooms/b",
            "/",
        ] {
            assert!(!pattern.matches(other), "{other}");
        }
        assert_eq!(pattern.parameter("/tenants/ä/rooms/b", "tenant"), Some("ä"));
        assert_eq!(pattern.parameter("/tenants/a/rooms/b", "room"), Some("b"));
        assert_eq!(pattern.parameter("/tenants/a/rooms/b", "guild"), None);
        assert_eq!(pattern.parameter("/elsewhere", "room"), None);
    }

    #[test]
    fn exact_names_and_functions() {
        assert!(Pattern::new("/").matches("/"));
        assert!(!Pattern::new("/").matches("/a"));
        let even = Pattern::Matching(Arc::new(|name| name.len() % 2 == 0));
        assert!(even.matches("/a"));
        assert!(!even.matches("/ab"));
        assert!(!even.matches("ab"), "no namespace begins otherwise");
    }

    #[test]
    fn what_makes_no_sense_is_no_pattern() {
        for bad in [
            "", "chat", "/a,b", "/a?b", "/\n", "{a}", "/{}", "/a{b}", "/{a", "/a}", "/{a b}",
            "/{a}/{a}",
        ] {
            assert!(!Pattern::new(bad).is_valid(), "{bad}");
        }
        for good in ["/", "/a b", "/{a}", "/{a}/{b_2}"] {
            assert!(Pattern::new(good).is_valid(), "{good}");
        }
    }
}
