//! The engine, a link or a node fails under traffic.

use std::time::Duration;

use slimy_rt_tests::chatter::Chatter;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    cluster::{Cluster, Engine, GUILD, Kind, is_soak, user},
    talk::{PACE, Stories, Talk, say_many},
};

/// How long cross-node delivery may take to be back, once the engine or the link is.
const BACK: Duration = Duration::from_secs(2);
/// How long there is traffic before something fails, and after it is well again.
const TRAFFIC: Duration = Duration::from_secs(1);
/// How long an engine is away.
const AWAY: Duration = Duration::from_secs(3);
/// How long a link is cut.
const CUT: Duration = Duration::from_secs(30);
/// How much more memory a node may hold after an outage, in KiB: the queue's bound is 64 MiB.
const MEMORY_KIB: u64 = 96 * 1024;
/// How long a full queue may take to be in the log, on a processor that several tests share.
const DRAINED: Duration = Duration::from_secs(120);
/// How many publications may wait in a node: one more is a loss that has to be told.
const MAX_WAITING: usize = 65_536;

/// A cluster with traffic, and what its nodes hold before anything happens.
struct Scene {
    cluster: Cluster,
    talk: Talk,
    memory: Vec<u64>,
}

impl Scene {
    async fn begin(kind: Kind, nodes: usize) -> Self {
        Self::begin_with(kind, nodes, PACE).await
    }

    async fn begin_with(kind: Kind, nodes: usize, pace: Duration) -> Self {
        let cluster = Cluster::start(kind, nodes).await;
        let talk = Talk::start_with(&cluster.fleet, 0..nodes, pace).await;
        talk.go_on(TRAFFIC).await;
        let memory = memory(&cluster);
        Self {
            cluster,
            talk,
            memory,
        }
    }

    async fn broker_is(&self, up: bool) {
        for node in 0..self.cluster.fleet.nodes().len() {
            self.cluster.wait_for_broker(node, up).await;
        }
    }

    /// What has to be true after every outage. `back`: since when all is well.
    async fn end(self, back: Instant) -> (Cluster, Stories) {
        self.talk.go_on(TRAFFIC).await;
        self.broker_is(true).await;
        let stories = self.talk.stop().await;
        let nodes = self.cluster.fleet.nodes().len();
        stories.assert_nobody_noticed(0..nodes);
        stories.assert_order();
        let crossing = stories.crossing_after(back);
        assert!(crossing <= BACK, "back after {crossing:?}");
        println!("cross-node delivery was back after {crossing:?}");
        assert_memory(&self.cluster, &self.memory);
        self.cluster.assert_clean();
        (self.cluster, stories)
    }
}

fn memory(cluster: &Cluster) -> Vec<u64> {
    let nodes = cluster.fleet.nodes();
    nodes.iter().map(|node| node.rss_kib()).collect()
}

fn assert_memory(cluster: &Cluster, before: &[u64]) {
    for (now, before) in memory(cluster).into_iter().zip(before) {
        let grown = now.saturating_sub(*before);
        assert!(grown < MEMORY_KIB, "memory: {grown} KiB more");
    }
}

/// Killed and started again: with its data, everything arrives; without, what it had is gone and said to be, and all that came later arrives.
pub(crate) async fn the_engine_dies(kind: Kind) {
    let scene = Scene::begin(kind, 2).await;
    let engine = &scene.cluster.engine;
    engine.stop_hard().await;
    let died = Instant::now();
    scene.broker_is(false).await;
    sleep(AWAY).await;
    engine.start_again().await;
    let back = Instant::now();
    let (cluster, stories) = scene.end(back).await;
    if cluster.engine.keeps_its_data() {
        stories.assert_complete();
        cluster.assert_no_gap();
        return;
    }
    for node in 0..2 {
        assert!(
            cluster.has_gap(node),
            "node {node} says nothing of the lost log"
        );
    }
    for (listener, said) in stories.missing() {
        assert!(
            said.at <= died,
            "{} did not hear {}, which was said {:?} after the engine had died",
            listener.user,
            said.id,
            said.at - died
        );
    }
}

/// One node is cut off: both sides go on, and each gets all that the other said.
pub(crate) async fn a_link_is_cut(kind: Kind) {
    let scene = Scene::begin(kind, 2).await;
    let link = &scene.cluster.links[1];
    link.cut().await;
    scene.cluster.wait_for_broker(1, false).await;
    sleep(CUT).await;
    link.heal().await;
    let back = Instant::now();
    let (cluster, stories) = scene.end(back).await;
    stories.assert_complete();
    cluster.assert_no_gap();
}

