//! An answer that takes work: made once for all who ask at a time, and told again until it is too old.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{sync::Mutex, time::Instant};

/// The last answer, and until when it is told.
#[derive(Debug)]
pub(crate) struct Cached<T> {
    last: Mutex<Option<(Instant, Arc<T>)>>,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self {
            last: Mutex::new(None),
        }
    }
}

impl<T: Send + Sync> Cached<T> {
    /// The last answer and whether it is young enough; nothing while one is being made.
    #[cfg(feature = "diagnostics")]
    pub(crate) fn peek(&self) -> Option<(Arc<T>, bool)> {
        let last = self.last.try_lock().ok()?;
        let (until, answer) = last.as_ref()?;
        Some((Arc::clone(answer), Instant::now() < *until))
    }

    /// The answer. It is made by `make`, which says for how long it is told, when there is none that is young enough. Whoever asks meanwhile waits for it; when the
    /// one who makes it is dropped, the next one does.
    pub(crate) async fn get<F>(&self, make: impl FnOnce() -> F + Send) -> Arc<T>
    where
        F: Future<Output = (T, Duration)> + Send,
    {
        let mut last = self.last.lock().await;
        if let Some((until, answer)) = &*last
            && Instant::now() < *until
        {
            return Arc::clone(answer);
        }
        let (answer, max_age) = make().await;
        let answer = Arc::new(answer);
        *last = Some((Instant::now() + max_age, Arc::clone(&answer)));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_computation_for_all_until_it_is_too_old() {
        let (cached, made) = (Cached::default(), AtomicU32::new(0));
        let get = || {
            cached.get(|| async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                (
                    made.fetch_add(1, Ordering::Relaxed),
                    Duration::from_secs(30),
                )
            })
        };
        let answers = futures_util::future::join_all((0..100).map(|_| get())).await;
        assert!(answers.iter().all(|answer| **answer == 0));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(*get().await, 0);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(*get().await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_dropped_leaves_it_to_the_next() {
        let cached = Cached::default();
        let stuck = cached.get(std::future::pending::<(u32, Duration)>);
        assert!(
            tokio::time::timeout(Duration::from_secs(1), stuck)
                .await
                .is_err()
        );
        let answer = cached.get(|| async { (7, Duration::ZERO) }).await;
        assert_eq!(*answer, 7);
    }
}
