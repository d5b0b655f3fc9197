//! The Engine.IO session under any sequence of requests, packets and time: its invariants hold against a model.
#![no_main]

use std::time::{Duration, Instant};

use libfuzzer_sys::{
    arbitrary::{self, Arbitrary},
    fuzz_target,
};
use slimy_rt::protocol::{
    engine::Packet,
    session::{Due, Poll, Probe, Refusal, Session, SessionTimes, Transport},
};

const TIMES: SessionTimes = SessionTimes {
    ping_interval: Duration::from_millis(250),
    ping_timeout: Duration::from_millis(200),
    upgrade_timeout: Duration::from_millis(100),
};

#[derive(Arbitrary, Debug)]
struct Scenario {
    websocket: bool,
    steps: Vec<Step>,
}

#[derive(Arbitrary, Debug)]
enum Step {
    Wait(u8),
    PollOpened,
    PollAnswered,
    PostOpened,
    PostAnswered,
    UpgradeOpened,
    UpgradeClosed,
    Packet(Kind),
    Probe(Kind),
    Pause,
    Resume,
    Close,
}

#[derive(Arbitrary, Debug)]
enum Kind {
    Open,
    Close,
    Ping,
    PingProbe,
    Pong,
    PongProbe,
    Message,
    Binary,
    Upgrade,
    Noop,
}

impl Kind {
    fn packet(&self) -> Packet {
        match self {
            Self::Open => Packet::Open("{}".into()),
            Self::Close => Packet::Close,
            Self::Ping => Packet::Ping,
            Self::PingProbe => Packet::PingProbe,
            Self::Pong => Packet::Pong,
            Self::PongProbe => Packet::PongProbe,
            Self::Message => Packet::Message("2[\"a\"]".into()),
            Self::Binary => Packet::Binary(vec![1].into()),
            Self::Upgrade => Packet::Upgrade,
            Self::Noop => Packet::Noop,
        }
    }
}

/// What the driver knows.
struct Model {
    session: Session,
    now: Instant,
    closed: bool,
    polling: bool,
    holding: bool,
    posting: bool,
    /// Whether a WebSocket tries to take over, and whether its probe was answered.
    upgrade: Option<bool>,
    paused: bool,
}

fuzz_target!(|scenario: Scenario| {
    let now = Instant::now();
    let transport = if scenario.websocket {
        Transport::WebSocket
    } else {
        Transport::Polling
    };
    let mut model = Model {
        session: Session::new(TIMES, transport, now),
        now,
        closed: false,
        polling: !scenario.websocket,
        holding: false,
        posting: false,
        upgrade: None,
        paused: false,
    };
    for step in &scenario.steps {
        model.step(step);
        model.check();
    }
    model.falls_silent();
});

impl Model {
    fn step(&mut self, step: &Step) {
        let now = self.now;
        match step {
            Step::Wait(units) => {
                self.now += Duration::from_millis(u64::from(*units) * 2);
                self.time_passes();
            }
            Step::PollOpened => match self.session.poll_opened(now) {
                Ok(poll) => {
                    assert!(
                        self.polling && !self.closed && !self.holding,
                        "two polls, or one too late"
                    );
                    assert_eq!(poll == Poll::AnswerNow, self.upgrade == Some(true));
                    self.holding = true;
                }
                Err(refusal) => self.refused(refusal, self.holding),
            },
            Step::PollAnswered => {
                self.session.poll_answered();
                self.holding = false;
            }
            Step::PostOpened => match self.session.post_opened(now) {
                Ok(()) => {
                    assert!(
                        self.polling && !self.closed && !self.posting,
                        "two posts, or one too late"
                    );
                    self.posting = true;
                }
                Err(refusal) => self.refused(refusal, self.posting),
            },
            Step::PostAnswered => {
                self.session.post_answered();
                self.posting = false;
            }
            Step::UpgradeOpened => {
                let may = self.session.upgrade_opened(now);
                assert_eq!(may, self.polling && !self.closed && self.upgrade.is_none());
                if may {
                    self.upgrade = Some(false);
                }
            }
            Step::UpgradeClosed => {
                self.session.upgrade_closed();
                self.upgrade = None;
            }
            // A driver asks only on behalf of a WebSocket that tries to take over.
            Step::Probe(kind) if self.upgrade.is_some() => self.probe(&kind.packet()),
            Step::Probe(_) => {}
            Step::Packet(kind) if !self.closed => {
                let packet = kind.packet();
                let carries = matches!(packet, Packet::Message(_) | Packet::Binary(_));
                match self.session.packet(packet, now) {
                    Ok(message) => assert_eq!(message.is_some(), carries),
                    Err(_) => self.close(),
                }
            }
            Step::Packet(_) => {}
            Step::Pause => {
                self.session.reading_paused(now);
                self.paused = true;
            }
            Step::Resume => {
                self.session.reading_resumed(now);
                self.paused = false;
                self.time_passes();
            }
            Step::Close => self.close(),
        }
    }

