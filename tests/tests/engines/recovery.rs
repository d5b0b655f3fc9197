//! Clients that are cut off come back under traffic, to the same node or another one: as they were, with everything once and in order, or plainly new.

use std::{collections::HashSet, net::SocketAddr, time::Duration};

use slimy_rt_test_engines::Proxy;
use slimy_rt_tests::chatter::{Chatter, Entry, Heard};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep},
};

use crate::{
    cluster::{Cluster, GUILD, Kind, is_soak, user},
    talk::{assert_in_order, gone},
};

/// From one message of a speaker to its next.
const PACE: Duration = Duration::from_millis(10);
/// How long there is traffic before a client is cut off, and after it is back.
const TRAFFIC: Duration = Duration::from_millis(200);
/// How long the last messages may take.
const SETTLING: Duration = Duration::from_secs(20);
/// Around the moments of a cut and a return, what is missed by one who comes back as a new client.
const BLURRED: Duration = Duration::from_secs(2);

/// Two nodes that speak. What a listener at the first hears is what the log has.
struct Scene {
    cluster: Cluster,
}

/// Speakers, a listener that stays, and clients that will not.
struct Try {
    number: usize,
    stop: watch::Sender<bool>,
    speakers: Vec<(usize, JoinHandle<Speaker>)>,
    listener: Chatter,
    victims: Vec<Chatter>,
}

struct Speaker {
    chatter: Chatter,
    user: String,
    said: usize,
}

impl Scene {
    async fn begin(kind: Kind) -> Self {
        let cluster = Cluster::start(kind, 2).await;
        Self { cluster }
    }

    /// Has a speaker at each node, a listener at the first, and that many clients at the second who will be cut off.
    async fn start(&self, number: usize, victims: usize) -> Try {
        let addr = self.cluster.fleet.addr(1);
        self.start_at(addr, number, victims, PACE).await
    }

    /// The same with those who will be cut off at this address, and another pace.
    async fn start_at(
        &self,
        addr: SocketAddr,
        number: usize,
        victims: usize,
        pace: Duration,
    ) -> Try {
        let fleet = &self.cluster.fleet;
        let listener = fleet.enter(&user(0, 'h'), 0).await;
        let mut cut = Vec::new();
        for letter in ('c'..).take(victims) {
            let mut victim = fleet.chatter(&user(1, letter));
            victim.enter(addr).await;
            cut.push(victim);
        }
        let stop = watch::Sender::new(false);
        let mut speakers = Vec::new();
        for node in 0..2 {
            let speaker = Speaker {
                chatter: fleet.enter(&user(node, 'a'), node).await,
                user: format!("try{number}of{node}"),
                said: 0,
            };
            speakers.push((node, tokio::spawn(speaker.speak(pace, stop.subscribe()))));
        }
        sleep(TRAFFIC).await;
        Try {
            number,
            stop,
            speakers,
            listener,
            victims: cut,
        }
    }
}

impl Speaker {
    async fn speak(mut self, pace: Duration, stop: watch::Receiver<bool>) -> Self {
        while !*stop.borrow() && self.chatter.ended().is_none() {
            let id = format!("{}-{}", self.user, self.said);
            // Whoever stays hears whether it came; its answer is of no importance here.
            drop(self.chatter.say(GUILD, &id).await);
            self.said += 1;
            sleep(pace).await;
        }
        self
    }
}

impl Try {
    /// Ends the traffic, and compares what each victim heard with what the listener did. `cut` and `back`: between which moments they were away.
    async fn end(mut self, entries: &[Entry], cut: Instant, back: Instant) {
        sleep(TRAFFIC).await;
        self.stop.send_replace(true);
        // The last word of each comes behind all that it said before. A node that was killed has said its last.
        let mut last = Vec::new();
        for (node, speaker) in self.speakers.drain(..) {
            let mut speaker = speaker.await.expect("does not panic");
            if node == 0 || speaker.chatter.ended().is_none() {
                let id = format!("{}-{}", speaker.user, speaker.said);
                speaker.chatter.say_and_wait(GUILD, &id).await;
                last.push(id);
            }
        }
        let deadline = Instant::now() + SETTLING;
        for client in [&self.listener].into_iter().chain(&self.victims) {
            for id in &last {
                let came = client.wait_for_message_until(id, deadline).await;
                assert!(came, "try {}: {id} does not come", self.number);
            }
        }
        let heard = self.listener.heard();
        assert_in_order("the listener", &heard);
        for (victim, entry) in self.victims.iter().zip(entries) {
            self.compare(victim, *entry, &heard, (cut, back));
        }
    }

