//! One coarse timer wheel for every deadline of every connection.
//!
//! A connection has one timer, armed at its earliest deadline. Moving a deadline back costs nothing: the old entry finds the new
//! deadline when its turn comes. That is what a heartbeat does all day.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

const SLOTS: usize = 512;
const NEVER: u64 = u64::MAX;

/// Something that has a timer.
pub(crate) trait Timed: Send + Sync + 'static {
    /// Its timer.
    fn timer(&self) -> &Timer;
    /// Called when the timer's deadline has passed, without any lock held.
    fn expired(&self);
}

/// A timer's state; only the wheel changes it, under its lock.
#[derive(Debug)]
pub(crate) struct Timer {
    /// The tick at which it expires.
    deadline: AtomicU64,
    /// The tick of its entry in the wheel.
    entry: AtomicU64,
}

impl Timer {
    pub(crate) const fn new() -> Self {
        Self {
            deadline: AtomicU64::new(NEVER),
            entry: AtomicU64::new(NEVER),
        }
    }
}

/// The wheel.
#[derive(Debug)]
pub(crate) struct Wheel<T> {
    start: Instant,
    tick: Duration,
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    /// The last tick whose slot was looked through.
    current: u64,
    slots: Box<[Vec<Arc<T>>]>,
}

impl<T: Timed> Wheel<T> {
    pub(crate) fn new(tick: Duration) -> Self {
        let slots = (0..SLOTS).map(|_| Vec::new()).collect();
        Self {
            start: Instant::now(),
            tick,
            state: Mutex::new(State { current: 0, slots }),
        }
    }

    /// Lets `item` expire at the first tick at or after `at`; earlier arming is forgotten.
    pub(crate) fn arm(&self, item: &Arc<T>, at: Instant) {
        let tick = self.tick.as_nanos().max(1);
        let since = at.saturating_duration_since(self.start).as_nanos();
        let deadline = u64::try_from(since.div_ceil(tick)).unwrap_or(NEVER - 1);
        let mut state = self.lock();
        let deadline = deadline.max(state.current + 1);
        item.timer().deadline.store(deadline, Relaxed);
        if deadline < item.timer().entry.load(Relaxed) {
            state.insert(item, deadline);
        }
    }

    /// Turns the wheel until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut interval = tokio::time::interval(self.tick);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut expired = Vec::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = interval.tick() => {}
            }
            self.turn(Instant::now(), &mut expired);
            for item in expired.drain(..) {
                item.expired();
            }
        }
    }

    /// Looks through every slot up to `now`.
    fn turn(&self, now: Instant, expired: &mut Vec<Arc<T>>) {
        let ticks =
            now.saturating_duration_since(self.start).as_nanos() / self.tick.as_nanos().max(1);
        let target = u64::try_from(ticks).unwrap_or(NEVER - 1);
        let mut state = self.lock();
        while state.current < target {
            state.current += 1;
            state.visit(expired);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State<T>> {
        super::lock(&self.state)
    }
}

impl<T: Timed> State<T> {
    fn insert(&mut self, item: &Arc<T>, tick: u64) {
        item.timer().entry.store(tick, Relaxed);
        self.slots[slot_of(tick)].push(Arc::clone(item));
    }

    fn visit(&mut self, expired: &mut Vec<Arc<T>>) {
        let current = self.current;
        let slot = std::mem::take(&mut self.slots[slot_of(current)]);
        let mut kept = Vec::new();
        for item in slot {
            let timer = item.timer();
            let (entry, deadline) = (timer.entry.load(Relaxed), timer.deadline.load(Relaxed));
            if entry != NEVER && entry > current && slot_of(entry) == slot_of(current) {
                kept.push(item); // of a later round
            } else if entry != current {
                // Left behind by an arming that moved the deadline forward.
            } else if deadline <= current {
                timer.entry.store(NEVER, Relaxed);
                timer.deadline.store(NEVER, Relaxed);
                expired.push(item);
            } else {
                self.insert(&item, deadline);
            }
        }
        // Entries pushed meanwhile into this very slot are of a later round too.
        self.slots[slot_of(current)].append(&mut kept);
    }
}

fn slot_of(tick: u64) -> usize {
    usize::try_from(tick % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Debug)]
    struct Item(Timer, AtomicUsize);

    impl Timed for Item {
        fn timer(&self) -> &Timer {
            &self.0
        }
        fn expired(&self) {
            self.1.fetch_add(1, Relaxed);
        }
    }

    const TICK: Duration = Duration::from_millis(10);

    fn item() -> Arc<Item> {
        Arc::new(Item(Timer::new(), AtomicUsize::new(0)))
    }

    fn expired_by(wheel: &Wheel<Item>, after: Duration) -> usize {
        let mut expired = Vec::new();
        wheel.turn(wheel.start + after, &mut expired);
        expired.len()
    }

    #[test]
    fn expires_once_and_not_before_its_time() {
        let (wheel, item) = (Wheel::new(TICK), item());
        wheel.arm(&item, wheel.start + Duration::from_millis(95));
        assert_eq!(expired_by(&wheel, Duration::from_millis(99)), 0);
        assert_eq!(expired_by(&wheel, Duration::from_millis(100)), 1);
        assert_eq!(expired_by(&wheel, Duration::from_secs(60)), 0);
    }

    #[test]
    fn a_deadline_moves_both_ways() {
        let (wheel, item) = (Wheel::new(TICK), item());
        wheel.arm(&item, wheel.start + Duration::from_millis(100));
        wheel.arm(&item, wheel.start + Duration::from_millis(300));
        assert_eq!(expired_by(&wheel, Duration::from_millis(290)), 0);
        wheel.arm(&item, wheel.start + Duration::from_millis(900));
        wheel.arm(&item, wheel.start + Duration::from_millis(310));
        assert_eq!(expired_by(&wheel, Duration::from_millis(320)), 1);
        assert_eq!(
            expired_by(&wheel, Duration::from_secs(20)),
            0,
            "no second time"
        );
    }

    #[test]
    fn nothing_is_kept_behind_in_any_slot() {
        let wheel = Wheel::new(TICK);
        for slot in 1..=SLOTS as u32 * 2 {
            let item = item();
            // The first entry stays behind when the deadline moves forward.
            wheel.arm(&item, wheel.start + TICK * (slot + 100));
            wheel.arm(&item, wheel.start + TICK * slot);
        }
        assert_eq!(expired_by(&wheel, TICK * (SLOTS as u32 * 3)), SLOTS * 2);
        assert!(wheel.lock().slots.iter().all(Vec::is_empty));
    }

    #[test]
    fn deadlines_beyond_one_round_wait_for_theirs() {
        let (wheel, item) = (Wheel::new(TICK), item());
        let far = TICK * (SLOTS as u32 * 3 + 7);
        wheel.arm(&item, wheel.start + far);
        assert_eq!(expired_by(&wheel, far - TICK), 0);
        assert_eq!(expired_by(&wheel, far), 1);
        assert!(
            wheel.lock().slots.iter().all(Vec::is_empty),
            "nothing is kept"
        );
    }
}
