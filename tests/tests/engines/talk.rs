//! Traffic: clients that speak all the time, and what has to be true of what they said and heard.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    time::Duration,
};

use slimy_rt_tests::{
    chatter::{Chatter, Heard},
    fleet::Fleet,
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::cluster::{GUILD, user};

/// From one message of a speaker to its next.
pub(crate) const PACE: Duration = Duration::from_millis(20);
/// The longest time that a message may take to the clients of its own node, and its answer to the speaker, whatever the engine does. The program
/// itself waits for no more than two seconds; the rest is for machines that are busy with other tests.
pub(crate) const LONGEST_LOCAL: Duration = Duration::from_secs(4);
/// How long what was said last may take to everybody, once all is well.
const SETTLING: Duration = Duration::from_secs(20);

/// Clients that speak until they are told to stop.
#[derive(Debug)]
pub(crate) struct Talk {
    stop: watch::Sender<bool>,
    speakers: Vec<JoinHandle<Speaker>>,
}

/// One of them.
#[derive(Debug)]
struct Speaker {
    user: String,
    node: usize,
    chatter: Chatter,
    said: Vec<(Said, JoinHandle<Option<Instant>>)>,
}

/// A message that was sent.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    pub(crate) id: String,
    pub(crate) at: Instant,
}

/// What a client said and heard.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) user: String,
    pub(crate) node: usize,
    /// With the time of the answer, if it was accepted.
    pub(crate) said: Vec<(Said, Option<Instant>)>,
    pub(crate) heard: Vec<Heard>,
    pub(crate) ended: Option<String>,
}

/// What was said and heard by all.
#[derive(Debug)]
pub(crate) struct Stories(pub(crate) Vec<Story>);

impl Talk {
    /// Two speakers at each of these nodes.
    pub(crate) async fn start(fleet: &Fleet, nodes: impl IntoIterator<Item = usize>) -> Self {
        Self::start_with(fleet, nodes, PACE).await
    }

    /// The same with another time from one message of a speaker to its next.
    pub(crate) async fn start_with(
        fleet: &Fleet,
        nodes: impl IntoIterator<Item = usize>,
        pace: Duration,
    ) -> Self {
        let stop = watch::Sender::new(false);
        let mut chatters = Vec::new();
        for node in nodes {
            for letter in ['a', 'b'] {
                let user = user(node, letter);
                chatters.push((user.clone(), node, fleet.enter(&user, node).await));
            }
        }
        // All have come in before the first speaks: everybody hears everything.
        let speakers = chatters
            .into_iter()
            .map(|(user, node, chatter)| {
                let speaker = Speaker {
                    user,
                    node,
                    chatter,
                    said: Vec::new(),
                };
                tokio::spawn(speaker.speak(pace, stop.subscribe()))
            })
            .collect();
        Self { stop, speakers }
    }

    /// Lets them speak for so long.
    pub(crate) async fn go_on(&self, time: Duration) {
        sleep(time).await;
    }

    /// Has them stop, and waits until everybody has heard the last word of each, or for as long as that may take.
    pub(crate) async fn stop(self) -> Stories {
        self.stop_but_for(None).await
    }

    /// The same when a node has ended, whose clients are not waited for.
    pub(crate) async fn stop_but_for(self, dead: Option<usize>) -> Stories {
        self.stop.send_replace(true);
        let mut speakers = Vec::new();
        for speaker in self.speakers {
            speakers.push(speaker.await.expect("does not panic"));
        }
        let living = |speaker: &&Speaker| Some(speaker.node) != dead;
        let last: Vec<_> = speakers
            .iter()
            .filter(living)
            .filter_map(|speaker| speaker.said.last().map(|(said, _)| said.id.clone()))
            .collect();
        let deadline = Instant::now() + SETTLING;
        for speaker in speakers.iter().filter(living) {
            for id in &last {
                // One that has not come by then is missed below.
                speaker.chatter.wait_for_message_until(id, deadline).await;
            }
        }
        let mut stories = Vec::new();
        for speaker in speakers {
            stories.push(speaker.story().await);
        }
        Stories(stories)
    }
}

impl Speaker {
    async fn speak(mut self, pace: Duration, stop: watch::Receiver<bool>) -> Self {
        while !*stop.borrow() {
            self.say().await;
            sleep(pace).await;
        }
        self
    }

    async fn say(&mut self) {
        let id = format!("{}-{}", self.user, self.said.len());
        let said = Said {
            id: id.clone(),
            at: Instant::now(),
        };
        let answer = self.chatter.say(GUILD, &id).await;
        let answered = tokio::spawn(async move {
            let answer = timeout(SETTLING, answer).await.ok()?.ok()?;
            assert_eq!(answer["ok"], true, "{id}: {answer}");
            Some(Instant::now())
        });
        self.said.push((said, answered));
    }

    async fn story(self) -> Story {
        let mut said = Vec::new();
        for (message, answered) in self.said {
            said.push((message, answered.await.expect("is accepted")));
        }
        Story {
            user: self.user,
            node: self.node,
            said,
            heard: self.chatter.heard(),
            ended: self.chatter.ended(),
        }
    }
}

impl Stories {
    /// Those of a node.
    pub(crate) fn of(&self, node: usize) -> impl Iterator<Item = &Story> {
        self.0.iter().filter(move |story| story.node == node)
    }