/// A link breaks in the middle of what passes over it, again and again.
pub(crate) async fn a_link_breaks_within_messages(kind: Kind) {
    let scene = Scene::begin(kind, 2).await;
    let link = &scene.cluster.links[1];
    let rounds = if is_soak() { 100 } else { 8 };
    let mut back = Instant::now();
    for round in 0..rounds {
        link.cut_after(1_000 + 777 * round);
        link.wait_for_cut().await;
        link.heal().await;
        back = Instant::now();
        scene.talk.go_on(TRAFFIC / 2).await;
    }
    let (cluster, stories) = scene.end(back).await;
    stories.assert_complete();
    cluster.assert_no_gap();
}

/// Nothing passes, and nothing says so: no reset, no end.
pub(crate) async fn a_link_stalls(kind: Kind) {
    let scene = Scene::begin(kind, 2).await;
    let link = &scene.cluster.links[1];
    link.stall();
    scene.cluster.wait_for_broker(1, false).await;
    sleep(AWAY).await;
    link.resume();
    let back = Instant::now();
    let (cluster, stories) = scene.end(back).await;
    stories.assert_complete();
    cluster.assert_no_gap();
}

/// Each way over the link takes 100 ms: that is what messages to and from the other node take longer, and no more.
pub(crate) async fn a_link_is_slow(kind: Kind) {
    const LATENCY: Duration = Duration::from_millis(100);
    /// A publication's way to the engine and back to the reader is a few round trips, and some wait for the batch before.
    const ALLOWED: Duration = Duration::from_secs(2);
    /// Whose a message's id is, the sessions are asked: a user has one answer per round trip.
    const PACE: Duration = LATENCY.saturating_mul(3);
    let scene = Scene::begin_with(kind, 2, PACE).await;
    scene.cluster.links[1].slow(LATENCY);
    let slow = Instant::now();
    scene.talk.go_on(AWAY).await;
    let (cluster, stories) = scene.end(slow).await;
    stories.assert_complete();
    cluster.assert_no_gap();
    let longest = stories.longest_crossing();
    assert!(longest <= ALLOWED, "something took {longest:?}");
    println!("with {LATENCY:?} each way nothing took longer than {longest:?}");
}

/// One of three nodes is killed: the others' clients do not notice, and hear from it what it had published.
pub(crate) async fn a_node_is_killed(kind: Kind) {
    let mut scene = Scene::begin(kind, 3).await;
    scene.cluster.fleet.kill(2);
    let killed = Instant::now();
    scene.talk.go_on(TRAFFIC * 2).await;
    let stories = scene.talk.stop_but_for(Some(2)).await;
    stories.assert_nobody_noticed(0..2);
    stories.assert_order();
    assert!(stories.of(2).all(|story| story.ended.is_some()));
    for (listener, said) in stories.missing() {
        let lost_with_it = listener.node == 2 || said.id.starts_with("u2");
        assert!(lost_with_it, "{} did not hear {}", listener.user, said.id);
    }
    // All that it said up to some moment, and nothing after: no holes.
    for listener in stories.of(0).chain(stories.of(1)) {
        for speaker in stories.of(2) {
            let heard = listener.heard.iter();
            let of_it: Vec<_> = heard
                .map(|heard| heard.id.as_str())
                .filter(|id| id.starts_with(&speaker.user))
                .collect();
            let said: Vec<_> = speaker
                .said
                .iter()
                .map(|(said, _)| said.id.as_str())
                .collect();
            assert_eq!(of_it, said[..of_it.len()], "{}", listener.user);
        }
    }
    let survivors = Stories(
        stories
            .0
            .into_iter()
            .filter(|story| story.node < 2)
            .collect(),
    );
    let crossing = survivors.crossing_after(killed);
    assert!(crossing < Duration::from_secs(1), "{crossing:?}");
    scene.cluster.assert_no_gap();
}

/// A node ends with good manners: nothing that was accepted is lost.
pub(crate) async fn a_node_is_stopped(kind: Kind) {
    let mut scene = Scene::begin(kind, 2).await;
    scene.cluster.fleet.terminate(1).await;
    let stories = scene.talk.stop_but_for(Some(1)).await;
    stories.assert_nobody_noticed([0]);
    stories.assert_order();
    for (listener, said) in stories.missing() {
        assert_eq!(
            listener.node, 1,
            "{} did not hear {}",
            listener.user, said.id
        );
    }
    scene.cluster.assert_no_gap();
}

/// A node that is cut off ends with good manners: what it had accepted gets to the others, since the link is back in time.
pub(crate) async fn a_node_is_stopped_while_it_is_cut_off(kind: Kind) {
    let mut scene = Scene::begin(kind, 2).await;
    scene.cluster.links[1].cut().await;
    scene.cluster.wait_for_broker(1, false).await;
    scene.talk.go_on(TRAFFIC).await;
    let Cluster { fleet, links, .. } = &mut scene.cluster;
    let healing = async {
        sleep(AWAY).await;
        links[1].heal().await;
    };
    tokio::join!(fleet.terminate(1), healing);
    let stories = scene.talk.stop_but_for(Some(1)).await;
    stories.assert_nobody_noticed([0]);
    stories.assert_order();
    for (listener, said) in stories.missing() {
        let (user, id) = (&listener.user, &said.id);
        assert_eq!(listener.node, 1, "{user} did not hear {id}");
    }
    scene.cluster.assert_no_gap();
}