    fn compare(&self, victim: &Chatter, entry: Entry, all: &[Heard], away: (Instant, Instant)) {
        let number = self.number;
        let heard = victim.heard();
        assert_in_order(&format!("try {number}"), &heard);
        let ids: HashSet<_> = heard.iter().map(|heard| &*heard.id).collect();
        let missing: Vec<_> = all
            .iter()
            .filter(|heard| !ids.contains(&*heard.id))
            .collect();
        match entry {
            Entry::Recovered => {
                let some: Vec<_> = missing.iter().take(5).map(|heard| &*heard.id).collect();
                let of = missing.len();
                assert_eq!(
                    of,
                    0,
                    "try {number}: {of} of {} missing: {some:?}",
                    all.len()
                );
            }
            // A new client hears everything from then on.
            Entry::New => {
                let (cut, back) = (away.0 - BLURRED, away.1 + BLURRED);
                let wrong = missing
                    .iter()
                    .find(|heard| heard.at < cut || heard.at > back);
                assert!(wrong.is_none(), "try {number}: {wrong:?} is missing");
            }
        }
    }
}

/// Cut off for a moment, a client comes back to the same node, then to the other one, and back.
pub(crate) async fn after_a_cut(kind: Kind) {
    let scene = Scene::begin(kind).await;
    let mut traffic = scene.start(0, 3).await;
    let cut = Instant::now();
    for round in 0..6 {
        for (number, victim) in traffic.victims.iter_mut().enumerate() {
            victim.cut();
            // One comes back at once, before its node has seen it go.
            sleep(Duration::from_millis(200) * number as u32).await;
            let entry = victim.enter(scene.cluster.fleet.addr(round % 2)).await;
            assert_eq!(entry, Entry::Recovered, "round {round}");
        }
    }
    let back = Instant::now();
    traffic.end(&[Entry::Recovered; 3], cut, back).await;
    scene.cluster.assert_no_gap();
}

