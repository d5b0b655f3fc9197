//! From events to entries, and which of them a subscriber gets.

use serde_json::{Value, json};
use tracing::{debug, error, info, info_span, subscriber::with_default, warn};
use tracing_subscriber::layer::SubscriberExt;

use super::*;

/// What is in the log after that.
fn logged(program: impl FnOnce()) -> (Logs, Vec<Value>) {
    let logs = Logs::new();
    let subscriber = tracing_subscriber::registry().with(logs.layer());
    with_default(subscriber, program);
    let entries = wanted(&logs, json!({"level": "trace", "backlog": MAX_BACKLOG}));
    (logs, entries)
}

fn wanted(logs: &Logs, wanted: Value) -> Vec<Value> {
    let filter = Wanted::read(&wanted.into()).unwrap();
    let entries = filter.backlog_of(&lock(&logs.0.ring).all());
    entries.iter().map(|entry| json!(entry)).collect()
}

fn messages(entries: &[Value]) -> Vec<&str> {
    entries
        .iter()
        .map(|entry| entry["message"].as_str().unwrap())
        .collect()
}

#[test]
fn an_event_is_an_entry_with_typed_fields() {
    let (_, entries) = logged(|| {
        let cause = std::io::Error::other("no disk");
        info!(
            user = %"u1",
            request_id = "r-1",
            count = 3_u64,
            below = -1_i64,
            ratio = 0.5,
            on = true,
            error = &cause as &dyn std::error::Error,
            debug = ?Some(1),
            "hello {}",
            "there"
        );
    });
    let [entry] = &entries[..] else {
        panic!("{entries:?}")
    };
    assert_eq!(entry["message"], "hello there");
    assert_eq!(entry["level"], "info");
    assert_eq!(entry["target"], module_path!());
    assert_eq!(
        (&entry["userId"], &entry["requestId"]),
        (&json!("u1"), &json!("r-1"))
    );
    assert_eq!(entry["ts"].as_str().map(str::len), Some(24));
    let fields = json!({"user": "u1", "request_id": "r-1", "count": 3, "below": -1, "ratio": 0.5, "on": true, "error": "no disk", "debug": "Some(1)"});
    assert_eq!(entry["fields"], fields);
}

#[test]
fn spans_lend_their_fields_and_the_innermost_is_believed() {
    let (_, entries) = logged(|| {
        let outer = info_span!(
            "outer",
            user = "u1",
            place = "outer",
            late = tracing::field::Empty
        );
        outer.record("late", 7);
        let _outer = outer.entered();
        let _inner = info_span!("inner", place = "inner").entered();
        info!(own = 1, "within");
    });
    let fields = json!({"own": 1, "place": "inner", "user": "u1", "late": 7});
    assert_eq!(entries[0]["fields"], fields);
    assert_eq!(entries[0]["userId"], "u1");
}

#[test]
fn secrets_do_not_get_into_the_log() {
    let (_, entries) = logged(|| {
        info!(
            token = "abc",
            password = 7,
            note = "Bearer abc",
            "eyJa.b.c {}",
            "redis://u:p@h"
        );
    });
    let text = entries[0].to_string();
    assert!(
        !text.contains("abc") && !text.contains("eyJ") && !text.contains("u:p"),
        "{text}"
    );
    assert_eq!(entries[0]["fields"]["password"], "redacted");
    assert_eq!(entries[0]["message"], "redacted redis://redacted@h");
}

#[test]
fn what_is_finer_than_info_is_kept_while_it_is_wanted() {
    let (logs, entries) = logged(|| {
        debug!("unwanted");
        info!("usual");
    });
    assert_eq!(messages(&entries), ["usual"]);
    let subscriber = tracing_subscriber::registry().with(logs.layer());
    with_default(subscriber, || {
        logs.set_level(LevelFilter::DEBUG);
        debug!("wanted");
        logs.set_level(LevelFilter::OFF);
        debug!("unwanted again");
        error!("grave");
    });
    let entries = wanted(&logs, json!({"level": "trace"}));
    assert_eq!(messages(&entries), ["usual", "wanted", "grave"]);
}

#[test]
fn texts_and_fields_are_bounded() {
    let (_, entries) = logged(|| {
        info!(
            long = "ä".repeat(MAX_TEXT_BYTES),
            "{}",
            "x".repeat(2 * MAX_TEXT_BYTES)
        );
        macro_rules! many {
            ($($name:ident)*) => { info!($($name = 1,)* "many") };
        }
        many!(a b c d e f g h i j k l m n o p q r s t u v w x y z aa ab ac ad ae af ag ah ai aj);
    });
    let length = |value: &Value| value.as_str().unwrap().len();
    assert!(length(&entries[0]["message"]) <= MAX_TEXT_BYTES);
    assert!(length(&entries[0]["fields"]["long"]) <= MAX_TEXT_BYTES);
    assert!(entries[0]["message"].as_str().unwrap().ends_with('…'));
    assert_eq!(entries[1]["fields"].as_object().unwrap().len(), MAX_FIELDS);
}

