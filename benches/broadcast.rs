//! One event to all members of a room: whole, over real sockets, and the server's own part of it alone.
//!
//! * `loopback`: from `emit` until every member has read the event, 16 events in flight. Elements are deliveries. Inside: framing, registry,
//!   outbox, the kernel's sending and receiving, and the clients' reading, on the same cores. JSON was serialised before.
//! * `outbox`: the same with clients whose requests are function calls (`in_process.rs`), on one thread, without a socket or a write. Elements
//!   are deliveries. `append`: framing, the registry's lock and lookup, the shard's walk over the members, and a reference to the shared
//!   frame in each member's mailbox, which has a lock of its own that the outbox of a WebSocket does without. `four rooms`: the same
//!   to four rooms that all members are in, so that each is found four times and reached once. `append and take`: with one GET of each member
//!   for 64 events, which wakes the member's task and copies the packets into the answer's body; HTTP is not parsed.
//! * `registry`, on the same clients: `join` and `leave`, from the call until the shard's list of members is changed; elements are
//!   joins and leaves. `publish to nobody`: framing, lock and lookup of one event to an empty room.

use std::cell::LazyCell;

use criterion::{
    BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main,
};
use slimy_rt::Room;
use slimy_rt_benches::{Emptying, InProcess, Loopback, criterion, raise_open_files, room};

const MEMBERS: [usize; 4] = [10, 100, 1_000, 10_000];
/// Members, and rooms that each of them joins and leaves.
const MEMBERSHIPS: [(usize, usize); 3] = [(1_000, 1), (10_000, 1), (1_000, 100)];

fn loopback(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("loopback");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for members in MEMBERS {
        if let Err(reason) = raise_open_files(members) {
            eprintln!("loopback/{members} is skipped: {reason}");
            continue;
        }
        let field = LazyCell::new(|| Loopback::new(members));
        group.throughput(Throughput::Elements(members as u64));
        group.bench_function(BenchmarkId::from_parameter(members), |b| {
            b.iter_custom(|events| field.broadcast(events));
        });
    }
    group.finish();
}

fn outbox(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbox");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    let rooms: [Room; 4] = std::array::from_fn(room);
    for members in MEMBERS {
        let field = LazyCell::new(|| InProcess::new(members).joined(&rooms));
        group.throughput(Throughput::Elements(members as u64));
        for (name, rooms, emptying) in [
            ("append", &rooms[..1], Emptying::Apart),
            ("append to four rooms", &rooms[..], Emptying::Apart),
            ("append and take", &rooms[..1], Emptying::Measured),
        ] {
            group.bench_function(BenchmarkId::new(name, members), |b| {
                b.iter_custom(|events| field.broadcast(rooms, events, emptying));
            });
        }
    }
    group.finish();
}

fn registry(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("registry");
    group.sample_size(10).sampling_mode(SamplingMode::Flat);
    for (members, rooms) in MEMBERSHIPS {
        let name = format!("{members} members, {rooms} rooms");
        let rooms: Vec<Room> = (0..rooms).map(room).collect();
        let field = LazyCell::new(|| InProcess::new(members));
        group.throughput(Throughput::Elements((members * rooms.len()) as u64));
        group.bench_function(BenchmarkId::new("join", &name), |b| {
            b.iter_custom(|times| {
                let once = |_| (field.join(&rooms), field.leave(&rooms)).0;
                (0..times).map(once).sum()
            });
        });
        group.bench_function(BenchmarkId::new("leave", &name), |b| {
            b.iter_custom(|times| {
                let once = |_| (field.join(&rooms), field.leave(&rooms)).1;
                (0..times).map(once).sum()
            });
        });
    }
    let field = LazyCell::new(|| InProcess::new(1));
    let empty = room(0);
    group.throughput(Throughput::Elements(1));
    group.bench_function("publish to nobody", |b| {
        b.iter(|| field.publish_to_nobody(&empty));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = loopback, outbox, registry
}
criterion_main!(benches);