    /// The clients of each node did not notice anything: nobody was cut off, everything was accepted, and everything of their own node came in time.
    pub(crate) fn assert_nobody_noticed(&self, nodes: impl IntoIterator<Item = usize>) {
        let mut longest = Duration::ZERO;
        for node in nodes {
            for listener in self.of(node) {
                assert_eq!(listener.ended, None, "{} was cut off", listener.user);
                let heard: HashMap<_, _> = listener
                    .heard
                    .iter()
                    .map(|heard| (heard.id.as_str(), heard.at))
                    .collect();
                for speaker in self.of(node) {
                    for (said, answered) in &speaker.said {
                        let answered =
                            answered.unwrap_or_else(|| panic!("{} was not answered", said.id));
                        let heard = heard.get(said.id.as_str()).unwrap_or_else(|| {
                            panic!("{} of its own node did not hear {}", listener.user, said.id)
                        });
                        longest = longest.max(answered - said.at).max(*heard - said.at);
                    }
                }
            }
        }
        assert!(
            longest <= LONGEST_LOCAL,
            "something took {longest:?} within a node"
        );
        println!("within a node nothing took longer than {longest:?}");
    }

    /// No client heard anything twice, and each heard every speaker in order.
    pub(crate) fn assert_order(&self) {
        for story in &self.0 {
            assert_in_order(&story.user, &story.heard);
        }
    }

    /// What some listener did not hear though it was accepted.
    pub(crate) fn missing(&self) -> Vec<(&Story, &Said)> {
        let mut missing = Vec::new();
        for listener in &self.0 {
            let heard: HashSet<_> = listener.heard.iter().map(|heard| &*heard.id).collect();
            for speaker in &self.0 {
                let accepted = speaker
                    .said
                    .iter()
                    .filter(|(_, answered)| answered.is_some());
                let missed = accepted.filter(|(said, _)| !heard.contains(&*said.id));
                missing.extend(missed.map(|(said, _)| (listener, said)));
            }
        }
        missing
    }

    /// Everybody heard everything.
    pub(crate) fn assert_complete(&self) {
        let missing = self.missing();
        let some: Vec<_> = missing
            .iter()
            .take(10)
            .map(|(listener, said)| format!("{} did not hear {}", listener.user, said.id))
            .collect();
        assert!(missing.is_empty(), "{} missing: {some:?}", missing.len());
    }

    /// From that moment on until each node had heard from each other one.
    pub(crate) fn crossing_after(&self, moment: Instant) -> Duration {
        let nodes: HashSet<_> = self.0.iter().map(|story| story.node).collect();
        let mut longest = Duration::ZERO;
        for &to in &nodes {
            for &from in nodes.iter().filter(|&&from| from != to) {
                let speakers: Vec<_> = self.of(from).map(|story| &*story.user).collect();
                let first = self
                    .of(to)
                    .flat_map(|story| &story.heard)
                    .filter(|heard| heard.at > moment)
                    .filter(|heard| speakers.contains(&speaker_of(&heard.id)))
                    .map(|heard| heard.at)
                    .min();
                let first = first.unwrap_or_else(|| panic!("nothing came from {from} to {to}"));
                longest = longest.max(first - moment);
            }
        }
        longest
    }

    /// The longest time that a message took to another node.
    pub(crate) fn longest_crossing(&self) -> Duration {
        let said: HashMap<_, _> = self
            .0
            .iter()
            .flat_map(|story| &story.said)
            .map(|(said, _)| (&*said.id, said.at))
            .collect();
        let heard = self.0.iter().flat_map(|story| &story.heard);
        let times = heard.filter_map(|heard| Some(heard.at - *said.get(&*heard.id)?));
        times.max().unwrap_or_default()
    }
}

/// Who said it.
pub(crate) fn speaker_of(id: &str) -> &str {
    id.rsplit_once('-').expect("an id of a speaker").0
}

fn number_of(id: &str) -> usize {
    let (_, number) = id.rsplit_once('-').expect("an id of a speaker");
    number.parse().expect("a number")
}

/// As one and the same socket nothing was heard twice, and every speaker in order.
pub(crate) fn assert_in_order(who: &str, heard: &[Heard]) {
    let mut last = HashMap::new();
    for heard in heard {
        let number = number_of(&heard.id);
        let before = last.insert((heard.session, speaker_of(&heard.id)), number);
        if let Some(before) = before {
            assert!(
                number > before,
                "{who} heard {} after number {before}",
                heard.id
            );
        }
    }
}

/// A client that speaks fast: so many messages, a window of them without an answer.
pub(crate) async fn say_many(chatter: &mut Chatter, user: &str, guild: &str, count: usize) {
    /// How many may be without an answer.
    const WINDOW: usize = 256;
    let mut open = std::collections::VecDeque::new();
    for number in 0..count {
        if open.len() >= WINDOW
            && let Some(answer) = open.pop_front()
        {
            accepted(answer).await;
        }
        open.push_back(chatter.say(guild, &format!("{user}-{number}")).await);
    }
    for answer in open {
        accepted(answer).await;
    }
}

async fn accepted(answer: slimy_rt_tests::chatter::Answer) {
    let answer = timeout(SETTLING, answer).await.expect("an answer in time");
    let answer = answer.expect("an answer");
    assert_eq!(answer["ok"], true, "{answer}");
}

/// Waits until nobody answers at an address.
pub(crate) async fn gone(addr: SocketAddr) {
    while tokio::net::TcpStream::connect(addr).await.is_ok() {
        sleep(Duration::from_millis(5)).await;
    }
}
