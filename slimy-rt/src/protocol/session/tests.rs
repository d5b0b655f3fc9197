//! The rules one by one, then all of them under random use and virtual time.

use proptest::prelude::*;

use super::*;

const INTERVAL: Duration = Duration::from_millis(300);
const TIMEOUT: Duration = Duration::from_millis(200);
const UPGRADE: Duration = Duration::from_millis(100);
const TIMES: SessionTimes = SessionTimes {
    ping_interval: INTERVAL,
    ping_timeout: TIMEOUT,
    upgrade_timeout: UPGRADE,
};

fn polling() -> (Session, Instant) {
    let start = Instant::now();
    (Session::new(TIMES, Transport::Polling, start), start)
}

#[test]
fn an_answered_ping_is_followed_by_the_next_after_the_interval() {
    let (mut session, start) = polling();
    assert_eq!(
        session.due(start + INTERVAL - Duration::from_millis(1)),
        None
    );
    assert_eq!(session.due(start + INTERVAL), Some(Due::Ping));
    assert_eq!(session.due(start + INTERVAL), None);
    let answered = start + INTERVAL + TIMEOUT / 2;
    assert_eq!(session.packet(Packet::Pong, answered), Ok(None));
    assert_eq!(session.deadline(), Some(answered + INTERVAL));
}

#[test]
fn an_unanswered_ping_ends_the_session_exactly_after_interval_and_timeout() {
    let (mut session, start) = polling();
    // The driver was late with the ping; the client does not get longer for it.
    assert_eq!(session.due(start + INTERVAL + TIMEOUT / 2), Some(Due::Ping));
    let end = start + INTERVAL + TIMEOUT;
    assert_eq!(session.due(end - Duration::from_millis(1)), None);
    assert_eq!(
        session.poll_opened(end),
        Err(Refusal::Session),
        "before the driver's clock"
    );
    assert_eq!(session.due(end), Some(Due::PingTimeout));
    session.close();
    assert_eq!(session.due(end), None);
    assert_eq!(session.deadline(), None);
}

#[test]
fn only_servers_ping_and_only_clients_close_without_blame() {
    let (mut session, start) = polling();
    assert_eq!(
        session.packet(Packet::Ping, start),
        Err(DisconnectReason::ParseError)
    );
    assert_eq!(
        session.packet(Packet::PingProbe, start),
        Err(DisconnectReason::ParseError)
    );
    assert_eq!(
        session.packet(Packet::Close, start),
        Err(DisconnectReason::TransportClose)
    );
    assert_eq!(session.packet(Packet::Noop, start), Ok(None));
}

#[test]
fn a_second_get_or_post_at_once_ends_the_session() {
    let (mut session, start) = polling();
    assert_eq!(session.poll_opened(start), Ok(Poll::Hold));
    assert_eq!(session.poll_opened(start), Err(Refusal::Session));
    session.poll_answered();
    assert_eq!(session.poll_opened(start), Ok(Poll::Hold));
    assert_eq!(session.post_opened(start), Ok(()));
    assert_eq!(session.post_opened(start), Err(Refusal::Session));
}

#[test]
fn an_upgrade_goes_by_probe_and_five_and_ends_polling() {
    let (mut session, start) = polling();
    assert_eq!(session.poll_opened(start), Ok(Poll::Hold));
    assert!(session.upgrade_opened(start));
    assert!(!session.upgrade_opened(start), "one at a time");
    assert_eq!(session.probe(&Packet::PingProbe), Probe::Answer);
    session.poll_answered();
    assert_eq!(session.poll_opened(start), Ok(Poll::AnswerNow));
    session.poll_answered();
    assert_eq!(session.probe(&Packet::Upgrade), Probe::Upgraded);
    assert_eq!(session.transport(), Transport::WebSocket);
    assert_eq!(session.poll_opened(start), Err(Refusal::Request));
    assert_eq!(session.post_opened(start), Err(Refusal::Request));
    assert!(!session.upgrade_opened(start));
}