/// Clients come back to a node where nobody else is in their guild, and which hears what is said in another one meanwhile.
pub(crate) async fn where_nobody_else_is(kind: Kind) {
    const OTHER: &str = "4711";
    /// How long a node goes on hearing a room that everybody has left.
    const FORGOTTEN: Duration = Duration::from_millis(2_200);
    let scene = Scene {
        cluster: Cluster::start(kind, 3).await,
    };
    let fleet = &scene.cluster.fleet;
    let session = format!(r#"{{"guilds":[{{"id":"{OTHER}"}}]}}"#);
    for node in [0, 2] {
        scene.cluster.sessions(&["put", &user(node, 'g'), &session]);
    }
    let witness = fleet.enter(&user(2, 'g'), 2).await;
    let mut neighbour = fleet.enter(&user(0, 'g'), 0).await;
    let stop = watch::Sender::new(false);
    let stopped = stop.subscribe();
    let noise = tokio::spawn(async move {
        let mut said = 0;
        while !*stopped.borrow() {
            drop(neighbour.say(OTHER, &format!("noise-{said}")).await);
            said += 1;
            sleep(PACE / 4).await;
        }
    });
    let pace = PACE / 4;
    let mut traffic = scene.start_at(fleet.addr(1), 0, 3, pace).await;
    let cut = Instant::now();
    for round in 0..4 {
        for node in [2, 1] {
            for victim in &mut traffic.victims {
                victim.cut();
                sleep(pace * 4).await;
                let entry = victim.enter(fleet.addr(node)).await;
                assert_eq!(entry, Entry::Recovered, "round {round}");
            }
        }
        sleep(FORGOTTEN).await;
    }
    stop.send_replace(true);
    noise.await.expect("does not panic");
    assert!(witness.heard_count() > 0);
    traffic
        .end(&[Entry::Recovered; 3], cut, Instant::now())
        .await;
    scene.cluster.assert_no_gap();
}

/// A client comes back elsewhere while its node still takes it for connected: the old socket ends, and there is one.
pub(crate) async fn before_the_old_node_knows(kind: Kind) {
    let scene = Scene::begin(kind).await;
    let fleet = &scene.cluster.fleet;
    let link = Proxy::start(fleet.addr(1)).await;
    let mut traffic = scene.start_at(link.addr(), 0, 1, PACE).await;
    let sid = traffic.victims[0].memory().sid;
    // The end of the connection does not come through.
    link.stall();
    let cut = Instant::now();
    traffic.victims[0].cut();
    sleep(TRAFFIC).await;
    let entry = traffic.victims[0].enter(fleet.addr(0)).await;
    let back = Instant::now();
    assert_eq!(entry, Entry::Recovered);
    assert_eq!(traffic.victims[0].memory().sid, sid);
    link.resume();
    traffic.end(&[entry], cut, back).await;
    scene.cluster.assert_no_gap();
}

/// A node ends with good manners: its clients go on at the other one.
pub(crate) async fn after_a_shutdown(kind: Kind) {
    let mut scene = Scene::begin(kind).await;
    let mut traffic = scene.start(0, 3).await;
    let cut = Instant::now();
    scene.cluster.fleet.terminate(1).await;
    let mut entries = Vec::new();
    for victim in &mut traffic.victims {
        victim.wait_for_end().await;
        entries.push(victim.enter(scene.cluster.fleet.addr(0)).await);
    }
    assert_eq!(entries, [Entry::Recovered; 3]);
    traffic.end(&entries, cut, Instant::now()).await;
    scene.cluster.assert_no_gap();
}

/// A node is killed, again and again: its clients come back at the other one, complete or plainly new.
pub(crate) async fn after_a_kill(kind: Kind) {
    let tries = if is_soak() { 200 } else { 20 };
    let mut scene = Scene::begin(kind).await;
    let mut recovered = 0;
    for number in 0..tries {
        if number > 0 {
            scene.cluster.fleet.start_again(1);
            scene.cluster.wait_for_all(1).await;
        }
        let mut traffic = scene.start(number, 1).await;
        let addr = scene.cluster.fleet.addr(1);
        let cut = Instant::now();
        scene.cluster.fleet.kill(1);
        gone(addr).await;
        let entry = traffic.victims[0].enter(scene.cluster.fleet.addr(0)).await;
        let back = Instant::now();
        recovered += usize::from(entry == Entry::Recovered);
        traffic.end(&[entry], cut, back).await;
    }
    println!("{kind:?}: {recovered} of {tries} clients of killed nodes came back as they were");
    // Refusing all of them would be no recovery.
    assert!(
        recovered * 2 > tries,
        "only {recovered} of {tries} came back"
    );
    scene.cluster.assert_no_gap();
}

/// The engine is killed while clients are away.
pub(crate) async fn after_the_engine_died(kind: Kind) {
    let scene = Scene::begin(kind).await;
    let mut traffic = scene.start(0, 2).await;
    let cut = Instant::now();
    for victim in &mut traffic.victims {
        victim.cut();
    }
    scene.cluster.engine.stop_hard().await;
    scene.cluster.engine.start_again().await;
    for node in 0..2 {
        scene.cluster.wait_for_all(node).await;
    }
    if !scene.cluster.engine.keeps_its_data() {
        scene.cluster.restore(["u1c", "u1d"]);
    }
    let mut entries = Vec::new();
    for (node, victim) in traffic.victims.iter_mut().enumerate() {
        let addr = scene.cluster.fleet.addr(node);
        entries.push(once_answered(victim, addr).await);
    }
    let back = Instant::now();
    if !scene.cluster.engine.keeps_its_data() {
        assert_eq!(entries, [Entry::New; 2], "the log is another one");
    }
    traffic.end(&entries, cut, back).await;
    scene.cluster.assert_clean();
}

/// Comes in once the sessions can be asked again: what a node says of them may be a second old.
async fn once_answered(client: &mut Chatter, addr: SocketAddr) -> Entry {
    let deadline = Instant::now() + SETTLING;
    loop {
        match client.connect(addr).await {
            Ok(entry) => return entry,
            Err(refusal) if refusal["message"] == "server_error" => {
                assert!(Instant::now() < deadline, "the sessions do not answer");
                sleep(TRAFFIC).await;
            }
            Err(refusal) => panic!("refused: {refusal}"),
        }
    }
}

/// Away for nearly as long as allowed, and for longer.
pub(crate) async fn after_minutes(kind: Kind) {
    /// What a client may have missed is bounded.
    const SLOW: Duration = Duration::from_millis(100);
    let scene = Scene::begin(kind).await;
    let addr = scene.cluster.fleet.addr(1);
    for (number, seconds, expected) in [(0, 110, Entry::Recovered), (1, 150, Entry::New)] {
        let mut traffic = scene.start_at(addr, number, 1, SLOW).await;
        let cut = Instant::now();
        traffic.victims[0].cut();
        sleep(Duration::from_secs(seconds)).await;
        let entry = traffic.victims[0].enter(scene.cluster.fleet.addr(0)).await;
        assert_eq!(entry, expected, "after {seconds} s");
        traffic.end(&[entry], cut, Instant::now()).await;
    }
}
