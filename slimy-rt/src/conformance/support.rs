//! What the clauses share: cancellation, waiting, and texts that break what is built carelessly.

use std::{
    future::poll_fn,
    pin::pin,
    task::Poll,
    time::{Duration, SystemTime},
};

use tokio::time::{Instant, sleep};

use super::{
    CALL_LIMIT,
    run::{Broken, Verdict, failed},
};

/// How often something is looked at that has to become true.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// After how many polls at most a call is dropped.
const MAX_POLLS: usize = 64;

/// Ids and keys that are legal, and that some engines or formats give a meaning to. All differ, also where letters' case, spaces at the
/// ends or Unicode's normal forms are thought to make no difference.
pub(super) const HOSTILE: &[&str] = &[
    "a",
    "A",
    "a ",
    " a",
    "a\u{301}",
    "á",
    "'; DROP TABLE sessions; --",
    "\"quoted\" and 'quoted'",
    "back\\slash",
    "*",
    "a*",
    "?",
    "[a-z]",
    "%",
    "_",
    "a:b",
    "a::b",
    ":",
    "{a}",
    "/../../etc/passwd",
    "a/b",
    "$1",
    "${HOME}",
    "line\nbreak",
    "carriage\r\nreturn",
    "\t",
    "\u{1}\u{7f}",
    "\u{feff}",
    "\u{202e}right to left",
    "日本語",
    "🦀",
    "null",
    "0",
    "-1",
    "1e3",
    "true",
    "\u{10ffff}",
];

/// Polls a call so many times and drops it then, wherever it is. `Some`: it ended before.
pub(super) async fn drop_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    if polls == 0 {
        return None;
    }
    let mut future = pin!(future);
    let mut polled = 0;
    poll_fn(|context| {
        polled += 1;
        match future.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polled >= polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// After how many polls calls are dropped: none, one, and so on.
pub(super) fn poll_counts() -> impl Iterator<Item = usize> {
    0..MAX_POLLS
}

/// Looks again and again until it is so. The error says what was waited for.
pub(super) async fn until<Fut: Future<Output = Verdict<bool>>>(
    what: &str,
    mut look: impl FnMut() -> Fut,
) -> Verdict {
    let deadline = Instant::now() + CALL_LIMIT;
    while !look().await? {
        if Instant::now() >= deadline {
            return failed(format!("not within {CALL_LIMIT:?}: {what}"));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Waits until the system's clock has passed that time. Not with tokio's clock, which a test may have made virtual.
pub(super) async fn system_clock_passes(time: SystemTime) -> Verdict {
    let wait = move || {
        while let Ok(rest) = time.duration_since(SystemTime::now()) {
            std::thread::sleep(rest.max(Duration::from_millis(1)));
        }
    };
    let waited = tokio::task::spawn_blocking(wait).await;
    waited.map_err(|error| Broken::Failed(format!("cannot wait: {error}")))
}