#[test]
fn anything_else_on_the_new_transport_closes_only_that() {
    let orders: [&[Packet]; 4] = [
        &[Packet::Upgrade],
        &[Packet::Noop],
        &[Packet::PingProbe, Packet::PingProbe],
        &[Packet::PingProbe, Packet::Pong],
    ];
    for order in orders {
        let (mut session, start) = polling();
        assert!(session.upgrade_opened(start));
        let answers: Vec<_> = order.iter().map(|packet| session.probe(packet)).collect();
        assert_eq!(answers.last(), Some(&Probe::Abandon), "{order:?}");
        assert_eq!(session.transport(), Transport::Polling);
        assert!(!session.is_closed());
        assert!(session.upgrade_opened(start), "another may try");
    }
}

#[test]
fn an_upgrade_that_stays_silent_times_out() {
    let (mut session, start) = polling();
    assert!(session.upgrade_opened(start));
    assert_eq!(session.deadline(), Some(start + UPGRADE));
    assert_eq!(session.due(start + UPGRADE), Some(Due::UpgradeTimeout));
    assert_eq!(session.due(start + UPGRADE), None);
    assert_eq!(session.poll_opened(start + UPGRADE), Ok(Poll::Hold));
}

#[test]
fn while_reading_is_paused_no_pong_is_missed() {
    let (mut session, start) = polling();
    assert_eq!(session.due(start + INTERVAL), Some(Due::Ping));
    session.reading_paused(start + INTERVAL);
    assert_eq!(session.due(start + INTERVAL + TIMEOUT * 10), None);
    session.reading_resumed(start + INTERVAL + TIMEOUT * 10);
    assert_eq!(session.deadline(), Some(start + INTERVAL + TIMEOUT * 11));
}

#[test]
fn a_pause_from_before_the_ping_gives_the_pong_no_more_time() {
    let (mut session, start) = polling();
    session.reading_paused(start);
    assert_eq!(session.due(start + INTERVAL), Some(Due::Ping));
    session.reading_resumed(start + INTERVAL);
    assert_eq!(session.deadline(), Some(start + INTERVAL + TIMEOUT));
}

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Poll,
    PollAnswered,
    Post,
    PostAnswered,
    Upgrade,
    UpgradeGone,
    Probe(u8),
    Packet(u8),
    Pause,
    Resume,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..400u64).prop_map(Step::Wait),
        2 => Just(Step::Poll),
        2 => Just(Step::PollAnswered),
        1 => Just(Step::Post),
        1 => Just(Step::PostAnswered),
        1 => Just(Step::Upgrade),
        1 => Just(Step::UpgradeGone),
        2 => (0..10u8).prop_map(Step::Probe),
        2 => (0..10u8).prop_map(Step::Packet),
        1 => Just(Step::Pause),
        1 => Just(Step::Resume),
    ]
}

fn packet(kind: u8) -> Packet {
    match kind {
        0 => Packet::Open(ByteString::new()),
        1 => Packet::Close,
        2 => Packet::Ping,
        3 => Packet::PingProbe,
        4 => Packet::Pong,
        5 => Packet::PongProbe,
        6 => Packet::Message(ByteString::from_static("x")),
        7 => Packet::Binary(Bytes::from_static(b"x")),
        8 => Packet::Upgrade,
        _ => Packet::Noop,
    }
}

/// What a session must never do, seen from outside.
struct Watch {
    session: Session,
    now: Instant,
    held: bool,
    posting: bool,
    upgraded: bool,
    candidate: bool,
    last_pong: Instant,
    paused: Duration,
    paused_at: Option<Instant>,
}

impl Watch {
    fn new() -> Self {
        let (session, now) = polling();
        Self {
            session,
            now,
            held: false,
            posting: false,
            upgraded: false,
            candidate: false,
            last_pong: now,
            paused: Duration::ZERO,
            paused_at: None,
        }
    }

