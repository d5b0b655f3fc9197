//! An engine's URL, taken apart as far as this program has a say in it.

use std::fmt;

/// An URL without the options that are this program's own.
pub(crate) struct EngineUrl {
    url: String,
    options: Vec<(String, String)>,
}

impl EngineUrl {
    /// Takes the options of these names out of the URL's query. Errors show nothing of the URL.
    pub(crate) fn parse(url: &str, own: &[&str]) -> Result<Self, String> {
        let (url, fragment) = match url.split_once('#') {
            Some((url, fragment)) => (url, Some(fragment)),
            None => (url, None),
        };
        let Some((base, query)) = url.split_once('?') else {
            let url = url.to_owned();
            return match fragment {
                None => Ok(Self {
                    url,
                    options: Vec::new(),
                }),
                Some(_) => Err(fragment_text()),
            };
        };
        if fragment.is_some() {
            return Err(fragment_text());
        }
        let mut options = Vec::<(String, String)>::new();
        let mut others = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = decoded(pair);
            if !own.contains(&name.as_str()) {
                others.push(pair);
            } else if options.iter().any(|(other, _)| *other == name) {
                return Err(format!("the URL has `{name}` twice: leave one"));
            } else {
                options.push((name, value));
            }
        }
        let url = match &others[..] {
            [] => base.to_owned(),
            others => format!("{base}?{}", others.join("&")),
        };
        Ok(Self { url, options })
    }

    /// The URL for the engine's client.
    pub(crate) fn as_str(&self) -> &str {
        &self.url
    }

    /// The value of an own option.
    pub(crate) fn option(&self, name: &str) -> Option<&str> {
        let mut options = self.options.iter();
        let option = options.find(|(option, _)| option == name);
        option.map(|(_, value)| value.as_str())
    }
}

impl fmt::Debug for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineUrl(redacted)")
    }
}

fn fragment_text() -> String {
    "the URL has a `#`: write it as %23".to_owned()
}

fn decoded(pair: &str) -> (String, String) {
    let mut pairs = form_urlencoded::parse(pair.as_bytes());
    pairs.next().map_or_else(Default::default, |(name, value)| {
        (name.into(), value.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_options_are_taken_out() {
        let own = &["schema", "prefix"];
        let url =
            EngineUrl::parse("postgres://u@h/db?sslmode=require&schema=a%20b&x=1", own).unwrap();
        assert_eq!(url.as_str(), "postgres://u@h/db?sslmode=require&x=1");
        assert_eq!(
            (url.option("schema"), url.option("prefix")),
            (Some("a b"), None)
        );
        let url = EngineUrl::parse("redis://h?prefix=p", own).unwrap();
        assert_eq!(
            (url.as_str(), url.option("prefix")),
            ("redis://h", Some("p"))
        );
        let url = EngineUrl::parse("redis://h", own).unwrap();
        assert_eq!((url.as_str(), url.option("prefix")), ("redis://h", None));
    }

    #[test]
    fn mistakes_are_told_without_the_url() {
        for (url, said) in [
            ("redis://:hunter2@h?prefix=a&prefix=b", "twice"),
            ("redis://:hunter2#x@h", "%23"),
            ("redis://:hunter2@h?a#b", "%23"),
        ] {
            let error = EngineUrl::parse(url, &["prefix"]).unwrap_err();
            assert!(
                error.contains(said) && !error.contains("hunter2"),
                "{error}"
            );
        }
        let url = EngineUrl::parse("redis://:hunter2@h", &[]).unwrap();
        assert_eq!(format!("{url:?}"), "EngineUrl(redacted)");
    }
}