#[test]
fn the_ring_is_bounded_and_knows_what_it_lost() {
    let (logs, _) = logged(|| {
        for number in 0..MAX_ENTRIES + 5 {
            info!(number);
        }
    });
    assert_eq!(logs.entries(), MAX_ENTRIES);
    let (gone, entries) = lock(&logs.0.ring).from(2, 3, usize::MAX);
    assert_eq!((gone, entries.len()), (3, 3));
    assert_eq!(json!(entries[0])["fields"]["number"], 5);
    let (gone, entries) = lock(&logs.0.ring).from(MAX_ENTRIES as u64 + 5, 3, usize::MAX);
    assert_eq!((gone, entries.len()), (0, 0));

    let (logs, _) = logged(|| {
        for _ in 0..MAX_ENTRIES {
            info!(
                a = "x".repeat(MAX_TEXT_BYTES),
                "{}",
                "y".repeat(MAX_TEXT_BYTES)
            );
        }
    });
    let most = MAX_RING_BYTES / (2 * MAX_TEXT_BYTES);
    assert!(logs.entries() <= most, "{} are kept", logs.entries());

    // What goes out at once is bounded as well, and is something in any case.
    let at_once = MAX_BATCH_BYTES / (2 * MAX_TEXT_BYTES);
    let backlog = wanted(&logs, json!({"backlog": MAX_BACKLOG})).len();
    assert!((1..=at_once).contains(&backlog), "{backlog} are sent");
    let (_, entries) = lock(&logs.0.ring).from(0, MAX_BATCH, MAX_BATCH_BYTES);
    assert!((1..=at_once).contains(&entries.len()));
    assert_eq!(lock(&logs.0.ring).from(0, MAX_BATCH, 1).1.len(), 1);
}

#[test]
fn entries_of_threads_that_overtake_each_other_are_in_the_order_of_their_times() {
    let mut ring = Ring::default();
    for ts in [5_000, 4_999, 5_001, 1_000, 1_001] {
        ring.push(Entry {
            ts,
            level: tracing::Level::INFO,
            target: "t",
            message: "m".into(),
            fields: entry::Fields::default(),
            request_id: None,
            user_id: None,
        });
    }
    let times: Vec<_> = ring.all().iter().map(|entry| entry.ts).collect();
    // The last but one is of a clock that was set.
    assert_eq!(times, [5_000, 5_000, 5_001, 1_000, 1_001]);
}

#[test]
fn filters_are_by_level_target_and_text() {
    let (logs, _) = logged(|| {
        info!(target: "a::b", user = "Ünal", "One");
        warn!(target: "a::c", code = 7, "two");
        error!(target: "b", "three");
    });
    let messages = |filter| {
        let entries = wanted(&logs, filter);
        let texts = entries
            .iter()
            .map(|e| e["message"].as_str().unwrap().to_owned());
        texts.collect::<Vec<_>>()
    };
    assert_eq!(messages(json!({})), ["One", "two", "three"]);
    assert_eq!(messages(json!({"level": "warn"})), ["two", "three"]);
    assert_eq!(messages(json!({"target": "a::"})), ["One", "two"]);
    assert_eq!(messages(json!({"text": "ONE"})), ["One"]);
    assert_eq!(messages(json!({"text": "ünal"})), ["One"]);
    assert_eq!(messages(json!({"text": "code"})), ["two"]);
    assert_eq!(messages(json!({"text": "7"})), ["two"]);
    assert_eq!(messages(json!({"backlog": 1})), ["three"]);
    assert_eq!(messages(json!({"backlog": 0})), [""; 0]);
}

#[test]
fn what_nobody_may_ask_for_is_refused_with_its_bound() {
    let refused = |wanted: Value| {
        let refused = Wanted::read(&wanted.into()).unwrap_err();
        refused.message().to_owned()
    };
    assert!(refused(json!({"level": "loud"})).contains("one of trace"));
    let long = "x".repeat(MAX_FILTER_CHARS + 1);
    assert!(refused(json!({"target": long})).contains("200"));
    assert!(refused(json!({"text": long})).contains("200"));
    assert!(refused(json!({"backlog": MAX_BACKLOG + 1})).contains("1000"));
    assert!(refused(json!({"backlog": -1})).contains("whole number"));
    assert!(refused(json!({"text": 7})).contains("not a text"));
}

#[test]
fn who_sends_entries_logs_nothing() {
    let (_, entries) = logged(|| {
        layer::silently(|| info!("sent again and again"));
        info!("usual");
    });
    assert_eq!(messages(&entries), ["usual"]);
}