    fn step(&mut self, step: &Step) {
        let closed = self.session.is_closed();
        match step {
            Step::Wait(ms) => self.wait(Duration::from_millis(*ms)),
            Step::Poll => {
                let result = self.session.poll_opened(self.now);
                if result.is_ok() {
                    assert!(
                        !closed && !self.held && !self.upgraded,
                        "a GET was taken wrongly"
                    );
                    self.held = true;
                } else if result == Err(Refusal::Session) {
                    self.session.close();
                }
            }
            Step::PollAnswered => {
                self.held = false;
                self.session.poll_answered();
            }
            Step::Post => {
                let result = self.session.post_opened(self.now);
                if result.is_ok() {
                    assert!(
                        !closed && !self.posting && !self.upgraded,
                        "a POST was taken wrongly"
                    );
                    self.posting = true;
                } else if result == Err(Refusal::Session) {
                    self.session.close();
                }
            }
            Step::PostAnswered => {
                self.posting = false;
                self.session.post_answered();
            }
            Step::Upgrade => {
                let taken = self.session.upgrade_opened(self.now);
                assert!(
                    !taken || (!closed && !self.upgraded && !self.candidate),
                    "two candidates"
                );
                self.candidate |= taken;
            }
            Step::UpgradeGone => {
                self.candidate = false;
                self.session.upgrade_closed();
            }
            Step::Probe(kind) if self.candidate => match self.session.probe(&packet(*kind)) {
                Probe::Answer => assert_eq!(*kind, 3),
                Probe::Upgraded => {
                    assert_eq!(*kind, 8);
                    (self.upgraded, self.candidate) = (true, false);
                }
                Probe::Abandon => self.candidate = false,
            },
            Step::Packet(kind) if !closed => {
                let result = self.session.packet(packet(*kind), self.now);
                match result {
                    Ok(Some(_)) => assert!(matches!(kind, 6 | 7)),
                    Ok(None) => {}
                    Err(_) => {
                        assert!(matches!(kind, 1..=3));
                        self.session.close();
                        self.candidate = false;
                    }
                }
                if *kind == 4 {
                    (self.last_pong, self.paused) = (self.now, Duration::ZERO);
                    self.paused_at = self.paused_at.map(|_| self.now);
                }
            }
            Step::Pause => {
                self.session.reading_paused(self.now);
                self.paused_at.get_or_insert(self.now);
            }
            Step::Resume => {
                self.session.reading_resumed(self.now);
                if let Some(at) = self.paused_at.take() {
                    self.paused += self.now - at;
                }
            }
            Step::Probe(_) | Step::Packet(_) => {}
        }
        if self.session.is_closed() {
            self.candidate = false;
        }
        assert_eq!(
            self.session.transport() == Transport::WebSocket,
            self.upgraded
        );
    }

    /// Lets time pass as a punctual driver sees it.
    fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.session.deadline().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            match self.session.due(self.now) {
                Some(Due::Ping) => {}
                Some(Due::UpgradeTimeout) => {
                    assert!(self.candidate);
                    self.candidate = false;
                }
                Some(Due::PingTimeout) => {
                    assert!(
                        self.paused_at.is_none(),
                        "timed out while reading was paused"
                    );
                    assert!(
                        self.now - self.last_pong >= INTERVAL + TIMEOUT,
                        "timed out too early"
                    );
                    self.session.close();
                }
                None => panic!("a deadline at which nothing is due"),
            }
        }
        self.now = end;
        let silent = self.now - self.last_pong;
        let late = silent > INTERVAL + TIMEOUT + self.paused;
        assert!(
            !late || self.session.is_closed() || self.paused_at.is_some(),
            "a dead client lives"
        );
    }
}

#[test]
fn a_pause_before_the_ping_does_not_lengthen_the_time_for_its_pong() {
    let mut watch = Watch::new();
    let pause = Duration::from_millis(300);
    for step in [
        Step::Pause,
        Step::Wait(19),
        Step::Packet(4),
        Step::Wait(300),
        Step::Resume,
    ] {
        watch.step(&step);
    }
    watch.wait(TIMEOUT + pause / 10);
    assert!(watch.session.is_closed());
}

proptest! {
    #[test]
    fn the_rules_hold_whatever_happens(steps in prop::collection::vec(step(), 1..200)) {
        let mut watch = Watch::new();
        for step in &steps {
            watch.step(step);
        }
    }
}
