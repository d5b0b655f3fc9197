//! From `tracing` events to entries.

use std::{
    cell::Cell,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::SystemTime,
};

use serde_json::Value;
use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span::{Attributes, Id, Record},
    subscriber::Interest,
};
use tracing_subscriber::{
    Layer,
    layer::{Context, Filter},
    registry::LookupSpan,
};

use super::{
    Logs,
    entry::{Entry, Fields, shortened},
    of_rank,
    redact::{REDACTED, is_secret, redacted},
};

use crate::time::unix_ms;

thread_local! {
    /// Whether this thread is sending entries: what that logs would be sent again.
    static SENDING: Cell<bool> = const { Cell::new(false) };
}

/// Does something that puts nothing into the log.
pub(super) fn silently<T>(send: impl FnOnce() -> T) -> T {
    struct Reset;
    impl Drop for Reset {
        fn drop(&mut self) {
            SENDING.set(false);
        }
    }
    SENDING.set(true);
    let _reset = Reset;
    send()
}

pub(super) struct LogLayer(Logs);

impl LogLayer {
    pub(super) fn new(logs: Logs) -> Self {
        Self(logs)
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for LogLayer {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut visitor = Visitor::default();
            attributes.record(&mut visitor);
            // Another log's layer may have been here before.
            span.extensions_mut().replace(visitor.fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut visitor = Visitor::default();
            values.record(&mut visitor);
            let mut extensions = span.extensions_mut();
            if let Some(fields) = extensions.get_mut::<Fields>() {
                fields.extend(&visitor.fields);
            }
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        if SENDING.get() {
            return;
        }
        let mut visitor = Visitor::default();
        event.record(&mut visitor);
        let Visitor {
            message,
            mut fields,
        } = visitor;
        // From the innermost span outwards.
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(outer) = span.extensions().get::<Fields>() {
                fields.extend(outer);
            }
        }
        let metadata = event.metadata();
        self.0.push(Entry {
            ts: unix_ms(SystemTime::now()),
            level: *metadata.level(),
            target: metadata.target(),
            message: message.into(),
            request_id: fields.text("request_id"),
            user_id: fields.text("user"),
            fields,
        });
    }
}

/// Collects an event's fields, without secrets.
#[derive(Default)]
struct Visitor {
    message: String,
    fields: Fields,
}

impl Visitor {
    fn insert(&mut self, field: &Field, value: impl FnOnce() -> Value) {
        let name = field.name();
        let value = match is_secret(name) {
            true => REDACTED.into(),
            false => value(),
        };
        self.fields.insert(name, value);
    }

    fn insert_text(&mut self, field: &Field, text: String) {
        let text = match redacted(&text) {
            std::borrow::Cow::Borrowed(_) => text,
            std::borrow::Cow::Owned(redacted) => redacted,
        };
        match field.name() {
            "message" => self.message = shortened(text),
            _ => self.insert(field, || shortened(text).into()),
        }
    }
}

impl Visit for Visitor {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert_text(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert_text(field, value.to_owned());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, || value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, || value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, || value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, || value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.insert_text(field, crate::server::cluster::chain(value));
    }
}

/// Lets through what the ring is to keep now.
pub(super) struct Gate(Arc<AtomicU8>);

impl Gate {
    pub(super) fn new(level: Arc<AtomicU8>) -> Self {
        Self(level)
    }

    fn level(&self) -> LevelFilter {
        of_rank(self.0.load(Ordering::Relaxed))
    }
}

impl<S> Filter<S> for Gate {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        *metadata.level() <= self.level()
    }

    fn callsite_enabled(&self, metadata: &'static Metadata<'static>) -> Interest {
        match *metadata.level() <= self.level() {
            true => Interest::always(),
            false => Interest::never(),
        }
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level())
    }
}
