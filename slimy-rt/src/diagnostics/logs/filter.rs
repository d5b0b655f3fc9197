//! Which entries a subscriber wants.

use serde::Deserialize;
use serde_json::Value;
use tracing::{Level, level_filters::LevelFilter};

use super::entry::Entry;

/// The longest target or text that a subscriber may ask for, in characters.
pub const MAX_FILTER_CHARS: usize = 200;
/// The most entries that a subscriber may ask for when it begins.
pub const MAX_BACKLOG: usize = 1_000;
/// How many it gets when it does not say.
const BACKLOG: usize = 200;

/// What `logs:subscribe` says.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::diagnostics) struct Wanted {
    level: Option<String>,
    target: Option<String>,
    text: Option<String>,
    backlog: Option<u64>,
}

/// The same, checked.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    level: LevelFilter,
    target: Box<str>,
    /// In lower case.
    text: Box<str>,
    pub(super) backlog: usize,
}

impl Wanted {
    /// What is wrong with it, in words for whoever wrote it.
    pub(super) fn check(self) -> Result<Filter, String> {
        let level = match self.level.as_deref() {
            None | Some("info") => Level::INFO,
            Some("trace") => Level::TRACE,
            Some("debug") => Level::DEBUG,
            Some("warn") => Level::WARN,
            Some("error") => Level::ERROR,
            Some(_) => {
                return Err("`level` is one of trace, debug, info, warn and error.".to_owned());
            }
        };
        let bounded = |name: &str, text: Option<String>| {
            let text = text.unwrap_or_default();
            match text.chars().count() <= MAX_FILTER_CHARS {
                true => Ok(text),
                false => Err(format!(
                    "`{name}` has at most {MAX_FILTER_CHARS} characters."
                )),
            }
        };
        let backlog = match self.backlog {
            None => BACKLOG,
            Some(wanted) => usize::try_from(wanted)
                .ok()
                .filter(|wanted| *wanted <= MAX_BACKLOG)
                .ok_or_else(|| format!("`backlog` is at most {MAX_BACKLOG}."))?,
        };
        Ok(Filter {
            level: level.into(),
            target: bounded("target", self.target)?.into(),
            text: bounded("text", self.text)?.to_lowercase().into(),
            backlog,
        })
    }
}

impl Filter {
    pub(super) fn level(&self) -> LevelFilter {
        self.level
    }

    pub(super) fn wants(&self, entry: &Entry) -> bool {
        entry.level <= self.level && entry.target.starts_with(&*self.target) && self.is_in(entry)
    }

    /// Whether the text is somewhere in the entry, in whatever case.
    fn is_in(&self, entry: &Entry) -> bool {
        if self.text.is_empty() {
            return true;
        }
        let has = |text: &str| text.to_lowercase().contains(&*self.text);
        let ids = [&entry.request_id, &entry.user_id];
        has(&entry.message)
            || has(entry.target)
            || ids.into_iter().flatten().any(|id| has(id))
            || entry.fields.iter().any(|(name, value)| match value {
                Value::String(text) => has(text) || has(name),
                other => has(&other.to_string()) || has(name),
            })
    }
}
