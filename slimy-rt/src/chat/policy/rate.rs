//! How many messages a user may send: an exact sliding window.

use std::{
    collections::{HashMap, VecDeque},
    fmt, mem,
    str::FromStr,
    time::{Duration, Instant},
};

use crate::UserId;

/// A limit on accepted messages: so many within any span of this length. `20/10s` by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatRate {
    /// Zero: no limit.
    messages: u32,
    per: Duration,
}

impl ChatRate {
    /// The most messages that a limit can allow per span: each is remembered while it counts.
    pub const MAX_MESSAGES: u32 = 10_000;
    /// The longest span.
    pub const MAX_PER: Duration = Duration::from_secs(3600);
    /// No limit.
    pub const UNLIMITED: Self = Self {
        messages: 0,
        per: Duration::ZERO,
    };

    /// At most `messages` within any span of `per`.
    ///
    /// # Errors
    /// When `messages` is not 1 to [`MAX_MESSAGES`](Self::MAX_MESSAGES), or `per` not 1 ms to [`MAX_PER`](Self::MAX_PER).
    pub fn new(messages: u32, per: Duration) -> Result<Self, InvalidChatRate> {
        if !(1..=Self::MAX_MESSAGES).contains(&messages) {
            return Err(InvalidChatRate("the number must be 1 to 10000"));
        }
        if !(Duration::from_millis(1)..=Self::MAX_PER).contains(&per) {
            return Err(InvalidChatRate("the time must be 1ms to 1h"));
        }
        Ok(Self { messages, per })
    }

    /// Reads `20/10s`, `5/1m`, `100/500ms`, `60/1h`; `0` or `off` is no limit.
    ///
    /// # Errors
    /// [`InvalidChatRate`] says what to change.
    pub fn parse(text: &str) -> Result<Self, InvalidChatRate> {
        const FORM: InvalidChatRate = InvalidChatRate("write it as 20/10s, or off for no limit");
        if matches!(text, "0" | "off") {
            return Ok(Self::UNLIMITED);
        }
        let digits = |text: &str| {
            let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            // Too many digits are too large a number, which `new` explains.
            plain.then(|| text.parse::<u32>().unwrap_or(u32::MAX))
        };
        let (messages, per) = text.split_once('/').ok_or(FORM)?;
        let unit = per.find(|c: char| !c.is_ascii_digit()).ok_or(FORM)?;
        let (count, unit) = per.split_at(unit);
        let count = u64::from(digits(count).ok_or(FORM)?);
        let per = match unit {
            "ms" => Duration::from_millis(count),
            "s" => Duration::from_secs(count),
            "m" => Duration::from_secs(count * 60),
            "h" => Duration::from_secs(count * 3600),
            _ => return Err(FORM),
        };
        Self::new(digits(messages).ok_or(FORM)?, per)
    }
}

impl Default for ChatRate {
    fn default() -> Self {
        Self {
            messages: 20,
            per: Duration::from_secs(10),
        }
    }
}

impl FromStr for ChatRate {
    type Err = InvalidChatRate;

    fn from_str(text: &str) -> Result<Self, InvalidChatRate> {
        Self::parse(text)
    }
}

impl fmt::Display for ChatRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.messages, self.per.subsec_millis()) {
            (0, _) => f.write_str("off"),
            (messages, 0) => write!(f, "{messages}/{}s", self.per.as_secs()),
            (messages, _) => write!(f, "{messages}/{}ms", self.per.as_millis()),
        }
    }
}

