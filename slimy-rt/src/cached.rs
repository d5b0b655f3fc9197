//! An answer that takes work: made once for all who ask at a time, and told again until it is too old.

use std::{
    future::Future,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use crate::server::lock;

/// The last answer, and the one that is being made.
#[derive(Debug)]
pub(crate) struct Cached<T>(Arc<Mutex<State<T>>>);

#[derive(Debug)]
struct State<T> {
    /// Until when it is told.
    last: Option<(Instant, Arc<T>)>,
    making: Option<watch::Receiver<Option<Arc<T>>>>,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State {
            last: None,
            making: None,
        })))
    }
}

impl<T: Send + Sync + 'static> Cached<T> {
    /// The answer. It is made by `make`, which says for how long it is told, when there is none that is young enough and none is being made. That is a task of its own: it goes
    /// on when nobody waits for it any more.
    ///
    /// # Panics
    /// When the making panicked.
    pub(crate) async fn get<F>(&self, make: impl FnOnce() -> F) -> Arc<T>
    where
        F: Future<Output = (T, Duration)> + Send + 'static,
    {
        let made = {
            let mut state = lock(&self.0);
            if let Some((until, answer)) = &state.last
                && Instant::now() < *until
            {
                return Arc::clone(answer);
            }
            let making = state.making.as_ref().filter(|m| m.has_changed().is_ok());
            match making {
                Some(made) => made.clone(),
                None => {
                    let (sender, made) = watch::channel(None);
                    let (making, shared) = (make(), Arc::clone(&self.0));
                    tokio::spawn(async move {
                        let (answer, max_age) = making.await;
                        let answer = Arc::new(answer);
                        {
                            let mut state = lock(&shared);
                            state.last = Some((Instant::now() + max_age, Arc::clone(&answer)));
                            state.making = None;
                        }
                        sender.send_replace(Some(answer));
                    });
                    state.making = Some(made.clone());
                    made
                }
            }
        };
        let mut made = made;
        let answer = made.wait_for(Option::is_some).await;
        let answer = answer.ok().and_then(|answer| answer.clone());
        answer.expect("what makes an answer panicked, which its task has told")
    }

    /// The last answer and whether it is young enough.
    #[cfg(feature = "diagnostics")]
    pub(crate) fn peek(&self) -> Option<(Arc<T>, bool)> {
        let state = lock(&self.0);
        let (until, answer) = state.last.as_ref()?;
        Some((Arc::clone(answer), Instant::now() < *until))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn making(
        made: &Arc<AtomicU32>,
        max_age: Duration,
    ) -> impl Fn() -> futures_util::future::BoxFuture<'static, (u32, Duration)> {
        let made = Arc::clone(made);
        move || {
            let made = Arc::clone(&made);
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                (made.fetch_add(1, Ordering::Relaxed), max_age)
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_computation_for_all_until_it_is_too_old() {
        let (cached, made) = (Cached::default(), Arc::default());
        let make = making(&made, Duration::from_secs(30));
        let answers = futures_util::future::join_all((0..100).map(|_| cached.get(&make))).await;
        assert!(answers.iter().all(|answer| **answer == 0));
        tokio::time::advance(Duration::from_secs(29)).await;
        assert_eq!(*cached.get(&make).await, 0);
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(*cached.get(&make).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_never_told_again_is_made_once_for_all_who_wait() {
        let (cached, made) = (Cached::default(), Arc::default());
        let make = making(&made, Duration::ZERO);
        let answers = futures_util::future::join_all((0..100).map(|_| cached.get(&make))).await;
        assert!(answers.iter().all(|answer| **answer == 0));
        assert_eq!(*cached.get(&make).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_leaves_the_answer_to_the_next() {
        let (cached, made) = (Cached::default(), Arc::default());
        let make = making(&made, Duration::from_secs(30));
        let patience = Duration::from_millis(600);
        for _ in 0..2 {
            let _ = tokio::time::timeout(patience, cached.get(&make)).await;
        }
        assert_eq!(*cached.get(&make).await, 0);
        assert_eq!(made.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn after_a_panic_the_next_one_tries_again() {
        let cached = Arc::new(Cached::default());
        let broken = Arc::clone(&cached);
        let asked = tokio::spawn(async move {
            let make = || async { panic!("a source is broken") };
            broken
                .get::<std::pin::Pin<Box<dyn Future<Output = (u32, Duration)> + Send>>>(|| {
                    Box::pin(make())
                })
                .await
        });
        assert!(asked.await.is_err_and(|error| error.is_panic()));
        let make = || async { (7, Duration::ZERO) };
        assert_eq!(*cached.get(make).await, 7);
    }
}