    fn probe(&mut self, packet: &Packet) {
        match self.session.probe(packet) {
            Probe::Answer => {
                assert!(matches!(packet, Packet::PingProbe) && self.upgrade == Some(false));
                self.upgrade = Some(true);
            }
            Probe::Upgraded => {
                assert!(matches!(packet, Packet::Upgrade) && self.upgrade == Some(true));
                assert!(self.polling && !self.closed);
                (self.upgrade, self.polling) = (None, false);
            }
            Probe::Abandon => self.upgrade = None,
        }
    }

    fn refused(&mut self, refusal: Refusal, busy: bool) {
        match refusal {
            // The request is at fault, and only when there is nothing that it could ask.
            Refusal::Request => assert!(self.closed || !self.polling),
            Refusal::Session => {
                let overdue = self.session.deadline().is_none_or(|by| by <= self.now);
                assert!(busy || overdue, "refused for no reason");
                self.close();
            }
        }
    }

    fn close(&mut self) {
        assert_eq!(self.session.close(), !self.closed);
        (self.closed, self.upgrade) = (true, None);
    }

    /// As the driver does: everything that is due, until there is nothing.
    fn time_passes(&mut self) {
        for _ in 0..4 {
            match self.session.due(self.now) {
                None => {
                    assert!(
                        self.session.deadline().is_none_or(|by| by > self.now),
                        "a deadline stays in the past"
                    );
                    return;
                }
                Some(Due::Ping) => assert!(!self.closed),
                Some(Due::UpgradeTimeout) => {
                    assert!(self.upgrade.is_some());
                    self.upgrade = None;
                }
                Some(Due::PingTimeout) => {
                    assert!(!self.paused, "no pong can be seen while reading is paused");
                    self.close();
                }
            }
        }
        panic!("always something due");
    }

    fn check(&self) {
        assert_eq!(self.session.is_closed(), self.closed);
        assert_eq!(self.session.transport() == Transport::Polling, self.polling);
        let longest = TIMES.ping_interval.max(TIMES.ping_timeout);
        match self.session.deadline() {
            None => assert!(
                self.closed || self.paused,
                "an open session that waits for nothing"
            ),
            Some(by) => {
                assert!(!self.closed, "a closed session has deadlines");
                assert!(
                    by <= self.now + longest,
                    "a peer that says nothing is kept too long"
                );
            }
        }
    }

    /// Whatever happened before: a peer that says nothing more is found out.
    fn falls_silent(&mut self) {
        self.step(&Step::Resume);
        for _ in 0..2 {
            self.now += TIMES.ping_interval.max(TIMES.ping_timeout);
            self.time_passes();
        }
        assert!(self.closed);
        self.step(&Step::PollOpened);
        self.step(&Step::PostOpened);
        self.step(&Step::UpgradeOpened);
        self.check();
    }
}
