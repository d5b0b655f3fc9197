//! Which entries a subscriber wants.

use std::sync::Arc;

use serde_json::Value;
use tracing::{Level, level_filters::LevelFilter};

use super::{
    super::request::{Fields, invalid},
    MAX_BATCH_BYTES,
    entry::Entry,
    ring::within,
};
use crate::events::Rejection;

/// The longest target or text that a subscriber may ask for, in characters.
pub const MAX_FILTER_CHARS: usize = 200;
/// The most entries that a subscriber may ask for when it begins.
pub const MAX_BACKLOG: usize = 1_000;
/// How many it gets when it does not say.
const BACKLOG: usize = 200;

/// What `logs:subscribe` asks for.
#[derive(Clone, Debug)]
pub(in crate::diagnostics) struct Wanted {
    level: LevelFilter,
    target: Box<str>,
    /// In lower case.
    text: Box<str>,
    /// How many entries it begins with.
    backlog: usize,
}

impl Wanted {
    pub(in crate::diagnostics) fn read(fields: &Fields) -> Result<Self, Rejection> {
        let level = match fields.text("level")?.as_deref() {
            None | Some("info") => Level::INFO,
            Some("trace") => Level::TRACE,
            Some("debug") => Level::DEBUG,
            Some("warn") => Level::WARN,
            Some("error") => Level::ERROR,
            Some(_) => {
                return Err(invalid(
                    "`level` is one of trace, debug, info, warn and error.",
                ));
            }
        };
        let bounded = |name| {
            let text = fields.text(name)?.unwrap_or_default();
            match text.chars().count() <= MAX_FILTER_CHARS {
                true => Ok(text),
                false => Err(invalid(format!(
                    "`{name}` has at most {MAX_FILTER_CHARS} characters."
                ))),
            }
        };
        let backlog = match fields.number("backlog")? {
            None => BACKLOG,
            Some(wanted) => usize::try_from(wanted)
                .ok()
                .filter(|wanted| *wanted <= MAX_BACKLOG)
                .ok_or_else(|| invalid(format!("`backlog` is at most {MAX_BACKLOG}.")))?,
        };
        Ok(Self {
            level: level.into(),
            target: bounded("target")?.into(),
            text: bounded("text")?.to_lowercase().into(),
            backlog,
        })
    }
    /// The last of these that are wanted, oldest first.
    pub(super) fn backlog_of(&self, entries: &[Arc<Entry>]) -> Vec<Arc<Entry>> {
        let wanted = entries.iter().rev().filter(|entry| self.wants(entry));
        let mut last: Vec<_> = within(wanted.take(self.backlog), MAX_BATCH_BYTES)
            .cloned()
            .collect();
        last.reverse();
        last
    }

    pub(super) fn level(&self) -> LevelFilter {
        self.level
    }

    pub(super) fn wants(&self, entry: &Entry) -> bool {
        entry.level <= self.level && entry.target.starts_with(&*self.target) && self.is_in(entry)
    }

    /// Whether the text is somewhere in the entry, in whatever case: in its message, its target, or a field as it is shown, such as `user=u1`.
    fn is_in(&self, entry: &Entry) -> bool {
        if self.text.is_empty() {
            return true;
        }
        let has = |text: &str| text.to_lowercase().contains(&*self.text);
        let ids = [("requestId", &entry.request_id), ("userId", &entry.user_id)];
        let mut ids = ids
            .into_iter()
            .filter_map(|(name, id)| Some((name, id.as_ref()?)));
        has(&entry.message)
            || has(entry.target)
            || ids.any(|(name, id)| has(&format!("{name}={id}")))
            || entry.fields.iter().any(|(name, value)| match value {
                Value::String(text) => has(&format!("{name}={text}")),
                other => has(&format!("{name}={other}")),
            })
    }
}