/// A text that is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid chat rate: {0}")]
pub struct InvalidChatRate(&'static str);

/// The most users whose messages are counted at a time; beyond, those not heard of for longest start afresh.
pub(super) const MAX_USERS: usize = 100_000;

/// When each user's messages were accepted, as far back as the span reaches.
///
/// Two generations forget idle users without a scan: who is not heard of while a whole span passes is left in the older
/// one, and goes with it.
#[derive(Debug)]
pub(super) struct Windows {
    rate: ChatRate,
    newer: HashMap<UserId, VecDeque<Instant>>,
    older: HashMap<UserId, VecDeque<Instant>>,
    turned: Option<Instant>,
}

impl Windows {
    pub(super) fn new(rate: ChatRate) -> Self {
        Self {
            rate,
            newer: HashMap::new(),
            older: HashMap::new(),
            turned: None,
        }
    }

    /// Counts a message of `user`, or says how long until one more is allowed.
    pub(super) fn take(&mut self, user: &UserId, now: Instant) -> Result<(), Duration> {
        let ChatRate { messages, per } = self.rate;
        if messages == 0 {
            return Ok(());
        }
        let times = self.times(user, now);
        while let Some(first) = times.front()
            && now.saturating_duration_since(*first) >= per
        {
            times.pop_front();
        }
        match times.front() {
            Some(first) if times.len() >= messages as usize => {
                Err((*first + per).saturating_duration_since(now))
            }
            _ => {
                times.push_back(now);
                Ok(())
            }
        }
    }

    /// Takes back a message that was counted at `at` and is not sent after all.
    pub(super) fn give_back(&mut self, user: &UserId, at: Instant) {
        for generation in [&mut self.newer, &mut self.older] {
            if let Some(times) = generation.get_mut(user)
                && let Some(index) = times.iter().rposition(|time| *time == at)
            {
                times.remove(index);
                return;
            }
        }
    }

    fn times(&mut self, user: &UserId, now: Instant) -> &mut VecDeque<Instant> {
        let turned = *self.turned.get_or_insert(now);
        let span_passed = now.saturating_duration_since(turned) >= self.rate.per;
        if span_passed || self.newer.len() >= MAX_USERS / 2 {
            self.older = mem::take(&mut self.newer);
            self.turned = Some(now);
        }
        let older = &mut self.older;
        let entry = self.newer.entry(user.clone());
        entry.or_insert_with(|| older.remove(user).unwrap_or_default())
    }

    #[cfg(test)]
    fn users(&self) -> usize {
        self.newer.len() + self.older.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn rates_are_parsed_and_shown() {
        let table = [
            ("20/10s", 20, ms(10_000), "20/10s"),
            ("5/1m", 5, ms(60_000), "5/60s"),
            ("100/500ms", 100, ms(500), "100/500ms"),
            ("60/1h", 60, ms(3_600_000), "60/3600s"),
            ("1/1500ms", 1, ms(1_500), "1/1500ms"),
        ];
        for (text, messages, per, shown) in table {
            let rate = ChatRate::parse(text).unwrap();
            assert_eq!(rate, ChatRate::new(messages, per).unwrap());
            assert_eq!(rate.to_string(), shown);
            assert_eq!(shown.parse(), Ok(rate));
        }
        for text in ["0", "off"] {
            assert_eq!(ChatRate::parse(text), Ok(ChatRate::UNLIMITED));
        }
        assert_eq!(ChatRate::UNLIMITED.to_string(), "off");
        assert_eq!(ChatRate::default().to_string(), "20/10s");
        for bad in [
            "",
            "20",
            "/",
            "20/",
            "/10s",
            "20/s",
            "20/10",
            "20/10x",
            "20/10 s",
            " 20/10s",
            "-1/1s",
            "+1/1s",
            "1.5/1s",
            "0/1s",
            "10001/1s",
            "1/0s",
            "1/2h",
            "99999999999/1s",
            "1/99999999999h",
            "1/1é",
            "OFF",
        ] {
            assert!(ChatRate::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn exactly_so_many_are_accepted_in_any_span() {
        let (start, alice) = (Instant::now(), user("alice"));
        let mut windows = Windows::new(ChatRate::default());
        for n in 0..20 {
            assert_eq!(windows.take(&alice, start + ms(100 * n)), Ok(()));
        }
        let at = start + ms(2_000);
        assert_eq!(windows.take(&alice, at), Err(ms(8_000)));
        // Refused ones do not count, and the wait is the true one.
        assert_eq!(windows.take(&alice, at + ms(7_999)), Err(ms(1)));
        assert_eq!(windows.take(&alice, at + ms(8_000)), Ok(()));
        assert_eq!(windows.take(&alice, at + ms(8_000)), Err(ms(100)));
        assert_eq!(windows.take(&user("bob"), at), Ok(()));
    }

    #[test]
    fn what_is_given_back_does_not_count() {
        let (start, alice) = (Instant::now(), user("alice"));
        let mut windows = Windows::new(ChatRate::new(2, ms(1_000)).unwrap());
        windows.take(&alice, start).unwrap();
        windows.take(&alice, start + ms(10)).unwrap();
        windows.give_back(&alice, start);
        assert_eq!(windows.take(&alice, start + ms(20)), Ok(()));
        assert_eq!(windows.take(&alice, start + ms(30)), Err(ms(980)));
        windows.give_back(&user("bob"), start);
    }

    #[test]
    fn a_window_survives_a_turn_and_idle_users_do_not() {
        let start = Instant::now();
        let (alice, bob) = (user("alice"), user("bob"));
        let mut windows = Windows::new(ChatRate::new(1, ms(1_000)).unwrap());
        windows.take(&bob, start).unwrap();
        windows.take(&alice, start + ms(900)).unwrap();
        // The generations turn here, and alice's message still counts.
        assert_eq!(windows.take(&alice, start + ms(1_000)), Err(ms(900)));
        windows.take(&alice, start + ms(2_100)).unwrap();
        assert_eq!(windows.users(), 1);
        assert_eq!(windows.take(&bob, start + ms(2_100)), Ok(()));
    }

    #[test]
    fn the_number_of_users_is_bounded() {
        let start = Instant::now();
        let mut windows = Windows::new(ChatRate::default());
        for n in 0..MAX_USERS * 2 {
            windows.take(&user(&n.to_string()), start).unwrap();
        }
        assert!(windows.users() <= MAX_USERS);
    }
}