/// Nodes start before their engine, and join when it is there.
pub(crate) async fn the_engine_comes_late(kind: Kind) {
    let engine = Engine::start(kind).await;
    engine.stop_hard().await;
    let url = engine.url_at(engine.port());
    // Users that need no engine, so that they can talk before.
    let flags = vec![vec!["--broker".to_owned(), url]; 2];
    let users = [user(0, 'a'), user(0, 'b'), user(1, 'a'), user(1, 'b')];
    let guilds: &[&str] = &[GUILD];
    let users: Vec<_> = users.iter().map(|user| (user.as_str(), guilds)).collect();
    let fleet = slimy_rt_tests::fleet::Fleet::start(flags, &users);
    let cluster = Cluster {
        engine,
        links: Vec::new(),
        fleet,
    };
    let talk = Talk::start(&cluster.fleet, 0..2).await;
    talk.go_on(TRAFFIC).await;
    for node in 0..2 {
        cluster.wait_for_broker(node, false).await;
    }
    cluster.engine.start_again().await;
    let back = Instant::now();
    for node in 0..2 {
        cluster.wait_for_broker(node, true).await;
    }
    talk.go_on(TRAFFIC * 2).await;
    let stories = talk.stop().await;
    stories.assert_nobody_noticed(0..2);
    stories.assert_order();
    let crossing = stories.crossing_after(back);
    assert!(crossing <= BACK, "there after {crossing:?}");
    // What was said before a node had joined may be missing, and it says so.
    for (listener, said) in stories.missing() {
        assert!(
            said.at <= back + BACK,
            "{} did not hear {}",
            listener.user,
            said.id
        );
        assert!(
            cluster.has_gap(listener.node),
            "nothing said of {}",
            said.id
        );
    }
    cluster.assert_clean();
}

/// More is said during an outage than a node may keep: it says what the others will not get, keeps its bound, and goes on.
pub(crate) async fn the_queue_is_full(kind: Kind) {
    const SPEAKERS: usize = 4;
    let cluster = Cluster::start(kind, 2).await;
    let before = memory(&cluster);
    let mut listener = cluster.fleet.enter(&user(0, 'a'), 0).await;
    let mut chatters = Vec::new();
    for letter in ('a'..).take(SPEAKERS) {
        let user = user(1, letter);
        let chatter = cluster.fleet.enter(&user, 1).await;
        chatters.push((user, chatter));
    }
    cluster.links[1].cut().await;
    cluster.wait_for_broker(1, false).await;
    let count = MAX_WAITING / SPEAKERS + 500;
    let mut speaking = JoinSet::new();
    for (user, mut chatter) in chatters {
        speaking.spawn(async move {
            say_many(&mut chatter, &user, GUILD, count).await;
            chatter
        });
    }
    let mut chatters = speaking.join_all().await;
    cluster.links[1].heal().await;
    let deadline = Instant::now() + DRAINED;
    // Nothing has room before some of what waits is gone.
    for number in 0.. {
        let id = format!("after-{number}");
        chatters[0].say_and_wait(GUILD, &id).await;
        let look = Instant::now() + Duration::from_millis(100);
        if listener.wait_for_message_until(&id, look).await {
            break;
        }
        assert_eq!(listener.ended(), None, "the listener was thrown out");
        assert!(
            Instant::now() < deadline,
            "what was said after the outage does not come"
        );
    }
    let told = wait_until(deadline, || cluster.has_gap(0)).await;
    assert!(
        told,
        "the loss was not told:\n{}",
        cluster.fleet.node(0).output()
    );
    let heard = listener.heard();
    crate::talk::assert_in_order("the listener", &heard);
    let least = MAX_WAITING - 1_000;
    assert!(heard.len() >= least, "only {} came", heard.len());
    assert_memory(&cluster, &before);
    cluster.assert_clean();
    answer_each_other(&mut listener, &mut chatters[0]).await;
}

async fn answer_each_other(one: &mut Chatter, other: &mut Chatter) {
    one.say_and_wait(GUILD, "there-0").await;
    other.wait_for_message("there-0").await;
    other.say_and_wait(GUILD, "back-0").await;
    one.wait_for_message("back-0").await;
}

async fn wait_until(deadline: Instant, is_so: impl Fn() -> bool) -> bool {
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        sleep(Duration::from_millis(20)).await;
    }
    true
}
